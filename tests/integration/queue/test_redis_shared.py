"""Many processes at one Redis: each job runs once, and whoever has room runs it."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from support.queues import Work, eventually, redis_queue, running
from trailhook.model import Job
from trailhook.queue.base import Handler
from trailhook.queue.redis import IDLE_S, WORKERS, RedisQueue

A_PROCESS = """
import asyncio, random, sys
from trailhook.clock import SystemClock
from trailhook.queue.redis import RedisQueue

async def poll(source_id):
    print(source_id, flush=True)
    await asyncio.sleep(0.01)

async def main(url):
    async with RedisQueue.open(url, clock=SystemClock(), rng=random.Random(), job_timeout_s=60, rest_s={}) as queue:
        await queue.run({"poll": poll}, concurrency={"poll": 2})

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        await client.flushdb()
        yield client


@pytest.fixture
async def queues(redis_url: str, client: Redis) -> AsyncIterator[list[RedisQueue]]:
    """Three ends of one empty queue, none of which works yet."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(redis_queue(redis_url)) for _ in range(3)]


def poll(source_id: str) -> Job:
    return Job(kind="poll", source_id=source_id)


async def test_an_idle_worker_starts_a_job_at_once(queues: list[RedisQueue]) -> None:
    polls = Work.quick()
    async with running(queues[0], poll=polls):
        began = time.monotonic()
        for number in range(10):
            await queues[1].hint(poll(f"{number}"))
            await eventually(lambda: len(polls.started) == number + 1)  # noqa: B023 - awaited at once
        assert time.monotonic() - began < 10 * IDLE_S / 2, "it looked for itself instead of being woken"


async def test_what_one_worker_has_no_room_for_another_takes(queues: list[RedisQueue]) -> None:
    first, second = Work(), Work()
    async with running(queues[0], most=1, poll=first), running(queues[1], most=1, poll=second):
        for name in "abc":
            await queues[2].hint(poll(name))
        await eventually(lambda: len(first.started) == len(second.started) == 1)
        assert (await queues[2].depth())["waiting"] == 1


async def test_each_hint_is_taken_by_one_worker_only(queues: list[RedisQueue]) -> None:
    first, second = Work.quick(), Work.quick()
    names = [f"source-{number:03}" for number in range(200)]
    async with running(queues[0], poll=first), running(queues[1], poll=second):
        await asyncio.gather(*(queues[2].hint(poll(name)) for name in names))
        await eventually(lambda: len(first.ended) + len(second.ended) >= len(names))
    assert sorted(first.started + second.started) == names


async def test_a_source_with_more_to_do_is_worked_on_by_two_workers(queues: list[RedisQueue]) -> None:
    first, second = Work(), Work()
    async with running(queues[0], poll=first):
        await queues[2].hint(poll("a"))
        await eventually(lambda: first.started == ["a"])
        async with running(queues[1], poll=second):
            await queues[2].hint(poll("a"))  # the store's leases give it other units or batches
            await eventually(lambda: second.started == ["a"])
    assert first.started == ["a"]


async def test_a_worker_without_room_for_a_kind_leaves_it_and_takes_another(queues: list[RedisQueue]) -> None:
    polls, deliveries = Work(), Work.quick()
    async with running(queues[0], most=1, poll=polls, deliver=deliveries):
        for name in "ab":
            await queues[1].hint(poll(name))
        await eventually(lambda: polls.started == ["a"])
        await queues[1].hint(Job(kind="deliver", source_id="b"))
        await eventually(lambda: deliveries.started == ["b"])
        assert polls.started == ["a"]


async def test_two_processes_share_the_work(redis_url: str, queues: list[RedisQueue]) -> None:
    names = [f"source-{number:03}" for number in range(100)]
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", A_PROCESS, redis_url, stdout=asyncio.subprocess.PIPE, limit=2**20
        )
        for _ in range(2)
    ]
    done: list[list[str]] = [[], []]

    async def read(process: asyncio.subprocess.Process, lines: list[str]) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            lines.append(line.decode().strip())

    reading = [asyncio.create_task(read(*each)) for each in zip(processes, done, strict=True)]
    try:
        client = queues[0]._client
        await _eventually_so_many_workers(client, 2)
        for name in names:
            await queues[0].hint(poll(name))
        await eventually(lambda: len(done[0]) + len(done[1]) >= len(names))
    finally:
        for process in processes:
            process.kill()
            await process.wait()
        await asyncio.gather(*reading)
    assert sorted(done[0] + done[1]) == names
    assert done[0]
    assert done[1]


async def _eventually_so_many_workers(client: Redis, count: int) -> None:
    async with asyncio.timeout(20):
        while await client.hlen(WORKERS) < count:
            await asyncio.sleep(0.01)


async def test_ten_workers_that_all_hint_the_sweep_make_one_a_period(redis_url: str, client: Redis) -> None:
    period_s, began = 0.3, time.monotonic()
    sweeps: list[float] = []

    async def sweep(_: str) -> None:
        sweeps.append(time.monotonic())

    async def tick(queue: RedisQueue) -> None:
        while len(sweeps) < 4:
            await queue.hint(Job(kind="sweep"))
            await asyncio.sleep(0.05)

    handlers: dict[str, Handler] = {"sweep": sweep}
    async with AsyncExitStack() as stack:
        ends = [await stack.enter_async_context(redis_queue(redis_url, rest_s={"sweep": period_s})) for _ in range(10)]
        for queue in ends:
            await stack.enter_async_context(running(queue, most=1, **handlers))
        await asyncio.gather(*(tick(queue) for queue in ends))
        assert len(sweeps) <= (time.monotonic() - began) / period_s + 1


async def test_the_depth_counts_what_other_workers_run_and_not_what_dead_ones_ran(
    queues: list[RedisQueue], client: Redis
) -> None:
    polls = Work()
    await client.hset(WORKERS, "dead", "7 1000")
    async with running(queues[0], poll=polls):
        for name in "ab":
            await queues[1].hint(poll(name))
        await eventually(lambda: len(polls.started) == 2)
        await queues[1].hint(poll("wakes the worker, which then says what it runs"))
        async with asyncio.timeout(10):
            while (await queues[1].depth())["running"] != 2:
                await asyncio.sleep(0.01)
        assert (await queues[0].depth())["running"] == 2
    assert not await client.hexists(WORKERS, "dead")


async def test_what_is_in_redis_are_ids_under_our_prefix(queues: list[RedisQueue], client: Redis) -> None:
    await queues[0].hint(poll("b4f1"), delay_s=60.0)
    await queues[0].hint(Job(kind="sweep"))
    keys = sorted(map(str, await client.keys()))
    assert [key for key in keys if not key.startswith("trailhook:")] == []
    assert await client.zrange("trailhook:poll:live", 0, -1) == ["b4f1"]
    assert await client.zrange("trailhook:sweep:live", 0, -1) == [""]
