"""Replay as a receiver meets it: what it took comes once more, the same bytes under new ids, counted apart."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.aws import SimulatedAws
from support.receiver import Delivery
from support.samples import record
from support.story import Story, telling
from trailhook.api.context import cursor_of

HOUR = {"from": "2025-06-15T12:00:00Z", "to": "2025-06-15T13:00:00Z"}


@pytest.fixture
async def story(tmp_path: Path, aws: SimulatedAws) -> AsyncIterator[Story]:
    async with telling(tmp_path, aws) as story:
        story.put([record(number) for number in range(30)])
        await story.add(delivery={"maxEvents": 10})
        yield story


async def replayed(story: Story, **body: Any) -> Any:
    answer = await story.product.api.post(f"/sources/{story.source}/replay", body)
    await story.product.work()
    return answer


def is_replay(delivery: Delivery) -> bool:
    return delivery.headers.get("x-trailhook-replay") == "true"


async def test_what_was_taken_comes_once_more_the_same_bytes_under_new_ids(story: Story) -> None:
    first = list(story.receiver.taken)
    counts = await story.counts()
    assert await replayed(story, **HOUR) == {"batches": 3, "events": 30, "gone": 0, "next": None}
    again = story.receiver.taken[len(first) :]
    assert [each.wire for each in again] == [each.wire for each in first]
    assert not {each.id for each in again} & {each.id for each in first}
    assert (any(map(is_replay, first)), all(map(is_replay, again))) == (False, True)
    status = await story.product.status(story.source)
    assert (status["counts"], status["replayed"]) == (counts, 30)
    listed = (await story.product.api.get(f"/deliveries?source={story.source}"))["deliveries"]
    assert [each["kind"] for each in listed] == ["replay"] * 3 + ["events"] * 3
    found = await story.product.api.get(f"/events?source={story.source}")
    assert len(found["events"]) == 30
    assert await replayed(story, **HOUR, dryRun=True) == {"batches": 3, "events": 30, "gone": 0, "next": None}


async def test_batches_go_whole_if_one_of_their_events_is_in_the_span(story: Story) -> None:
    answer = await replayed(story, **{"from": "2025-06-15T12:00:05Z", "to": "2025-06-15T12:00:06Z"})
    assert (answer["batches"], answer["events"]) == (1, 10)
    nothing = await replayed(story, **{"from": "2025-06-15T13:00:00Z"})
    assert (nothing["batches"], nothing["next"]) == (0, None)


async def test_batches_are_replayed_by_name(story: Story) -> None:
    first = story.receiver.taken[0]
    answer = await replayed(story, batches=[first.id, first.id])
    assert (answer["batches"], answer["events"]) == (1, 10)
    again = story.receiver.taken[-1]
    assert again.wire == first.wire
    for ids, status in (([again.id], 409), (["msg_unheard_of"], 404)):
        reply = await story.product.api.call("POST", f"/sources/{story.source}/replay", {"batches": ids})
        assert reply.status == status


async def test_a_replay_that_is_too_large_for_its_receiver_is_halved_and_stays_a_replay(story: Story) -> None:
    story.receiver.answer = lambda delivery: 413 if len(delivery.events) > 5 else 200
    count = len(story.receiver.taken)
    await replayed(story, **HOUR)
    await story.after(60)
    halves = story.receiver.taken[count:]
    assert len(halves) == 6
    assert all(map(is_replay, halves))
    assert (await story.product.status(story.source))["replayed"] == 30


async def test_a_long_replay_goes_call_by_call_and_leaves_room_for_what_is_new(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    async with telling(tmp_path, aws) as story:
        story.put([record(number) for number in range(130)])
        await story.add(delivery={"maxEvents": 1})
        story.receiver.answer = lambda _: 429
        path = f"/sources/{story.source}/replay"
        first = await story.product.api.post(path, HOUR)
        assert (first["batches"], bool(first["next"])) == (100, True)
        held = await story.product.api.post(path, {**HOUR, "cursor": first["next"]})
        assert held == {"batches": 0, "events": 0, "gone": 0, "next": first["next"]}
        story.receiver.answer = lambda _: 200
        await story.after(600, step_s=60)
        rest = await replayed(story, **HOUR, cursor=first["next"])
        assert (rest["batches"], rest["next"]) == (30, None)
        status = await story.product.status(story.source)
        assert (status["counts"]["sent"], status["replayed"]) == (130, 130)


async def test_bodies_that_are_not_kept_are_counted_as_gone(tmp_path: Path, aws: SimulatedAws) -> None:
    async with telling(tmp_path, aws, store_events="metadata") as story:
        story.put([record(1)])
        await story.add()
        for dry_run in (True, False):
            answer = await replayed(story, **HOUR, dryRun=dry_run)
            assert answer == {"batches": 0, "events": 0, "gone": 1, "next": None}


async def test_what_cannot_be_replayed_is_refused_by_name(story: Story) -> None:
    for body, field in (
        ({}, "from"),
        ({**HOUR, "batches": ["msg_a"]}, "from"),
        ({"batches": ["msg_a"], "to": HOUR["to"]}, "batches"),
        ({"batches": []}, "batches"),
        ({"from": HOUR["to"], "to": HOUR["from"]}, "to"),
        ({**HOUR, "cursor": "of another list"}, "cursor"),
        ({**HOUR, "cursor": cursor_of(2**64 - 1)}, "cursor"),
    ):
        reply = await story.product.api.call("POST", f"/sources/{story.source}/replay", body)
        assert (reply.status, [each["field"] for each in reply.json["errors"]]) == (422, [field])
