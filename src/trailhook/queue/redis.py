"""The queue that many processes share: sorted sets of hints in Redis (6.2 or newer, or Valkey), whose scores say when.

A hint is the member `source` in the set of its kind, so that no job can wait twice, and holds no more than ids. A
worker takes what is due, as far as it has room, and hands it to a `LocalQueue` of its own, which runs it. **What was
taken is no longer in Redis**: if the worker dies, its jobs are gone. That costs no event, because the store is the
truth: the leases of the dead worker end and the sweep hints the work again.

Redis may go away at any time, and come back empty. Until then hints are run by the `LocalQueue` of the process that
has them, the sweep's included: every worker goes on by itself, and only the sharing of work is lost.
"""

import asyncio
import logging
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any, Self

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from trailhook.clock import Clock
from trailhook.errors import SettingsError, Transient
from trailhook.model import Job
from trailhook.queue.base import Handler, Priority
from trailhook.queue.local import LocalQueue
from trailhook.queue.redis_scripts import HINT, TAKE

log = logging.getLogger(__name__)

PREFIX = "trailhook:"
KINDS = f"{PREFIX}kinds"
WORKERS = f"{PREFIX}workers"
CHECK = f"{PREFIX}check"

ANSWER_S_MAX = 1.0
"""Redis answers in less than a millisecond; what takes longer than this is run here instead."""
IDLE_S = 1.0
"""An idle worker looks for itself so often, should a wake-up have gone to one that could not use it."""
LINES_MAX = 8
"""Connections for exchanges that do not sleep. They are so short that more would not make anything faster."""
REPORT_S = 5.0
"""How long a worker's word on how many jobs it runs is believed."""
AWAY_S_MIN = 0.1
AWAY_S_MAX = 15.0
"""Pauses between attempts to reach Redis again, doubling from the first to the last."""


class RedisQueue:
    """See `queue.base.Queue`."""

    def __init__(
        self, client: Redis, *, clock: Clock, rng: random.Random, job_timeout_s: float, rest_s: Mapping[str, float]
    ) -> None:
        self._client = client
        self._clock = clock
        self._rest_s = rest_s
        self._reach = _Reach(clock, rng)
        self._id = secrets.token_hex(8)
        self._look = asyncio.Event()
        self._lines = asyncio.Semaphore(LINES_MAX)
        self._local = LocalQueue(clock, job_timeout_s=job_timeout_s, ended=self._look.set)
        self._works = False
        self._hint = client.register_script(HINT)
        self._take = client.register_script(TAKE)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, clock: Clock, rng: random.Random, job_timeout_s: float, rest_s: Mapping[str, float]
    ) -> AsyncIterator[Self]:
        """The queue in the database that `url` names, whether it can be reached yet or not.

        A kind of job named in `rest_s` begins at most once in so many seconds in all processes together: its hints
        wait until then. Raises `SettingsError`, which does not show the URL.
        """
        client = _client(url)
        try:
            yield cls(client, clock=clock, rng=rng, job_timeout_s=job_timeout_s, rest_s=rest_s)
        finally:
            await client.aclose()

    async def hint(self, job: Job, *, delay_s: float = 0.0, priority: Priority = Priority.LIVE) -> None:
        """Through Redis, else, where this process works, to itself. Waits for at most `ANSWER_S_MAX`."""
        if self._reach.may_try():
            with suppress(Transient):
                await self._place(job, delay_s, priority)
                return
        if self._works:
            await self._local.hint(job, delay_s=delay_s, priority=priority)

    async def run(self, handlers: Mapping[str, Handler], *, concurrency: Mapping[str, int]) -> None:
        self._works = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._local.run(handlers, concurrency=concurrency))
                tasks.create_task(self._supervise({kind: concurrency[kind] for kind in handlers}))
        finally:
            self._works = False

    async def depth(self) -> Mapping[str, int]:
        """What waits in Redis and here, and what all workers run: the others as they said within `REPORT_S`."""
        depth = Counter(await self._local.depth())
        with suppress(Transient):
            async with self._asking():
                depth.update(await self._shared_depth())
        return depth

    async def check(self) -> None:
        async with self._asking(proves=True):
            await self._client.set(CHECK, 1, px=1)

    # ---------------------------------------------------------------------------------------------- taking jobs

    async def _supervise(self, concurrency: Mapping[str, int]) -> None:
        """Feed the local queue for ever, whatever becomes of Redis."""
        while True:
            try:
                await self._feed(concurrency)
            except Transient:
                await self._clock.sleep(self._reach.pause_s())

    async def _feed(self, concurrency: Mapping[str, int]) -> None:
        """Take what is due and sleep until more is, again and again. Raises `Transient` when Redis goes away."""
        sleepers: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                self._look.clear()
                next_s = await self._take_due(self._room(concurrency))
                for kind, room in self._room(concurrency).items():
                    if room and kind not in sleepers:
                        sleepers[kind] = asyncio.create_task(self._sleep_on(kind))
                await self._until_worth_a_look(sleepers.values(), next_s)
                for kind in [kind for kind, sleeper in sleepers.items() if sleeper.done()]:
                    sleepers.pop(kind).result()
        finally:
            for sleeper in sleepers.values():
                sleeper.cancel()
            await asyncio.gather(*sleepers.values(), return_exceptions=True)

    async def _take_due(self, room: Mapping[str, int]) -> float:
        """Hand what is due to the local queue; returns in how many seconds more will be, at most `IDLE_S`."""
        busy = self._local.in_hand()
        running = (await self._local.depth())["running"]
        asks = [
            {
                "kind": kind,
                "room": free,
                "rest_ms": int(self._rest_s.get(kind, 0.0) * 1000),
                "busy": [job.source_id for job in busy if job.kind == kind],
            }
            for kind, free in room.items()
        ]
        keys = [WORKERS, *(key for kind in room for key in _keys(kind))]
        async with self._asking(proves=True):
            next_ms, taken = await self._take(
                keys, [self._id, running, int(REPORT_S * 1000), *(msgspec.json.encode(ask) for ask in asks)]
            )
        for kind, source_id in zip(taken[::2], taken[1::2], strict=True):
            await self._local.hint(Job(kind=kind, source_id=source_id))
        return IDLE_S if next_ms < 0 else min(next_ms / 1000, IDLE_S)

    def _room(self, concurrency: Mapping[str, int]) -> dict[str, int]:
        busy = Counter(job.kind for job in self._local.in_hand())
        return {kind: max(most - busy[kind], 0) for kind, most in concurrency.items()}

    async def _sleep_on(self, kind: str) -> None:
        """Until this worker is woken for that kind."""
        woken = None
        while not woken:
            async with self._asking(sleeps=True):
                woken = await self._client.blpop([_keys(kind)[2]], timeout=IDLE_S)

    async def _until_worth_a_look(self, sleepers: Iterable["asyncio.Task[None]"], next_s: float) -> None:
        """Until a job here has ended, a hint is due, or this worker is woken."""
        ended = asyncio.create_task(self._look.wait())
        try:
            await asyncio.wait({ended, *sleepers}, timeout=next_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()

    # -------------------------------------------------------------------------------------------------- the edge

    async def _place(self, job: Job, delay_s: float, priority: Priority) -> None:
        keys = [*_keys(job.kind), KINDS]
        async with self._asking(proves=True):
            await self._hint(keys, [job.source_id, int(delay_s * 1000), int(priority), job.kind, int(IDLE_S * 1000)])

    async def _shared_depth(self) -> Mapping[str, int]:
        """What Redis knows beyond this process."""
        kinds, (seconds, micros), workers = await self._together([("SMEMBERS", KINDS), ("TIME",), ("HGETALL", WORKERS)])
        now_ms = seconds * 1000 + micros // 1000
        keys = [key for kind in sorted(kinds) for key in _keys(kind)[:2]]
        waiting = sum(await self._together([("ZCOUNT", key, "-inf", now_ms) for key in keys]))
        delayed = sum(await self._together([("ZCARD", key) for key in keys])) - waiting
        running = 0
        for worker, report in workers.items():
            count, until_ms = map(int, report.split())
            if until_ms < now_ms:
                await self._client.hdel(WORKERS, worker)
            elif worker != self._id:
                running += count
        return {"waiting": waiting, "delayed": delayed, "running": running}

    async def _together(self, commands: Sequence[tuple[object, ...]]) -> Sequence[Any]:
        """The answers to several commands in one exchange."""
        async with self._client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return await pipe.execute()

    @asynccontextmanager
    async def _asking(self, *, sleeps: bool = False, proves: bool = False) -> AsyncIterator[None]:
        """One exchange with Redis. Raises `Transient` in place of everything that can go wrong with it.

        Only an exchange that writes `proves` that Redis is of use again: a replica answers all others. One that
        `sleeps` there may take `IDLE_S` more, and has a connection of its own.
        """
        asked = False
        try:
            async with asyncio.timeout(ANSWER_S_MAX + sleeps * IDLE_S), nullcontext() if sleeps else self._lines:
                asked = True
                yield
        except (RedisError, OSError) as error:
            if asked:  # else all lines were busy: that is on us
                self._reach.lost(error)
            raise Transient(f"Redis does not answer ({type(error).__name__})") from error
        if proves:
            self._reach.found()


class _Reach:
    """Whether Redis can be reached, as far as is known, and when it is worth trying again."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._failures = 0
        self._retry_at = 0.0

    def may_try(self) -> bool:
        """True unless it failed just now."""
        return not 0.0 < self.pause_s() <= AWAY_S_MAX  # a clock that jumped back must not keep us away

    def pause_s(self) -> float:
        """How long to leave it alone."""
        return max(self._retry_at - self._clock.now(), 0.0) if self._failures else 0.0

    def lost(self, error: Exception) -> None:
        """It failed. Said once."""
        if not self._failures:
            log.warning("Redis cannot be used (%s): until it can, hints stay in this process", type(error).__name__)
        if self.may_try():  # else it is one of many that were under way
            self._failures += 1
            ceiling_s = min(AWAY_S_MIN * 2.0 ** min(self._failures, 30), AWAY_S_MAX)
            self._retry_at = self._clock.now() + self._rng.uniform(ceiling_s / 2, ceiling_s)

    def found(self) -> None:
        """It works. Said once."""
        if self._failures:
            log.info("Redis can be used again")
        self._failures = 0


def _client(url: str) -> Redis:
    """A client that leaves waiting and trying again to us, but for a connection that has died while it was idle."""
    try:
        client = Redis.from_url(url, decode_responses=True, protocol=2, retry=Retry(NoBackoff(), 1))
        # With a timeout of its own it goes through `asyncio.wait_for`, which in Python 3.11 may swallow a cancellation.
        client.connection_pool.connection_kwargs |= {"socket_timeout": None, "socket_connect_timeout": None}
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call] # the library's omission
    except (ValueError, TypeError, RedisError):
        raise SettingsError(
            "TRAILHOOK_REDIS_URL must be redis://[user:password@]host[:port][/database], or rediss:// for TLS"
        ) from None
    return client


def _keys(kind: str) -> list[str]:
    """What there is of a kind, in the order of the scripts."""
    return [f"{PREFIX}{kind}:{part}" for part in ("live", "backfill", "wake", "rest")]
