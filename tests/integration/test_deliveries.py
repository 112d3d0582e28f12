"""What a user sees when the webhook misbehaves: nothing lost, the same bytes under the same id, on the schedule."""

import gzip
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from support.aws import SimulatedAws
from support.receiver import Answer, Delivery
from support.samples import log_file, log_key, record
from support.story import MINUTE_S, Story, telling


@pytest.fixture
async def story(tmp_path: Path, aws: SimulatedAws) -> AsyncIterator[Story]:
    async with telling(tmp_path, aws) as story:
        yield story


async def test_a_receiver_that_fails_for_a_while_gets_everything_with_the_same_bytes_under_each_id(
    story: Story,
) -> None:
    story.receiver.answer = lambda _: 500
    story.put([record(number) for number in range(30)])
    await story.add(delivery={"maxEvents": 10})
    await story.after(10 * MINUTE_S)
    assert story.receiver.taken == []
    assert (await story.counts())["waiting"] == 30
    story.receiver.answer = lambda _: 200
    await story.after(40 * MINUTE_S, step_s=30.0)
    assert sorted(story.ids()) == sorted(record(number)["eventID"] for number in range(30))
    events = [each for each in story.receiver.deliveries if each.type == "cloudtrail.events"]
    assert len({each.id for each in events}) == 3
    assert len({(each.id, each.sha256) for each in events}) == 3
    assert (await story.counts())["sent"] == 30


async def test_attempts_at_a_batch_follow_the_schedule(story: Story) -> None:
    """One batch fails on its own (429 never opens the breaker), so each attempt shows its own delay."""
    times: list[float] = []

    def refuse(delivery: Delivery) -> Answer:
        if delivery.type == "cloudtrail.events":
            times.append(story.clock.now())
        return 429

    story.receiver.answer = refuse
    story.put([record(1)])
    await story.add()
    await story.after(50 * MINUTE_S, step_s=1.0)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    for gap, planned_s in zip(gaps, (5, 30, 120, 300, 600, 900), strict=False):
        assert planned_s * 0.8 - 1 <= gap <= planned_s * 1.2 + 2, gaps
    assert len(gaps) >= 6


async def test_one_poison_event_ends_alone_in_the_dead_letters_and_is_delivered_when_it_is_healed(story: Story) -> None:
    poison = record(13)["eventID"]

    def answer(delivery: Delivery) -> Answer:
        return 400 if any(event["eventID"] == poison for event in delivery.events) else 200

    story.receiver.answer = answer
    story.put([record(number) for number in range(40)])
    await story.add()
    await story.after(60 * MINUTE_S)
    assert sorted(story.ids()) == sorted(record(number)["eventID"] for number in range(40) if number != 13)
    counts = await story.counts()
    assert (counts["sent"], counts["deadLettered"], counts["waiting"]) == (39, 1, 0)
    dead = (await story.product.api.get(f"/deliveries?source={story.source}&status=dead"))["deliveries"]
    assert [each["count"] for each in dead] == [1]
    story.receiver.answer = lambda _: 200
    await story.product.api.post(f"/deliveries/{dead[0]['id']}/retry")
    await story.product.work()
    assert story.ids().count(poison) == 1
    assert story.receiver.taken[-1].id == dead[0]["id"]
    assert (await story.counts())["sent"] == 40


async def test_a_body_too_large_is_halved_until_it_is_taken_and_children_name_their_parent(story: Story) -> None:
    story.receiver.answer = lambda delivery: 413 if len(delivery.events) > 3 else 200
    story.put([record(number) for number in range(10)])
    await story.add()
    await story.after(MINUTE_S)
    assert sorted(story.ids()) == sorted(record(number)["eventID"] for number in range(10))
    sent = {each.id for each in story.receiver.deliveries}
    for delivery in story.receiver.taken:
        assert delivery.headers["x-trailhook-parent"] in sent
    counts = await story.counts()
    assert (counts["sent"], counts["waiting"]) == (10, 0)


async def test_a_410_pauses_the_source_and_loses_nothing(story: Story) -> None:
    story.receiver.answer = lambda _: 410
    story.put([record(number) for number in range(5)])
    await story.add()
    await story.after(30 * MINUTE_S, step_s=30.0)
    assert len(story.receiver.deliveries) == 1
    source = await story.product.api.get(f"/sources/{story.source}")
    assert source["delivery"]["state"] == "paused"
    assert "410" in source["delivery"]["reason"]
    story.receiver.answer = lambda _: 200
    await story.after(150 * MINUTE_S, step_s=60.0)
    assert (await story.counts())["sent"] == 5
    types = [each.type for each in story.receiver.taken]
    assert types.count("source.needs_attention") == 1
    assert types.count("source.recovered") == 1


async def test_refused_credentials_of_the_receiver_need_attention_once_and_nothing_is_given_up(story: Story) -> None:
    story.receiver.answer = lambda _: 401
    story.put([record(number) for number in range(5)])
    await story.add()
    await story.after(10 * MINUTE_S)
    source = await story.product.api.get(f"/sources/{story.source}")
    assert source["status"] == "needs_attention"
    assert source["delivery"]["remedy"]
    assert (await story.counts())["waiting"] == 5
    story.receiver.answer = lambda _: 200
    await story.after(60 * MINUTE_S, step_s=30.0)
    assert (await story.counts())["sent"] == 5
    assert [each.type for each in story.receiver.of_type("source.")] == [
        "source.needs_attention",
        "source.recovered",
    ]
    assert (await story.product.api.get(f"/sources/{story.source}"))["status"] == "active"


async def test_retry_after_is_obeyed(story: Story) -> None:
    times: list[float] = []

    def answer(_: Delivery) -> Answer:
        times.append(story.clock.now())
        return (429, {"retry-after": "100"}) if len(times) == 1 else 200

    story.receiver.answer = answer
    story.put([record(1)])
    await story.add()
    await story.after(3 * MINUTE_S, step_s=1.0)
    assert len(times) == 2
    assert 100 <= times[1] - times[0] <= 102


async def test_a_paused_source_sends_nothing_until_it_is_resumed(story: Story) -> None:
    await story.add()
    await story.product.api.post(f"/sources/{story.source}/pause")
    story.put([record(1)])
    await story.after(5 * MINUTE_S, step_s=30.0)
    assert story.receiver.deliveries == []
    await story.product.api.post(f"/sources/{story.source}/resume")
    await story.after(2 * MINUTE_S, step_s=30.0)
    assert len(story.ids()) == 1


async def test_late_and_same_minute_files_are_forwarded_however_old_their_label(story: Story) -> None:
    """The clock stands at 2025-06-15 15:06 UTC."""
    story.put([record(1)], "20250615T1200Z", "MMMMMMMMMMMMMMMM")
    await story.add(startFrom="beginning")
    story.put([record(2)], "20250615T1200Z", "AAAAAAAAAAAAAAAA")
    story.put([record(3)], "20250615T1155Z", "ZZZZZZZZZZZZZZZZ")
    story.put([record(4)], "20250614T2000Z", "ZZZZZZZZZZZZZZZZ")
    await story.after(2 * MINUTE_S, step_s=60.0)
    assert sorted(story.ids()) == [record(number)["eventID"] for number in (1, 2, 3, 4)]
    story.put([record(5)], "20250526T0000Z", "QQQQQQQQQQQQQQQQ")
    await story.after(7 * 60 * MINUTE_S, step_s=600.0)
    assert sorted(story.ids()) == [record(number)["eventID"] for number in (1, 2, 3, 4, 5)]


async def test_what_cannot_be_read_is_quarantined_with_its_reason_and_costs_no_neighbour(story: Story) -> None:
    good = log_file([record(1)])
    bad = {
        "TRUNCATEDTRUNCAT": log_file([record(2)])[:-20],
        "NOTGZIPNOTGZIPNO": b"plain text",
        "EMPTYEMPTYEMPTYE": b"",
        "BROKENBROKENBROK": gzip.compress(b'{"Records":[{"a":1},'),
        "NORECORDSNORECOR": gzip.compress(b'{"hello":"world"}'),
        "BOMBBOMBBOMBBOMB": gzip.compress(b'{"Records":[' + b" " * 60_000_000 + b"]}"),
    }
    for unique, data in bad.items():
        story.aws.put(story.bucket, log_key("20250615T1200Z", unique), data)
    story.aws.put(story.bucket, log_key("20250615T1205Z", "GOODGOODGOODGOOD"), good)
    one_bad_record = (
        b'{"Records":[' + json.dumps(record(3)).encode() + b',{"eventID":NaN},' + json.dumps(record(4)).encode() + b"]}"
    )
    story.aws.put(story.bucket, log_key("20250615T1205Z", "MIXEDMIXEDMIXEDM"), gzip.compress(one_bad_record))
    surrogate = json.dumps(record(5, userAgent="lone \ud800")).encode()
    huge = json.dumps(record(6, requestParameters={"pad": "x" * 256_000})).encode()
    twice = json.dumps(record(7)).encode()[:-1] + b',"readOnly":false}'
    nameless = json.dumps({key: value for key, value in record(8).items() if key != "eventID"}).encode()
    odd = b'{"Records":[' + b",".join((surrogate, huge, twice, nameless)) + b"]}"
    story.aws.put(story.bucket, log_key("20250615T1210Z", "ODDODDODDODDODDO"), gzip.compress(odd))
    await story.add()
    await story.after(MINUTE_S, step_s=30.0)
    sent = b"\n".join(each.body for each in story.receiver.taken)
    for raw in (surrogate, huge, twice, nameless, json.dumps(record(3)).encode(), json.dumps(record(4)).encode()):
        assert sent.count(raw) == 1
    counts = await story.counts()
    assert (counts["sent"], counts["quarantined"]) == (7, 1)
    entries = (await story.product.api.get("/quarantine"))["quarantine"]
    assert len(entries) == len(bad) + 1
    assert all(entry["reason"] for entry in entries)
    story.aws.put(story.bucket, log_key("20250615T1200Z", "EMPTYEMPTYEMPTYE"), log_file([record(9)]))
    await story.after(2 * MINUTE_S, step_s=60.0)
    assert record(9)["eventID"] in story.ids()
