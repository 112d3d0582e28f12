"""The jobs: what a hint makes happen. A few lines each; the work is in the parts.

A job never raises and returns nothing: whatever goes wrong is logged here, and the sweep brings the work back.
"""

import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from trailhook.backfilling import JOB as BACKFILL
from trailhook.backfilling import Backfiller
from trailhook.clock import Clock
from trailhook.conditions import condition_of, entered, listens
from trailhook.delivery.deliver import Deliverer
from trailhook.errors import (
    FetchState,
    LeaseLost,
    NeedsAttention,
    NotFound,
    StoreUnavailable,
    TrailhookError,
    Transient,
)
from trailhook.intake.intake import Intake
from trailhook.model import Condition, Job, NewBatch, Source
from trailhook.notify import Notifier
from trailhook.notify_elsewhere import Elsewhere
from trailhook.queue.base import Handler, Queue
from trailhook.settings import Settings
from trailhook.sources.base import Access, WayIn
from trailhook.store.base import Store
from trailhook.watch import Watch

log = logging.getLogger(__name__)

UNANSWERED_POLLS_MAX = 10
"""Failures in a row that are no chance any more: some minutes, in which the waits grew to the source's interval."""
RENEWED_WITHIN = 3
"""Leases are renewed when this part of their time is over: one answer of AWS may well take as long again."""
GoOn = Callable[[], Awaitable[None]]
"""Says that work goes on, so that its lease is renewed in time. Raises `LeaseLost`."""
CLEAN_STEPS = 20
NOTIFY_JOBS = 8


class Jobs:
    """Every job of the product by name."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        ways: Mapping[str, WayIn],
        listening: Mapping[str, WayIn],
        access: Callable[[Source], Access],
        intake: Intake,
        backfiller: Backfiller,
        deliverer: Deliverer,
        notifier: Notifier,
        elsewhere: Elsewhere,
        watch: Watch,
        settings: Settings,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._store = store
        self._queue = queue
        self._ways = ways
        self._listening = listening
        self._access = access
        self._intake = intake
        self._backfiller = backfiller
        self._deliverer = deliverer
        self._notifier = notifier
        self._elsewhere = elsewhere
        self._watch = watch
        self._settings = settings
        self._clock = clock
        self._rng = rng

    def handlers(self) -> dict[str, Handler]:
        """Each job, wrapped so that it never raises."""
        return {
            "poll": _contained("poll", self.poll),
            "listen": _contained("listen", self.listen),
            "intake": _contained("intake", self.intake),
            "lookup": _contained("lookup", self._intake.run),
            BACKFILL: _contained(BACKFILL, self._backfiller.run),
            "deliver": _contained("deliver", self._deliverer.run),
            "notify": _contained("notify", self._elsewhere.run),
            "sweep": _contained("sweep", self.sweep),
            "janitor": _contained("janitor", self.janitor),
            "watch": _contained("watch", self.watch),
        }

    def concurrency(self) -> dict[str, int]:
        """How many of each may run at a time in one process."""
        return {
            "poll": self._settings.poll_jobs,
            "listen": self._settings.listen_jobs,
            "intake": self._settings.intake_jobs,
            "lookup": self._settings.lookup_jobs,
            BACKFILL: self._settings.backfill_jobs,
            "deliver": self._settings.deliver_jobs,
            "notify": NOTIFY_JOBS,
            "sweep": 1,
            "janitor": 1,
            "watch": 1,
        }

    async def tick(self) -> None:
        """Hint the sweep and the janitor for ever."""
        clean_at = self._clock.now()
        while True:
            await self._queue.hint(Job(kind="sweep"))
            if not 0 < clean_at - self._clock.now() <= self._settings.clean_every_s:
                clean_at = self._clock.now() + self._settings.clean_every_s
                await self._queue.hint(Job(kind="janitor"))
            await self._clock.sleep(self._settings.sweep_every_s)

    async def sweep(self, _: str = "") -> None:
        """Hint whatever the store says is due: nothing depends on any other hint having arrived."""
        for job in await self._store.due():
            await self._queue.hint(job)
        await self._backfiller.hint_due()

    async def janitor(self, _: str = "") -> None:
        """Note what was counted, forget what may be forgotten, and tell of what time alone has changed."""
        await self._store.sample()
        await self._notifier.tell_all()
        await self._queue.hint(Job(kind="watch"))
        await self._backfiller.forget_removed()
        while await self._store.clean(steps=CLEAN_STEPS):
            pass

    async def watch(self, _: str = "") -> None:
        """See which sources have fallen silent. It may ask AWS, and so keeps the janitor from nothing."""
        await self._watch.look()

    async def intake(self, source_id: str) -> None:
        """Read units. A source of LookupEvents alone waits for its turns at AWS most of that time: it does so in slots
        of its own, and keeps nobody from reading.
        """
        source = await self._store.source(source_id)
        if source.intakes == ("lookup",):
            await self._queue.hint(Job(kind="lookup", source_id=source_id))
        else:
            await self._intake.run(source_id)

    async def poll(self, source_id: str) -> None:
        """Look for units once, if it is time to."""
        async with self._alone(f"poll:{source_id}") as go_on:
            if go_on is None:
                return
            source = await self._store.source(source_id)
            if source.paused_at is None and self._is_due(source):
                await self._poll(source, go_on)

    async def _poll(self, source: Source, go_on: GoOn) -> None:
        started_at = self._clock.now()
        try:
            await self._find(source, go_on)
        except LeaseLost:
            log.info("another worker looks for logs meanwhile", extra={"source": source.id})
        except NeedsAttention as error:
            log.debug("cannot fetch: %s", error.reason, extra={"source": source.id, "state": error.state})
            await self._polled(source, started_at, condition_of(error, self._clock.now()))
        except StoreUnavailable:
            raise
        except Transient as error:
            level = logging.DEBUG if source.failures else logging.INFO
            log.log(level, "poll failed, trying again: %s", error, extra={"source": source.id})
            await self._polled(source, started_at, error)
        else:
            await self._polled(source, started_at, Condition(state=FetchState.ACTIVE, since_at=self._clock.now()))

    async def _find(self, source: Source, go_on: GoOn) -> None:
        """Look through every way in: one that fails keeps none of the others from being looked through."""
        failures: list[NeedsAttention | Transient] = []
        for intake in source.intakes:
            try:
                await self._find_by(self._ways[intake], source, intake, go_on)
            except StoreUnavailable:
                raise
            except (NeedsAttention, Transient) as error:
                failures.append(error)
        if failures:
            raise next((each for each in failures if isinstance(each, NeedsAttention)), failures[0])

    async def _find_by(self, way: WayIn, source: Source, intake: str, go_on: GoOn) -> None:
        known = await self._store.watermarks(source.id)
        marks = {(mark.place, mark.prefix): mark for mark in known if mark.intake == intake}
        async for page in way.poll(self._access(source), marks):
            found = page.units or page.marks
            if found and await self._store.add_units(source.id, page.units, page.marks):
                await self._queue.hint(Job(kind="intake", source_id=source.id))
            await go_on()

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[GoOn | None]:
        """The sole right to `name`: what renews it, to be called again and again, or None while another has it."""
        lease = await self._store.lease(name, self._settings.poll_lease_s)
        if lease is None:
            yield None
            return
        renewed_at = self._clock.now()

        async def go_on() -> None:
            nonlocal renewed_at
            now = self._clock.now()
            if 0 <= now - renewed_at < self._settings.poll_lease_s / RENEWED_WITHIN:
                return
            if not await self._store.renew(lease, self._settings.poll_lease_s):
                raise LeaseLost(name)
            renewed_at = now

        try:
            yield go_on
        finally:
            await self._store.release(lease)

    async def listen(self, source_id: str) -> None:
        """Wait where a source's units are announced, and keep what comes: a poll would find it much later.

        It has slots of its own, for it waits most of the time. When it fails, a poll is due: that finds out why, tells,
        and knows when to try again.
        """
        async with self._alone(f"listen:{source_id}") as go_on:
            if go_on is None:
                return
            try:
                source = await self._store.source(source_id)
                if listens(source):
                    for intake in self._listening.keys() & set(source.intakes):
                        await self._find_by(self._listening[intake], source, intake, go_on)
            except StoreUnavailable:
                raise
            except LeaseLost:
                log.info("another worker listens meanwhile", extra={"source": source_id})
            except (NeedsAttention, Transient) as error:
                log.info("listening failed: %s", error, extra={"source": source_id})
                await self._poll_now(source_id)

    async def _poll_now(self, source_id: str) -> None:
        now = self._clock.now()

        def change(present: Source) -> tuple[Source, Sequence[NewBatch]]:
            return (present.but(next_fetch_at=now) if present.next_fetch_at > now else present), ()

        await self._store.change_source(source_id, change)
        await self._queue.hint(Job(kind="poll", source_id=source_id))

    async def _polled(self, source: Source, started_at: float, outcome: Condition | Transient) -> None:
        """Remember how it went and when to look next: soon, if it went wrong by chance."""

        def change(present: Source) -> tuple[Source, Sequence[NewBatch]]:
            if present.next_fetch_at != source.next_fetch_at:  # rescheduled meanwhile by somebody else
                return present, ()
            if isinstance(outcome, Transient):
                failures = present.failures + 1
                wait_s = self._backoff_s(present, failures)
                fetch = present.fetch
                if failures >= UNANSWERED_POLLS_MAX and fetch.state == FetchState.ACTIVE:
                    fetch = unanswered(outcome, self._clock.now())
                return present.but(fetch=fetch, failures=failures, next_fetch_at=self._clock.now() + wait_s), ()
            wait_s = present.interval_s
            if outcome.state != FetchState.ACTIVE:
                return present.but(
                    fetch=entered(present.fetch, outcome),
                    failures=present.failures + 1,
                    next_fetch_at=self._clock.now() + max(wait_s, self._backoff_s(present, present.failures + 1)),
                ), ()
            return present.but(
                fetch=entered(present.fetch, outcome),
                failures=0,
                last_fetch_at=started_at,
                next_fetch_at=max(started_at + wait_s, self._clock.now()),
            ), ()

        await self._store.change_source(source.id, change)
        await self._notifier.tell(source.id)

    def _is_due(self, source: Source) -> bool:
        """Also when the time lies further ahead than any wait of ours: the clock has jumped back."""
        wait_s = source.next_fetch_at - self._clock.now()
        return wait_s <= 0 or wait_s > max(source.interval_s, self._settings.backoff_s_max)

    def _backoff_s(self, source: Source, failures: int) -> float:
        """Exponential with full jitter, never beyond the source's own interval or the limit."""
        ceiling_s = min(self._settings.backoff_s_max, max(source.interval_s, 60.0), 2.0 ** min(failures, 20))
        return self._rng.uniform(min(1.0, ceiling_s), ceiling_s)


def unanswered(error: Transient, now: float) -> Condition:
    """The condition of a source whose polls have failed for so long that a person should know."""
    return Condition(
        state=FetchState.NEEDS_ATTENTION,
        reason=f"The last {UNANSWERED_POLLS_MAX} looks for logs failed, the last one so: {error}.",
        remedy="Check the network between Trailhook and AWS, and endpointUrl. It goes on by itself once that works.",
        since_at=now,
    )


def _contained(name: str, job: Callable[[str], Awaitable[None]]) -> Handler:
    async def run(source_id: str) -> None:
        told = {"source": source_id} if source_id else {}
        try:
            await job(source_id)
        except NotFound:
            log.debug("%s: the source is gone", name, extra=told)
        except StoreUnavailable as error:
            log.warning("%s: the store does not answer: %s", name, error, extra=told)
        except TrailhookError as error:
            log.error("%s: %s", name, error, extra=told)
        except Exception:
            log.exception("%s failed unexpectedly", name, extra=told)

    return run
