"""Doing a backfill, as far behind everything live as it takes.

It walks the stretches of its span one after another and has the store keep what it finds, under the same identity as
polls would: what is known is not read again, and what was forwarded is not sent again. It lists on only while little
of what it found is still to be read, and reads only while nothing live waits.
"""

import logging
import random
from collections.abc import Callable, Mapping

import msgspec

from trailhook.backfill import BACKFILLS, STRETCHES, Backfill, BackfillState, change_one, decoded, running
from trailhook.clock import Clock
from trailhook.errors import LeaseLost, NeedsAttention, StoreUnavailable, Transient
from trailhook.intake.intake import Intake
from trailhook.model import Job, Source
from trailhook.queue.base import Priority, Queue
from trailhook.settings import Settings
from trailhook.sources.base import Access, History, Step, Stretch
from trailhook.store.base import NamedLease, Store

log = logging.getLogger(__name__)

JOB = "backfill"
WALK_S = 10.0
"""A walk in one go; the lease on it is longer."""


class Backfiller:
    """The job: brings the backfill of a source on by a turn."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        histories: Mapping[str, History],
        access: Callable[[Source], Access],
        intake: Intake,
        settings: Settings,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._store = store
        self._queue = queue
        self._histories = histories
        self._access = access
        self._intake = intake
        self._settings = settings
        self._clock = clock
        self._rng = rng

    async def hint_due(self) -> None:
        """Hint every source whose backfill may go on."""
        for source_id, content in (await self._store.documents(BACKFILLS)).items():
            if (backfill := running(decoded(content))) is not None and self._is_due(backfill):
                await self._queue.hint(Job(kind=JOB, source_id=source_id), priority=Priority.BACKFILL)

    async def forget_removed(self) -> None:
        """Forget the backfills of sources that were removed."""
        found = await self._store.documents(BACKFILLS)
        present = {source.id for source in await self._store.sources()} if found else set()
        for source_id in found.keys() - present:
            for backfill in decoded(found[source_id]):
                await self._store.change_document(STRETCHES, backfill.id, lambda _: None)
            await self._store.change_document(BACKFILLS, source_id, lambda _: None)

    def _is_due(self, backfill: Backfill) -> bool:
        """Also when that lies further ahead than any wait of ours: the clock has jumped back."""
        return not 0 < backfill.retry_at - self._clock.now() <= self._settings.backoff_s_max

    async def run(self, source_id: str) -> None:
        """Find more where there is room, read of it what may be read now, and see whether that was all."""
        source = await self._store.source(source_id)
        backfill = running(decoded(await self._store.document(BACKFILLS, source_id)))
        if source.paused_at is not None or backfill is None:
            return
        try:
            if not backfill.listed and self._is_due(backfill):
                backfill = await self._walk_alone(source, backfill)
            await self._intake.read_back(source_id)
            await self._go_on(source, backfill)
        except LeaseLost:
            log.info("the backfill was stopped, or another worker goes on with it", extra={"source": source_id})

    async def _go_on(self, source: Source, backfill: Backfill) -> None:
        """End it, or let it have another turn as soon as that can bring something."""
        left = await self._store.backfill_left(source.id)
        if backfill.listed and not left:
            await self._end(backfill)
        elif not backfill.listed and not backfill.detail and left < self._settings.backfill_units_max:
            await self._queue.hint(Job(kind=JOB, source_id=source.id), priority=Priority.BACKFILL)

    async def _end(self, backfill: Backfill) -> None:
        now = self._clock.now()

        def change(present: Backfill) -> Backfill:
            if present.state is not BackfillState.RUNNING:
                return present
            return present.but(state=BackfillState.DONE, ended_at=now)

        await change_one(self._store, backfill.source_id, backfill.id, change)
        await self._store.change_document(STRETCHES, backfill.id, lambda _: None)
        log.info("a backfill is done", extra={"source": backfill.source_id, "found": backfill.found})

    # ----------------------------------------------------------------------------------------------------- finding

    async def _walk_alone(self, source: Source, backfill: Backfill) -> Backfill:
        lease = await self._store.lease(f"{JOB}:{source.id}", self._settings.poll_lease_s)
        if lease is None:
            return backfill
        try:
            claimed = await self._write(backfill, lease, lambda present: present)
            return await self._walk(source, claimed, lease)
        finally:
            await self._store.release(lease)

    async def _walk(self, source: Source, backfill: Backfill, lease: NamedLease) -> Backfill:
        """Step on while there is room for what is found. What went wrong is kept for people to see, and tried again."""
        content = await self._store.document(STRETCHES, backfill.id)
        stretches = msgspec.json.decode(content or b"[]", type=list[Stretch])
        until_at = self._clock.now() + WALK_S
        try:
            access = self._access(source)
            while not backfill.listed and self._clock.now() < until_at:
                if await self._store.backfill_left(source.id) >= self._settings.backfill_units_max:
                    break
                stretch = stretches[backfill.walked]
                step = await self._histories[stretch.intake].step(access, backfill.span(), stretch, backfill.after)
                backfill = await self._keep(backfill, lease, step)
        except StoreUnavailable:
            raise
        except (NeedsAttention, Transient) as error:
            return await self._put_off(backfill, lease, error)
        return backfill

    async def _keep(self, backfill: Backfill, lease: NamedLease, step: Step) -> Backfill:
        """The units first, then how far that is: a crash between them finds the same units once more."""
        new = await self._store.add_units(backfill.source_id, step.units) if step.units else 0
        return await self._write(backfill, lease, lambda present: _stepped(present, step, new))

    async def _put_off(self, backfill: Backfill, lease: NamedLease, error: NeedsAttention | Transient) -> Backfill:
        failures = backfill.failures + 1
        ceiling_s = min(self._settings.backoff_s_max, 2.0 ** min(failures, 20))
        retry_at = self._clock.now() + self._rng.uniform(min(1.0, ceiling_s), ceiling_s)
        detail = f"{error.reason} {error.remedy}" if isinstance(error, NeedsAttention) else str(error)
        log.info("a backfill cannot go on just now: %s", detail, extra={"source": backfill.source_id})
        return await self._write(
            backfill, lease, lambda present: present.but(failures=failures, retry_at=retry_at, detail=detail)
        )

    async def _write(self, backfill: Backfill, lease: NamedLease, change: Callable[[Backfill], Backfill]) -> Backfill:
        """Raises `LeaseLost` if it was stopped, or somebody has written under a later lease."""

        def fenced(present: Backfill) -> Backfill:
            if present.state is not BackfillState.RUNNING or present.token > lease.token:
                raise LeaseLost("the backfill is another's now")
            return change(present).but(token=lease.token)

        return await change_one(self._store, backfill.source_id, backfill.id, fenced)


def _stepped(backfill: Backfill, step: Step, new: int) -> Backfill:
    return backfill.but(
        walked=backfill.walked + step.over,
        after="" if step.over else step.after,
        reached_at=0.0 if step.over else step.reached_at,
        found=backfill.found + len(step.units),
        known=backfill.known + len(step.units) - new,
        failures=0,
        retry_at=0.0,
        detail="",
    )
