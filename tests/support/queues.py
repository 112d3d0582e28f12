"""The queues that the contract suite runs on, and how time passes for each."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis

from support.clock import FakeClock
from trailhook.clock import Clock, SystemClock
from trailhook.queue.base import Handler, Queue
from trailhook.queue.local import LocalQueue
from trailhook.queue.redis import PREFIX, RedisQueue

JOB_TIMEOUT_S = 60.0
PATIENCE_S = 10.0


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


@asynccontextmanager
async def running(queue: Queue, *, most: int = 2, **handlers: Handler) -> AsyncIterator["asyncio.Task[None]"]:
    """Work on these kinds of jobs, `most` at a time of each."""
    task = asyncio.create_task(queue.run(handlers, concurrency=dict.fromkeys(handlers, most)))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


@dataclass
class QueueUnderTest:
    """A queue, empty at first, whose time is in the test's hands."""

    queue: Queue
    clock: FakeClock
    quiet_s: float = 0.0

    async def settled(self) -> None:
        """Let everything happen that is going to happen now; only for what must *not* have happened then."""
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.sleep(self.quiet_s)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Let everything happen, at least until this has."""
        await eventually(happened)
        await self.settled()

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)


@dataclass
class RedisQueueUnderTest(QueueUnderTest):
    """The clock is the server's: instead of moving it on, everything moves closer."""

    client: Redis | None = None

    async def advance(self, seconds: float) -> None:
        assert self.client is not None
        await super().advance(seconds)
        for key in map(str, await self.client.keys(f"{PREFIX}*:live")):
            for source_id in await self.client.zrange(key, 0, -1):
                await self.client.zincrby(key, -1000 * seconds, str(source_id))
            await self.client.lpush(key.removesuffix("live") + "wake", 1)


@asynccontextmanager
async def local(request: pytest.FixtureRequest, job_timeout_s: float) -> AsyncIterator[QueueUnderTest]:
    clock = FakeClock(automatic=False)
    yield QueueUnderTest(LocalQueue(clock, job_timeout_s=job_timeout_s), clock)


@asynccontextmanager
async def redis(request: pytest.FixtureRequest, job_timeout_s: float) -> AsyncIterator[QueueUnderTest]:
    url, clock = request.getfixturevalue("redis_url"), FakeClock(automatic=False)
    async with (
        Redis.from_url(url, decode_responses=True) as client,
        redis_queue(url, clock=clock, job_timeout_s=job_timeout_s) as queue,
    ):
        await client.flushdb()
        yield RedisQueueUnderTest(queue, clock, quiet_s=0.05, client=client)


def redis_queue(
    url: str,
    *,
    clock: Clock | None = None,
    job_timeout_s: float = JOB_TIMEOUT_S,
    rest_s: Mapping[str, float] | None = None,
) -> AbstractAsyncContextManager[RedisQueue]:
    """One process's end of the queue."""
    return RedisQueue.open(
        url, clock=clock or SystemClock(), rng=random.Random(7), job_timeout_s=job_timeout_s, rest_s=rest_s or {}
    )


async def eventually(happened: Callable[[], bool]) -> None:
    """Return once it has."""
    async with asyncio.timeout(PATIENCE_S):
        while not happened():
            await asyncio.sleep(0.002)


QUEUES: dict[str, Callable[[pytest.FixtureRequest, float], AbstractAsyncContextManager[QueueUnderTest]]] = {
    "local": local,
    "redis": redis,
}
