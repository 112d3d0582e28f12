"""Redis may go away at any time, and come back empty: that costs time, and never stops the work."""

import asyncio
import logging
import time
from collections.abc import Iterator

import pytest

from support.clock import FakeClock
from support.queues import Work, eventually, redis_queue, running
from support.valkey import Valkey, own_valkey
from trailhook.errors import Transient
from trailhook.model import Job
from trailhook.queue.redis import ANSWER_S_MAX, AWAY_S_MAX, AWAY_S_MIN

GONE, BACK = "cannot be used", "can be used again"


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with own_valkey() as server:
        yield server


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="trailhook")
    return caplog


def changes(said: pytest.LogCaptureFixture) -> list[str]:
    """What was told of Redis, in order."""
    told = [next((word for word in (GONE, BACK) if word in each.getMessage()), "") for each in said.records]
    assert "" not in told, said.text
    return told


def poll(source_id: str) -> Job:
    return Job(kind="poll", source_id=source_id)


async def test_a_killed_redis_that_comes_back_empty_is_used_again(
    valkey: Valkey, said: pytest.LogCaptureFixture
) -> None:
    polls = Work.quick()
    async with redis_queue(valkey.url) as worker, redis_queue(valkey.url) as api, running(worker, poll=polls):
        await api.hint(poll("before"))
        await eventually(lambda: polls.started == ["before"])
        valkey.kill()
        await worker.hint(poll("during"))  # such as the sweep's, which the worker ticks itself
        await eventually(lambda: polls.started == ["before", "during"])
        await eventually(lambda: GONE in said.text)
        valkey.start()
        await eventually(lambda: BACK in said.text)
        await api.hint(poll("after"))
        await eventually(lambda: polls.started == ["before", "during", "after"])
        assert changes(said) == [GONE, BACK]


async def test_a_worker_that_starts_without_redis_works_and_finds_it_later(said: pytest.LogCaptureFixture) -> None:
    polls = Work.quick()
    with own_valkey(started=False) as valkey:
        async with redis_queue(valkey.url) as worker, running(worker, poll=polls):
            for name in ("a", "b"):
                await worker.hint(poll(name))
            await eventually(lambda: polls.started == ["a", "b"])
            valkey.start()
            await eventually(lambda: BACK in said.text)
            async with redis_queue(valkey.url) as api:
                await api.hint(poll("c"))
                await eventually(lambda: polls.started == ["a", "b", "c"])
        assert changes(said) == [GONE, BACK]


async def test_while_redis_is_away_a_delayed_hint_keeps_its_time_and_equal_hints_are_one() -> None:
    polls, clock = Work.quick(), FakeClock(automatic=False)
    with own_valkey(started=False) as valkey:
        async with redis_queue(valkey.url, clock=clock) as worker, running(worker, poll=polls):
            for _ in range(3):
                await worker.hint(poll("a"), delay_s=60.0)
            assert await worker.depth() == {"waiting": 0, "delayed": 1, "running": 0}
            assert polls.started == []
            clock.advance(61.0)
            await eventually(lambda: polls.started == ["a"])


@pytest.mark.parametrize("command", ["FLUSHALL", "SCRIPT FLUSH"])
async def test_what_is_flushed_is_forgotten_and_what_is_hinted_next_runs(
    valkey: Valkey, command: str, said: pytest.LogCaptureFixture
) -> None:
    polls = Work.quick()
    async with redis_queue(valkey.url) as queue:
        await queue.hint(poll("before"), delay_s=60.0)
        async with running(queue, poll=polls):
            assert valkey.ask(command) == "+OK"
            await queue.hint(poll("after"))
            await eventually(lambda: polls.started == ["after"])
        assert (await queue.depth())["delayed"] == (0 if command == "FLUSHALL" else 1)
    assert changes(said) == []


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"), ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0")],
    ids=["read-only", "full"],
)
async def test_a_redis_that_takes_no_writes_is_told_of_once_and_used_again_when_it_does(
    valkey: Valkey, spoil: str, mend: str, said: pytest.LogCaptureFixture
) -> None:
    polls = Work.quick()
    async with redis_queue(valkey.url) as worker, running(worker, poll=polls):
        assert valkey.ask(spoil) == "+OK"
        await eventually(lambda: GONE in said.text)
        with pytest.raises(Transient):
            await worker.check()
        await worker.depth()  # it reads, which works, and proves nothing
        await worker.hint(poll("meanwhile"))
        await eventually(lambda: polls.started == ["meanwhile"])
        assert changes(said) == [GONE]
        assert valkey.ask(mend) == "+OK"
        await eventually(lambda: BACK in said.text)
        await worker.check()
        assert changes(said) == [GONE, BACK]


async def test_a_redis_that_hangs_holds_up_a_hint_for_a_moment_and_the_next_one_not_at_all(valkey: Valkey) -> None:
    polls = Work.quick()
    async with redis_queue(valkey.url) as worker, redis_queue(valkey.url) as api, running(worker, poll=polls):
        await worker.check()
        await api.check()
        valkey.freeze()
        try:
            began = time.monotonic()
            await asyncio.gather(*(queue.hint(poll(f"{n}")) for n in range(5) for queue in (worker, api)))
            assert time.monotonic() - began < 2 * ANSWER_S_MAX
            await eventually(lambda: len(polls.started) == 5)
            began = time.monotonic()
            await api.hint(poll("next"))
            assert time.monotonic() - began < ANSWER_S_MAX / 2
        finally:
            valkey.thaw()


async def test_a_process_that_runs_no_jobs_keeps_none() -> None:
    with own_valkey(started=False) as valkey:
        async with redis_queue(valkey.url) as api:
            await api.hint(poll("a"))
            assert await api.depth() == {"waiting": 0, "delayed": 0, "running": 0}
            with pytest.raises(Transient):
                await api.check()


async def test_the_pauses_between_attempts_grow_to_a_limit() -> None:
    clock = FakeClock()
    with own_valkey(started=False) as valkey:
        async with redis_queue(valkey.url, clock=clock) as worker, running(worker, poll=Work.quick()):
            await eventually(lambda: len(clock.slept) >= 12)
    pauses_s = clock.slept[:12]
    assert AWAY_S_MIN <= pauses_s[0] <= 2 * AWAY_S_MIN
    assert all(AWAY_S_MAX / 2 <= each <= AWAY_S_MAX for each in pauses_s[8:])
    assert len(set(pauses_s)) == len(pauses_s), "no two the same: a cluster must not come back in step"


async def test_a_clock_that_jumps_back_does_not_keep_a_process_away_from_redis() -> None:
    clock = FakeClock()
    with own_valkey(started=False) as valkey:
        async with redis_queue(valkey.url, clock=clock) as api:
            await api.hint(poll("lost"))
            valkey.start()
            clock.advance(-3_600.0)
            await api.hint(poll("kept"))
            assert (await api.depth())["waiting"] == 1
