"""A source is edited, paused or removed while a request of its is under way."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from support.aws import SimulatedAws
from support.receiver import Delivery
from support.samples import record
from support.story import MINUTE_S, Story, telling

HOUR_S = 3_600.0


@pytest.fixture
async def story(tmp_path: Path, aws: SimulatedAws) -> AsyncIterator[Story]:
    async with telling(tmp_path, aws) as story:
        yield story


def once(story: Story, act: Callable[[], Awaitable[object]]) -> None:
    """Do this while the first request waits for its answer."""

    async def before_answer() -> None:
        story.receiver.before_answer = None
        await act()

    story.receiver.before_answer = before_answer


async def test_nothing_follows_a_request_that_was_under_way_when_its_source_was_removed(story: Story) -> None:
    async def remove() -> None:
        reply = await story.product.api.call("DELETE", f"/remove-source/{story.source}")
        assert reply.json["discarded"]["waiting"] == 20

    story.put([record(number) for number in range(20)])
    await story.add(delivery={"maxEvents": 5, "ordered": True}, s3Prefix="nothing/")
    await story.patch(s3Prefix="")
    once(story, remove)
    await story.after(5 * MINUTE_S, step_s=30.0)
    assert len(story.receiver.deliveries) == 1
    assert (await story.product.api.get("/sources"))["sources"] == []


async def test_a_source_paused_under_a_request_settles_it_and_sends_no_other(story: Story) -> None:
    async def pause() -> None:
        await story.product.api.post(f"/sources/{story.source}/pause")

    await story.add(delivery={"maxEvents": 5, "ordered": True})
    story.put([record(number) for number in range(20)])
    once(story, pause)
    await story.after(5 * MINUTE_S, step_s=30.0)
    counts = await story.counts()
    assert (len(story.receiver.deliveries), counts["sent"], counts["waiting"]) == (1, 5, 15)
    await story.product.api.post(f"/sources/{story.source}/resume")
    await story.after(MINUTE_S, step_s=30.0)
    assert sorted(story.ids()) == [record(number)["eventID"] for number in range(20)]
    assert len({each.id for each in story.receiver.deliveries}) == len(story.receiver.deliveries) == 4


async def test_a_callback_changed_under_a_request_gets_the_rest_with_its_bytes(story: Story) -> None:
    async def move() -> None:
        await story.patch(callbackUrl=story.receiver.url + "-new", delivery={"format": "ndjson"})

    await story.add(delivery={"maxEvents": 5, "ordered": True})
    story.put([record(number) for number in range(20)])
    once(story, move)
    await story.after(5 * MINUTE_S, step_s=30.0)
    assert sorted(story.ids()) == [record(number)["eventID"] for number in range(20)]
    assert {each.type for each in story.receiver.deliveries} == {"cloudtrail.events"}


async def test_waiting_behind_a_dead_callback_does_not_count_as_age_at_the_next_one(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    """For hours most of the time passed behind an open breaker; the new callback fails once, and has its time, too."""

    def answer(delivery: Delivery) -> int:
        if "x-new" not in delivery.headers:
            return 500
        news.append(delivery.id)
        return 500 if len(news) == 1 else 200

    news: list[str] = []
    async with telling(tmp_path, aws, give_up_after_s=HOUR_S, give_up_attempts_min=2) as story:
        story.receiver.answer = answer
        story.put([record(1)])
        await story.add(logFetchInterval=86_400)
        await story.after(6 * HOUR_S, step_s=120.0)
        assert (await story.counts())["waiting"] == 1
        await story.patch(callbackUrl=story.receiver.url + "-new", delivery={"headers": {"X-New": "yes"}})
        await story.after(0.5 * HOUR_S, step_s=120.0)
        counts = await story.counts()
        assert (counts["sent"], counts["deadLettered"]) == (1, 0)


async def test_a_full_list_of_dead_letters_holds_the_source_until_some_are_discarded(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    async with telling(tmp_path, aws, dead_letter_bytes_max=1, in_flight_max=1) as story:
        story.receiver.answer = lambda delivery: 413 if delivery.type == "cloudtrail.events" else 200
        story.put([record(1), record(2), record(3)])
        await story.add(delivery={"maxEvents": 1})
        await story.after(MINUTE_S)
        counts = await story.counts()
        assert (await story.state(), counts["deadLettered"], counts["waiting"]) == ("needs_attention", 1, 2)
        story.receiver.answer = lambda _: 200
        (dead,) = (await story.product.api.get("/deliveries?status=dead"))["deliveries"]
        assert (await story.product.api.call("DELETE", f"/deliveries/{dead['id']}")).status == 200
        await story.after(MINUTE_S)
        assert await story.state() == "active"
        counts = await story.counts()
        assert (counts["discarded"], counts["deadLettered"], counts["sent"]) == (1, 0, 2)


async def test_a_source_is_well_again_once_its_dead_letters_are_few_though_nothing_is_due(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    async with telling(tmp_path, aws, dead_letter_bytes_max=1) as story:
        story.receiver.answer = lambda delivery: 413 if delivery.type == "cloudtrail.events" else 200
        story.put([record(1)])
        await story.add()
        assert await story.state() == "needs_attention"
        (dead,) = (await story.product.api.get("/deliveries?status=dead"))["deliveries"]
        assert (await story.product.api.call("DELETE", f"/deliveries/{dead['id']}")).status == 200
        await story.after(MINUTE_S)
        assert (await story.state(), story.notices()) == ("active", ["source.needs_attention", "source.recovered"])
