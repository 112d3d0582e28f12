"""Backfills as a user meets them: what lies in the past comes once, behind everything live, and can be stopped."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.aws import SimulatedAws, log_key
from support.clock import START_AT, FakeClock
from support.lookup import record as raw_record
from support.lookup import simulated_aws_with_lookup
from support.product import running
from support.receiver import receiving
from support.samples import log_file, record
from support.story import Between, Story, refused, telling
from trailhook.backfilling import JOB

FROM, TO = "2025-02-01T00:00:00Z", "2025-02-21T00:00:00Z"
LIVE = "20250615T1500"
REGIONS = ("us-east-1", "eu-west-1")


@pytest.fixture
async def story(tmp_path: Path, aws: SimulatedAws) -> AsyncIterator[Story]:
    """A source whose polls begin long after what a backfill is to bring."""
    async with telling(tmp_path, aws, backfill_units_max=20, group_units_max=10) as story:
        yield story


def past(story: Story, *, days: int = 20, a_day: int = 2, records: int = 3, first: int = 0) -> list[str]:
    """Files from the beginning of the span on, in two regions; the ids of their events, oldest first."""
    number = first
    objects: dict[str, bytes] = {}
    for day in range(days):
        for each in range(a_day):
            at = datetime(2025, 2, 1, 6 + each % 12, each // 12, tzinfo=UTC) + timedelta(days=day)
            numbers = range(number, number + records)
            number += records
            key = log_key(at.strftime("%Y%m%dT%H%M"), numbers[0], region=REGIONS[each % 2])
            objects[key] = log_file([record(one, eventTime=at.strftime("%Y-%m-%dT%H:%M:%SZ")) for one in numbers])
    story.aws.put_many(story.bucket, objects)
    return [record(one)["eventID"] for one in range(first, number)]


def live(story: Story, number: int) -> str:
    """A file that has just appeared."""
    story.aws.put(story.bucket, log_key(LIVE, number), log_file([record(number)]))
    return str(record(number)["eventID"])


async def begun(story: Story, **more: Any) -> Any:
    return await story.product.api.post(f"/sources/{story.source}/backfill", {"from": FROM, "to": TO, **more})


async def seen(story: Story, backfill: Any) -> Any:
    return await story.product.api.get(f"/sources/{story.source}/backfills/{backfill['id']}")


async def turns(story: Story, number: int) -> None:
    """So many turns of the backfill, and nothing else."""
    for _ in range(number):
        await story.product.jobs.handlers()[JOB](story.source)
    story.product.queue.hinted.clear()


async def test_a_backfill_brings_every_event_of_its_span_once_with_live_polling_beside_it(story: Story) -> None:
    first = live(story, 9_000)
    old = past(story)
    past(story, days=1, a_day=1, first=5_000)  # again under other keys: other events
    await story.add(startFrom="2025-06-15T00:00:00Z")
    assert story.ids() == [first]

    backfill = await begun(story)
    assert (backfill["state"], backfill["progress"], backfill["unitsLeft"]) == ("running", 0.0, 0)
    second = live(story, 9_001)
    await story.product.poll(story.source)
    done = await seen(story, backfill)
    assert (done["state"], done["progress"], done["unitsLeft"]) == ("done", 1.0, 0)
    assert (done["objectsFound"], done["objectsKnown"]) == (41, 0)
    wanted = [first, second, *old, *(record(5_000 + one)["eventID"] for one in range(3))]
    assert sorted(story.ids()) == sorted(wanted)

    again = await begun(story)
    await story.after(60)
    done = await seen(story, again)
    assert (done["state"], done["objectsKnown"]) == ("done", 41)
    assert sorted(story.ids()) == sorted(wanted)
    listed = (await story.product.api.get(f"/sources/{story.source}/backfills"))["backfills"]
    assert [each["id"] for each in listed] == [again["id"], backfill["id"]]


async def test_a_dry_run_judges_the_cost_and_fetches_nothing(story: Story) -> None:
    past(story)
    await story.add(startFrom="2025-06-15T00:00:00Z")
    planned = await begun(story, dryRun=True)
    assert (planned["id"], planned["state"]) == (None, "planned")
    estimate = planned["estimate"]
    assert (estimate["objects"], estimate["getRequests"], estimate["listRequests"]) == (40, 40, 2)
    assert estimate["dollars"] == pytest.approx(40 * 0.0004 / 1_000 + 2 * 0.005 / 1_000)
    assert "2 of 2 directories were counted" in estimate["basis"]
    await story.after(60)
    assert story.ids() == []
    assert (await story.product.api.get(f"/sources/{story.source}/backfills"))["backfills"] == []


async def test_what_is_live_is_read_before_the_rest_of_a_backfill(story: Story) -> None:
    old = past(story)
    await story.add(startFrom="2025-06-15T00:00:00Z")
    backfill = await begun(story)
    await turns(story, 1)
    await story.product.jobs.handlers()["deliver"](story.source)
    found = story.ids()
    assert found
    assert len(found) < len(old)
    assert (await seen(story, backfill))["state"] == "running"

    new = live(story, 9_000)
    await story.product.api.post(f"/sources/{story.source}/fetch")
    handlers = story.product.jobs.handlers()
    await handlers["poll"](story.source)
    await turns(story, 3)  # the backfill is offered the processor first, and leaves it
    await handlers["intake"](story.source)
    await handlers["deliver"](story.source)
    assert story.ids() == [*found, new]
    await story.after(60)
    assert sorted(story.ids()) == sorted([*old, new])


async def test_a_backfill_waits_while_the_receiver_is_slow_and_its_batches_are_not_called_late(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    async with telling(tmp_path, aws, backfill_batches_max=2, group_units_max=5) as story:
        old = past(story)
        await story.add(startFrom="2025-06-15T00:00:00Z")
        story.receiver.answer = lambda _: 429
        await begun(story)
        await story.after(60, step_s=20)
        status = await story.product.status(story.source)
        assert status["outbox"]["batches"] == 2
        assert status["units"]["waiting"] == 30
        assert status["lagSeconds"] <= 60
        story.receiver.answer = lambda _: 200
        await story.after(1_800, step_s=120)
        assert sorted(story.ids()) == sorted(old)


async def test_a_backfill_that_is_stopped_keeps_what_it_found_and_goes_on_when_resumed(story: Story) -> None:
    old = past(story)
    await story.add(startFrom="2025-06-15T00:00:00Z")
    backfill = await begun(story)
    path = f"/sources/{story.source}/backfills/{backfill['id']}"
    await turns(story, 1)
    assert (await story.product.api.post(f"{path}/stop"))["state"] == "stopped"
    await story.after(60)
    stopped = await seen(story, backfill)
    taken = story.ids()
    assert 0 < len(taken) < len(old)
    assert 0 < stopped["progress"] < 1
    await story.after(60)
    assert story.ids() == taken
    assert (await story.product.api.post(f"{path}/resume"))["state"] == "running"
    await story.after(60)
    assert (await seen(story, backfill))["state"] == "done"
    assert sorted(story.ids()) == sorted(old)
    for verb in ("stop", "resume"):
        assert (await story.product.api.call("POST", f"{path}/{verb}")).status == 409


async def test_one_backfill_of_a_source_runs_at_a_time(story: Story) -> None:
    past(story)
    await story.add(startFrom="2025-06-15T00:00:00Z")
    first = await begun(story)
    reply = await story.product.api.call("POST", f"/sources/{story.source}/backfill", {"from": FROM})
    assert reply.status == 409
    assert first["id"] in reply.json["detail"]
    await story.product.api.post(f"/sources/{story.source}/backfills/{first['id']}/stop")
    second = await begun(story)
    path = f"/sources/{story.source}/backfills/{first['id']}/resume"
    assert (await story.product.api.call("POST", path)).status == 409
    await story.after(60)
    assert (await seen(story, second))["state"] == "done"


async def test_a_paused_source_does_not_backfill(story: Story) -> None:
    old = past(story)
    await story.add(startFrom="2025-06-15T00:00:00Z")
    await begun(story)
    await story.product.api.post(f"/sources/{story.source}/pause")
    await story.after(60)
    assert (await story.product.status(story.source))["units"]["waiting"] == 0
    await story.product.api.post(f"/sources/{story.source}/resume")
    await story.after(60)
    assert sorted(story.ids()) == sorted(old)


async def test_a_file_that_polls_find_too_does_not_wait_for_the_backfill_that_found_it_first(story: Story) -> None:
    past(story)
    new = live(story, 9_000)
    await story.add(startFrom="2025-06-15T00:00:00Z", logFetchInterval=86_400)
    assert story.ids() == [new]
    newer = live(story, 9_001)
    await begun(story, to=None)
    await turns(story, 1)
    assert newer not in story.ids()
    await story.product.api.post(f"/sources/{story.source}/fetch")
    handlers = story.product.jobs.handlers()
    for kind in ("poll", "intake", "deliver"):
        await handlers[kind](story.source)
    assert newer in story.ids()


async def test_a_refused_listing_is_told_and_the_backfill_goes_on_when_it_is_allowed(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    between = Between(aws)
    async with between.server, telling(tmp_path, aws, endpoint_url=between.endpoint_url) as story:
        old = past(story)
        await story.add(startFrom="2025-06-15T00:00:00Z", logFetchInterval=86_400)
        backfill = await begun(story)
        between.refuse = lambda request: refused(403, "AccessDenied") if "list-type" in request.path else None
        await story.after(30)
        view = await seen(story, backfill)
        assert (view["state"], view["objectsFound"]) == ("running", 0)
        assert "s3:ListBucket" in view["detail"]
        reply = await story.product.api.call(
            "POST", f"/sources/{story.source}/backfill", {"from": FROM, "dryRun": True}
        )
        assert reply.status == 409
        assert "s3:ListBucket" in reply.json["detail"]
        between.refuse = lambda _: None
        await story.after(1_200, step_s=60)
        assert (await seen(story, backfill))["detail"] == ""
        assert sorted(story.ids()) == sorted(old)


async def test_old_objects_that_cannot_be_read_do_not_put_the_source_in_question(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    between = Between(aws)
    between.refuse = lambda request: refused(403, "AccessDenied") if ".json.gz" in request.path else None
    async with between.server, telling(tmp_path, aws, endpoint_url=between.endpoint_url) as story:
        past(story, days=1)
        await story.add(startFrom="2025-06-15T00:00:00Z")
        backfill = await begun(story)
        await story.after(60)
        assert await story.state() == "active"
        assert (await seen(story, backfill))["unitsLeft"] == 2


async def test_nothing_is_left_of_the_backfills_of_a_removed_source(story: Story) -> None:
    past(story)
    await story.add(startFrom="2025-06-15T00:00:00Z")
    await begun(story)
    reply = await story.product.api.call("DELETE", f"/remove-source/{story.source}")
    assert reply.status == 200
    await story.product.jobs.handlers()["janitor"]("")
    store = story.product.parts.store
    assert await store.documents("backfills") == {}
    assert await store.documents("backfill-stretches") == {}


async def test_what_cannot_be_a_span_is_refused_by_name(story: Story) -> None:
    await story.add()
    for body, field in (
        ({}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2999-01-01T00:00:00Z"}, "from"),
        ({"from": TO, "to": FROM}, "to"),
        ({"from": FROM, "until": TO}, "until"),
    ):
        reply = await story.product.api.call("POST", f"/sources/{story.source}/backfill", body)
        assert (reply.status, [each["field"] for each in reply.json["errors"]]) == (422, [field])
    path = f"/sources/{story.source}/backfills/unheard-of"
    assert (await story.product.api.call("GET", path)).status == 404


async def test_a_source_older_than_the_ledgers_memory_is_told_what_may_come_twice(story: Story) -> None:
    await story.add(startFrom="2025-06-15T00:00:00Z")
    assert "TRAILHOOK_LEDGER_DAYS" in (await begun(story, dryRun=True))["notes"][0]


async def test_lookup_events_are_backfilled_as_far_back_as_they_go(tmp_path: Path) -> None:
    clock = FakeClock(START_AT)
    with simulated_aws_with_lookup(clock.now) as (aws, history):
        async with (
            receiving() as receiver,
            running(tmp_path, hosts=(receiver.host,), endpoints=(aws.host,), clock=clock) as product,
        ):
            for number in range(40):
                at = START_AT - 86_400 * 3 + number * 600
                history.add(raw_record(number, at), appears_at=at)
            source = await product.add_source(
                endpointUrl=aws.endpoint_url, callbackUrl=receiver.url, startFrom="now", logFetchInterval=86_400
            )
            await product.work()
            assert receiver.of_type("cloudtrail.events") == []
            span = {"from": "2025-06-12T15:00:00Z", "to": "2025-06-12T23:00:00Z"}
            backfill = await product.api.post(f"/sources/{source}/backfill", span)
            assert backfill["estimate"]["lookupRequests"] == 2 * 8 * 4
            assert (backfill["estimate"]["objects"], backfill["estimate"]["dollars"]) == (0, 0.0)
            for _ in range(20):
                await product.work()
            done = await product.api.get(f"/sources/{source}/backfills/{backfill['id']}")
            assert (done["state"], done["objectsFound"]) == ("done", 64)
            ids = [event["eventID"] for each in receiver.taken for event in each.events]
            assert len(ids) == len(set(ids)) == 40
            assert (await product.status(source))["fetch"]["reason"] == ""
