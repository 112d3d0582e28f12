"""The jobs: what a hint makes happen. A few lines each; the work is in the parts.

A job never raises and returns nothing: whatever goes wrong is logged here, and the sweep brings the work back.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

from trailhook.clock import Clock
from trailhook.conditions import condition_of, entered
from trailhook.delivery.deliver import Deliverer
from trailhook.errors import FetchState, NeedsAttention, NotFound, StoreUnavailable, TrailhookError, Transient
from trailhook.intake.intake import Intake
from trailhook.model import Condition, Job, NewBatch, Source
from trailhook.notify import Notifier
from trailhook.queue.base import Handler, Queue
from trailhook.settings import Settings
from trailhook.sources.base import Access, WayIn
from trailhook.store.base import Store

log = logging.getLogger(__name__)

POLL_LEASE_S = 60.0
"""Two workers polling one source at once is waste, not harm: this only makes it rare."""
CLEAN_STEPS = 20


class Jobs:
    """Every job of the product by name."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        ways: Mapping[str, WayIn],
        access: Callable[[Source], Access],
        intake: Intake,
        deliverer: Deliverer,
        notifier: Notifier,
        settings: Settings,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._store = store
        self._queue = queue
        self._ways = ways
        self._access = access
        self._intake = intake
        self._deliverer = deliverer
        self._notifier = notifier
        self._settings = settings
        self._clock = clock
        self._rng = rng

    def handlers(self) -> dict[str, Handler]:
        """Each job, wrapped so that it never raises."""
        return {
            "poll": _contained("poll", self.poll),
            "intake": _contained("intake", self._intake.run),
            "deliver": _contained("deliver", self._deliverer.run),
            "sweep": _contained("sweep", self.sweep),
            "janitor": _contained("janitor", self.janitor),
        }

    def concurrency(self) -> dict[str, int]:
        """How many of each may run at a time in one process."""
        return {
            "poll": self._settings.poll_jobs,
            "intake": self._settings.intake_jobs,
            "deliver": self._settings.deliver_jobs,
            "sweep": 1,
            "janitor": 1,
        }

    async def tick(self) -> None:
        """Hint the sweep and the janitor for ever."""
        clean_at = self._clock.now()
        while True:
            await self._queue.hint(Job(kind="sweep"))
            if self._clock.now() >= clean_at:
                clean_at = self._clock.now() + self._settings.clean_every_s
                await self._queue.hint(Job(kind="janitor"))
            await self._clock.sleep(self._settings.sweep_every_s)

    async def sweep(self, _: str = "") -> None:
        """Hint whatever the store says is due: nothing depends on any other hint having arrived."""
        for job in await self._store.due():
            await self._queue.hint(job)

    async def janitor(self, _: str = "") -> None:
        """Forget what may be forgotten, and tell of what time alone has changed."""
        await self._notifier.tell_all()
        while await self._store.clean(steps=CLEAN_STEPS):
            pass

    async def poll(self, source_id: str) -> None:
        """Look for units once, if it is time to."""
        lease = await self._store.lease(f"poll:{source_id}", POLL_LEASE_S)
        if lease is None:
            return
        try:
            source = await self._store.source(source_id)
            if source.paused_at is None and source.next_fetch_at <= self._clock.now():
                await self._poll(source)
        finally:
            await self._store.release(lease)

    async def _poll(self, source: Source) -> None:
        started_at = self._clock.now()
        try:
            await self._find(source)
        except NeedsAttention as error:
            log.warning("cannot fetch: %s", error.reason, extra={"source": source.id, "state": error.state})
            await self._polled(source, started_at, condition_of(error, self._clock.now()))
        except StoreUnavailable:
            raise
        except Transient as error:
            log.info("poll failed, trying again: %s", error, extra={"source": source.id})
            await self._polled(source, started_at, None)
        else:
            await self._polled(source, started_at, Condition(state=FetchState.ACTIVE, since_at=self._clock.now()))

    async def _find(self, source: Source) -> None:
        access = self._access(source)
        for intake in source.intakes:
            marks = {
                (mark.place, mark.prefix): mark
                for mark in await self._store.watermarks(source.id)
                if mark.intake == intake
            }
            async for page in self._ways[intake].poll(access, marks):
                if await self._store.add_units(source.id, page.units, page.marks):
                    await self._queue.hint(Job(kind="intake", source_id=source.id))

    async def _polled(self, source: Source, started_at: float, condition: Condition | None) -> None:
        """Remember how it went (`None`: try again soon) and when to look next."""

        def change(present: Source) -> tuple[Source, Sequence[NewBatch]]:
            if present.next_fetch_at > started_at:  # rescheduled meanwhile by somebody else
                return present, ()
            if condition is None:
                failures = present.failures + 1
                wait_s = self._backoff_s(present, failures)
                return present.but(failures=failures, next_fetch_at=self._clock.now() + wait_s), ()
            wait_s = present.interval_s
            if condition.state != FetchState.ACTIVE:
                return present.but(
                    fetch=entered(present.fetch, condition),
                    failures=present.failures + 1,
                    next_fetch_at=self._clock.now() + max(wait_s, self._backoff_s(present, present.failures + 1)),
                ), ()
            return present.but(
                fetch=entered(present.fetch, condition),
                failures=0,
                last_fetch_at=started_at,
                next_fetch_at=max(started_at + wait_s, self._clock.now()),
            ), ()

        await self._store.change_source(source.id, change)
        await self._notifier.tell(source.id)

    def _backoff_s(self, source: Source, failures: int) -> float:
        """Exponential with full jitter, never beyond the source's own interval or the limit."""
        ceiling_s = min(self._settings.backoff_s_max, max(source.interval_s, 60.0), 2.0 ** min(failures, 20))
        return self._rng.uniform(min(1.0, ceiling_s), ceiling_s)


def _contained(name: str, job: Callable[[str], Awaitable[None]]) -> Handler:
    async def run(source_id: str) -> None:
        try:
            await job(source_id)
        except NotFound:
            log.debug("%s: the source is gone", name, extra={"source": source_id})
        except StoreUnavailable as error:
            log.warning("%s: the store does not answer: %s", name, error, extra={"source": source_id})
        except TrailhookError as error:
            log.error("%s: %s", name, error, extra={"source": source_id})
        except Exception:
            log.exception("%s failed unexpectedly", name, extra={"source": source_id})

    return run
