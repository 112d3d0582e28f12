"""Watching for silence: how each source's accounts and regions are heard, and what AWS says when one is not."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from trailhook.clock import Clock
from trailhook.errors import FetchState, NeedsAttention, NotFound
from trailhook.model import Condition, NewBatch, Source
from trailhook.notify import Notifier
from trailhook.settings import HOUR_S, Settings
from trailhook.silence import SILENT, Heard, explained, heard, judge, silent
from trailhook.sources.base import Access
from trailhook.sources.trails import Cause, Trails
from trailhook.store.base import Store

AT_A_TIME = 8
ASK_EVERY_S = HOUR_S
"""AWS is asked about a silent source's trail at most so often."""


class Watch:
    """Judges sources, and has their owners told."""

    def __init__(
        self,
        *,
        store: Store,
        trails: Trails,
        access: Callable[[Source], Access],
        notifier: Notifier,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._trails = trails
        self._access = access
        self._notifier = notifier
        self._settings = settings
        self._clock = clock
        self._watched_since_at: float | None = None

    async def look(self) -> None:
        """Judge every source once, and tell of what has changed."""
        self._watched_since_at = self._watched_since_at or self._clock.now()
        room = asyncio.Semaphore(AT_A_TIME)

        async def look_at(source: Source) -> None:
            async with room:
                with suppress(NotFound):  # removed meanwhile
                    await self._look_at(source)

        await asyncio.gather(*(look_at(source) for source in await self._store.sources()))

    async def _look_at(self, source: Source) -> None:
        await self._see_whether_all_is_vouched_for(source)
        places = heard(source, await self._store.watermarks(source.id))
        now = self._clock.now()
        judged = judge(
            source, places, now, self._settings.silence_after_s, watched_since_at=self._watched_since_at or now
        )
        if judged is not source.silence:
            if judged.condition.state == SILENT and self._may_ask(source, now):
                quiet = silent(places, now, self._settings.silence_after_s)
                cause = await self._cause(source, quiet)
                judged = judged.but(cause=cause.reason, remedy=cause.remedy, asked_at=now)
                judged = explained(judged, quiet, len(places))

            def change(present: Source) -> tuple[Source, Sequence[NewBatch]]:
                if present.fetch != source.fetch or present.paused_at != source.paused_at:
                    return present, ()  # it is another matter by now: the next look judges
                return (present if present.silence == judged else present.but(silence=judged)), ()

            await self._store.change_source(source.id, change)
            await self._notifier.tell(source.id)

    async def _see_whether_all_is_vouched_for(self, source: Source) -> None:
        """The condition of waiting for a digest too long ends once nothing waits that is so old."""
        if source.unverified.state == FetchState.ACTIVE:
            return
        oldest_at = await self._store.oldest_unit_at(source.id)
        now = self._clock.now()
        if oldest_at is None or now - oldest_at <= self._settings.hold_unverified_s_max:
            active = Condition(state=FetchState.ACTIVE, since_at=now)
            await self._store.change_source(source.id, lambda present: (present.but(unverified=active), ()))
            await self._notifier.tell(source.id)

    def _may_ask(self, source: Source, now: float) -> bool:
        return not 0 <= now - source.silence.asked_at < ASK_EVERY_S

    async def _cause(self, source: Source, quiet: Sequence[Heard]) -> Cause:
        try:
            return await self._trails.cause(self._access(source), {each.bucket for each in quiet})
        except NeedsAttention as error:
            return Cause(reason="AWS could not be asked why.", remedy=error.remedy)
