"""The queue's contract: `queue.base`, sentence by sentence, for every implementation."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from support.clock import FakeClock
from trailhook.model import Job
from trailhook.queue.base import Handler, Priority, Queue
from trailhook.queue.local import LocalQueue

QUEUES: dict[str, Callable[[FakeClock], Queue]] = {"local": LocalQueue}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(automatic=False)


@pytest.fixture(params=QUEUES)
def queue(request: pytest.FixtureRequest, clock: FakeClock) -> Queue:
    return QUEUES[request.param](clock)


@dataclass
class Work:
    """A handler that writes down what it was given and, if told to, waits until it may end."""

    started: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def quick(cls) -> "Work":
        work = cls()
        work.gate.set()
        return work

    async def __call__(self, source_id: str) -> None:
        self.started.append(source_id)
        try:
            await self.gate.wait()
        finally:
            self.ended.append(source_id)


async def settled() -> None:
    """Let everything that can happen now happen."""
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(queue: Queue, **handlers: Handler) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(queue.run(handlers, concurrency=dict.fromkeys(handlers, 2)))
    await settled()
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def poll(source_id: str) -> Job:
    return Job(kind="poll", source_id=source_id)


async def test_a_hint_runs_the_handler_of_its_kind_with_the_source(queue: Queue) -> None:
    polls, deliveries = Work.quick(), Work.quick()
    async with running(queue, poll=polls, deliver=deliveries):
        await queue.hint(poll("a"))
        await queue.hint(Job(kind="deliver", source_id="b"))
        await settled()
    assert (polls.started, deliveries.started) == (["a"], ["b"])


async def test_a_hint_from_before_the_start_is_not_forgotten(queue: Queue) -> None:
    polls = Work.quick()
    await queue.hint(poll("a"))
    async with running(queue, poll=polls):
        assert polls.started == ["a"]


async def test_a_hint_for_a_job_that_waits_is_the_same_job(queue: Queue) -> None:
    polls = Work.quick()
    for _ in range(3):
        await queue.hint(poll("a"))
    assert (await queue.depth())["waiting"] == 1
    async with running(queue, poll=polls):
        assert polls.started == ["a"]


async def test_a_hint_while_the_job_runs_makes_it_run_once_more(queue: Queue) -> None:
    polls = Work()
    async with running(queue, poll=polls):
        for _ in range(3):
            await queue.hint(poll("a"))
            await settled()
        assert polls.started == ["a"]
        polls.gate.set()
        await settled()
    assert polls.started == ["a", "a"]


async def test_a_delayed_hint_runs_not_before_its_time(queue: Queue, clock: FakeClock) -> None:
    polls = Work.quick()
    async with running(queue, poll=polls):
        await queue.hint(poll("a"), delay_s=10.0)
        await settled()
        clock.advance(9.9)
        await settled()
        assert polls.started == []
        clock.advance(0.2)
        await settled()
    assert polls.started == ["a"]


@pytest.mark.parametrize("delays_s", [(10.0, 2.0), (2.0, 10.0)])
async def test_of_two_hints_the_earlier_time_counts(
    queue: Queue, clock: FakeClock, delays_s: tuple[float, float]
) -> None:
    polls = Work.quick()
    async with running(queue, poll=polls):
        for delay_s in delays_s:
            await queue.hint(poll("a"), delay_s=delay_s)
            await settled()
        clock.advance(3.0)
        await settled()
        assert polls.started == ["a"]
        clock.advance(10.0)
        await settled()
    assert polls.started == ["a"]


async def test_a_delayed_hint_for_a_running_job_waits_for_its_time_too(queue: Queue, clock: FakeClock) -> None:
    polls = Work()
    async with running(queue, poll=polls):
        await queue.hint(poll("a"))
        await settled()
        await queue.hint(poll("a"), delay_s=10.0)
        polls.gate.set()
        await settled()
        assert polls.started == ["a"]
        clock.advance(11.0)
        await settled()
    assert polls.started == ["a", "a"]


async def test_at_most_so_many_of_a_kind_run_at_a_time_and_the_rest_follow(queue: Queue) -> None:
    polls, deliveries = Work(), Work.quick()
    async with running(queue, poll=polls, deliver=deliveries):
        for name in "abcde":
            await queue.hint(poll(name))
        await queue.hint(Job(kind="deliver", source_id="x"))
        await settled()
        assert (polls.started, deliveries.started) == (["a", "b"], ["x"])
        polls.gate.set()
        await settled()
    assert polls.started == list("abcde")


async def test_live_work_goes_before_a_backfill(queue: Queue) -> None:
    polls = Work.quick()
    await queue.hint(poll("old"), priority=Priority.BACKFILL)
    await queue.hint(poll("new"))
    async with running(queue, poll=polls):
        assert polls.started == ["new", "old"]


async def test_a_live_hint_lifts_the_backfill_hint_of_the_same_job(queue: Queue) -> None:
    polls = Work.quick()
    await queue.hint(poll("other"), priority=Priority.BACKFILL)
    await queue.hint(poll("lifted"), priority=Priority.BACKFILL)
    await queue.hint(poll("lifted"), priority=Priority.LIVE)
    async with running(queue, poll=polls):
        assert polls.started == ["lifted", "other"]


async def test_a_handler_that_raises_is_told_of_and_stops_nothing(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    polls = Work.quick()

    async def breaks(_: str) -> None:
        raise RuntimeError("a defect")

    async with running(queue, poll=polls, deliver=breaks):
        await queue.hint(Job(kind="deliver", source_id="x"))
        await settled()
        await queue.hint(poll("a"))
        await settled()
    assert polls.started == ["a"]
    assert [(each.levelno, each.exc_info is not None) for each in caplog.records] == [(logging.ERROR, True)]


async def test_cancelling_cancels_the_jobs_and_waits_until_they_have_ended(queue: Queue) -> None:
    polls = Work()
    async with running(queue, poll=polls) as task:
        for name in "abc":
            await queue.hint(poll(name))
        await settled()
        task.cancel()
        await asyncio.wait({task})
        assert (polls.started, polls.ended) == (["a", "b"], ["a", "b"])
    assert (await queue.depth())["running"] == 0


async def test_what_waited_when_the_run_was_cancelled_still_waits(queue: Queue) -> None:
    polls = Work()
    async with running(queue, poll=polls):
        for name in "abc":
            await queue.hint(poll(name))
        await settled()
    again = Work.quick()
    async with running(queue, poll=again):
        assert again.started == ["c"]


async def test_the_depth_says_what_waits_is_delayed_and_runs(queue: Queue) -> None:
    polls = Work()
    async with running(queue, poll=polls):
        for name in "abc":
            await queue.hint(poll(name))
        await queue.hint(poll("later"), delay_s=60.0)
        await settled()
        assert await queue.depth() == {"waiting": 1, "delayed": 1, "running": 2}
        await queue.check()  # within reach: raises nothing
