"""The queue's contract: `queue.base`, sentence by sentence, for every implementation."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from support.queues import JOB_TIMEOUT_S, QUEUES, QueueUnderTest, Work, running
from trailhook.model import Job
from trailhook.queue.base import Priority, Queue


@pytest.fixture(params=QUEUES)
async def under_test(request: pytest.FixtureRequest) -> AsyncIterator[QueueUnderTest]:
    async with QUEUES[request.param](request, JOB_TIMEOUT_S) as opened:
        yield opened


@pytest.fixture
def queue(under_test: QueueUnderTest) -> Queue:
    return under_test.queue


def poll(source_id: str) -> Job:
    return Job(kind="poll", source_id=source_id)


async def test_a_hint_runs_the_handler_of_its_kind_with_the_source(queue: Queue, under_test: QueueUnderTest) -> None:
    polls, deliveries = Work.quick(), Work.quick()
    async with running(queue, poll=polls, deliver=deliveries):
        await queue.hint(poll("a"))
        await queue.hint(Job(kind="deliver", source_id="b"))
        await under_test.until(lambda: bool(polls.ended and deliveries.ended))
    assert (polls.started, deliveries.started) == (["a"], ["b"])


async def test_a_hint_from_before_the_start_is_not_forgotten(queue: Queue, under_test: QueueUnderTest) -> None:
    polls = Work.quick()
    await queue.hint(poll("a"))
    async with running(queue, poll=polls):
        await under_test.until(lambda: polls.started == ["a"])


async def test_a_hint_for_a_job_that_waits_is_the_same_job(queue: Queue, under_test: QueueUnderTest) -> None:
    polls = Work.quick()
    for _ in range(3):
        await queue.hint(poll("a"))
    assert (await queue.depth())["waiting"] == 1
    async with running(queue, poll=polls):
        await under_test.until(lambda: polls.ended == ["a"])
        assert polls.started == ["a"]


async def test_a_hint_while_the_job_runs_makes_it_run_once_more(queue: Queue, under_test: QueueUnderTest) -> None:
    polls = Work()
    async with running(queue, poll=polls):
        await queue.hint(poll("a"))
        await under_test.until(lambda: polls.started == ["a"])
        for _ in range(3):
            await queue.hint(poll("a"))
            await under_test.settled()
        assert polls.started == ["a"]
        polls.gate.set()
        await under_test.until(lambda: len(polls.ended) == 2)
    assert polls.started == ["a", "a"]


async def test_a_delayed_hint_runs_not_before_its_time(queue: Queue, under_test: QueueUnderTest) -> None:
    polls = Work.quick()
    async with running(queue, poll=polls):
        await queue.hint(poll("a"), delay_s=60.0)
        await under_test.settled()
        await under_test.advance(40.0)
        await under_test.settled()
        assert polls.started == []
        await under_test.advance(21.0)
        await under_test.until(lambda: polls.started == ["a"])


@pytest.mark.parametrize("delays_s", [(60.0, 20.0), (20.0, 60.0)])
async def test_of_two_hints_the_earlier_time_counts(
    queue: Queue, under_test: QueueUnderTest, delays_s: tuple[float, float]
) -> None:
    polls = Work.quick()
    async with running(queue, poll=polls):
        for delay_s in delays_s:
            await queue.hint(poll("a"), delay_s=delay_s)
            await under_test.settled()
        await under_test.advance(30.0)
        await under_test.until(lambda: polls.started == ["a"])
        await under_test.advance(60.0)
        await under_test.settled()
    assert polls.started == ["a"]


async def test_a_delayed_hint_for_a_running_job_waits_for_its_time_too(
    queue: Queue, under_test: QueueUnderTest
) -> None:
    polls = Work()
    async with running(queue, poll=polls):
        await queue.hint(poll("a"))
        await under_test.until(lambda: polls.started == ["a"])
        await queue.hint(poll("a"), delay_s=60.0)
        polls.gate.set()
        await under_test.until(lambda: polls.ended == ["a"])
        assert polls.started == ["a"]
        await under_test.advance(61.0)
        await under_test.until(lambda: polls.started == ["a", "a"])


async def test_at_most_so_many_of_a_kind_run_at_a_time_and_the_rest_follow(
    queue: Queue, under_test: QueueUnderTest
) -> None:
    polls, deliveries = Work(), Work.quick()
    async with running(queue, poll=polls, deliver=deliveries):
        for name in "abcde":
            await queue.hint(poll(name))
        await queue.hint(Job(kind="deliver", source_id="x"))
        await under_test.until(lambda: deliveries.started == ["x"] and len(polls.started) == 2)
        assert polls.started == ["a", "b"]
        polls.gate.set()
        await under_test.until(lambda: len(polls.started) == 5)
    assert polls.started == list("abcde")


async def test_live_work_goes_before_a_backfill(queue: Queue, under_test: QueueUnderTest) -> None:
    polls = Work.quick()
    await queue.hint(poll("old"), priority=Priority.BACKFILL)
    await queue.hint(poll("young"))
    async with running(queue, poll=polls):
        await under_test.until(lambda: len(polls.started) == 2)
    assert polls.started == ["young", "old"]


async def test_a_live_hint_lifts_the_backfill_hint_of_the_same_job(queue: Queue, under_test: QueueUnderTest) -> None:
    polls = Work.quick()
    await queue.hint(poll("another"), priority=Priority.BACKFILL)
    await queue.hint(poll("lifted"), priority=Priority.BACKFILL)
    await queue.hint(poll("lifted"), priority=Priority.LIVE)
    async with running(queue, poll=polls):
        await under_test.until(lambda: len(polls.started) == 2)
    assert polls.started == ["lifted", "another"]


async def test_a_backfill_hint_does_not_push_back_the_live_hint_of_the_same_job(
    queue: Queue, under_test: QueueUnderTest
) -> None:
    polls = Work.quick()
    await queue.hint(poll("another"), priority=Priority.BACKFILL)
    await queue.hint(poll("live"))
    await queue.hint(poll("live"), priority=Priority.BACKFILL)
    assert (await queue.depth())["waiting"] == 2
    async with running(queue, poll=polls):
        await under_test.until(lambda: len(polls.started) == 2)
    assert polls.started == ["live", "another"]


async def test_a_handler_that_raises_is_told_of_and_stops_nothing(
    queue: Queue, under_test: QueueUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    polls = Work.quick()

    async def breaks(_: str) -> None:
        raise RuntimeError("a defect")

    async with running(queue, poll=polls, deliver=breaks):
        await queue.hint(Job(kind="deliver", source_id="x"))
        await under_test.until(lambda: bool(caplog.records))
        await queue.hint(poll("a"))
        await under_test.until(lambda: polls.started == ["a"])
    assert [(each.levelno, each.exc_info is not None) for each in caplog.records] == [(logging.ERROR, True)]


@pytest.mark.parametrize("name", QUEUES)
async def test_a_job_that_hangs_is_cancelled_and_told_of_and_others_go_on(
    name: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    hangs, deliveries = Work(), Work.quick()
    async with (
        QUEUES[name](request, 0.1) as under_test,
        running(under_test.queue, poll=hangs, deliver=deliveries),
    ):
        for source_id in "ab":
            await under_test.queue.hint(poll(source_id))
        await under_test.queue.hint(Job(kind="deliver", source_id="x"))
        await under_test.until(lambda: deliveries.ended == ["x"] and len(hangs.ended) == 2)
        await under_test.queue.hint(poll("c"))
        await under_test.until(lambda: hangs.started == ["a", "b", "c"])
    assert [(each.levelno, each.getMessage()) for each in caplog.records][:2] == [
        (logging.ERROR, "job poll took too long and was cancelled")
    ] * 2


async def test_cancelling_cancels_the_jobs_and_waits_until_they_have_ended(
    queue: Queue, under_test: QueueUnderTest
) -> None:
    polls = Work()
    async with running(queue, poll=polls) as task:
        for name in "abc":
            await queue.hint(poll(name))
        await under_test.until(lambda: len(polls.started) == 2)
        task.cancel()
        await asyncio.wait({task})
        assert (polls.started, sorted(polls.ended)) == (["a", "b"], ["a", "b"])
    assert (await queue.depth())["running"] == 0


async def test_what_waited_when_the_run_was_cancelled_still_waits(queue: Queue, under_test: QueueUnderTest) -> None:
    polls = Work()
    async with running(queue, poll=polls):
        for name in "abc":
            await queue.hint(poll(name))
        await under_test.until(lambda: len(polls.started) == 2)
    again = Work.quick()
    async with running(queue, poll=again):
        await under_test.until(lambda: again.started == ["c"])


async def test_the_depth_says_what_waits_is_delayed_and_runs(queue: Queue, under_test: QueueUnderTest) -> None:
    polls = Work()
    async with running(queue, poll=polls):
        for name in "abc":
            await queue.hint(poll(name))
        await queue.hint(poll("later"), delay_s=60.0)
        await under_test.until(lambda: len(polls.started) == 2)
        assert await queue.depth() == {"waiting": 1, "delayed": 1, "running": 2}
        await queue.check()  # within reach: raises nothing
