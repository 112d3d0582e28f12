"""Searching the event log: pages, all of it, one event, counts over time. The newest come first."""

from collections import Counter
from collections.abc import AsyncIterator

from trailhook.clock import Clock
from trailhook.errors import NotFound
from trailhook.model import Batch, BatchKind
from trailhook.search.base import TOP, Asked, Found, Histogram, Page, Place
from trailhook.search.found import found
from trailhook.search.grammar import TEXT
from trailhook.search.scan import Hit, Opened, Scan
from trailhook.search.tail import Still, Tail, Tails, for_ever
from trailhook.store.base import Store
from trailhook.store.log import LogBlock

WITHOUT_COLUMNS = frozenset({TEXT, "eventId"})
"""What of a query only the bodies can tell."""


class EventSearch:
    """What can be asked of the event log."""

    def __init__(self, store: Store, clock: Clock, tails: Tails, *, turn_s: float) -> None:
        self._store = store
        self._clock = clock
        self._turn_s = turn_s
        self.tails = tails

    async def page(self, asked: Asked, *, limit: int, after: Place | None = None) -> Page:
        """Up to `limit` events below `after`: fewer, or none, if that takes longer than a turn.

        Each page gets further than `after`, so asking again with its `next` comes to an end. Raises `NotFound` if
        there is no such source.
        """
        hits: list[Hit] = []
        unread = 0
        reached: Place | None = after or TOP
        ends_at = self._clock.now() + self._turn_s
        async for step in Scan(self._store, asked).steps(after or TOP):
            hits += step.hits
            unread += step.unread
            reached = step.reached
            moved = reached is None or after is None or reached < after
            if len(hits) >= limit or (moved and self._clock.now() >= ends_at):
                break
        if len(hits) > limit or (len(hits) == limit and reached is not None):
            hits = hits[:limit]
            reached = hits[-1].place
        return Page(
            found=[each async for part in found(self._store, hits) for each in part],
            next=reached,
            searched_back_to_at=asked.from_at if reached is None else max(asked.from_at, reached.at),
            unread=unread,
        )

    async def every(self, asked: Asked, *, limit: int | None = None) -> AsyncIterator[Found]:
        """All events, however long that takes, or the first `limit`. Raises as `page` does."""
        left = limit
        async for step in Scan(self._store, asked).steps():
            async for part in found(self._store, step.hits[:left]):
                for each in part:
                    yield each
            if left is not None:
                left -= len(step.hits)
                if left <= 0:
                    return

    async def one(self, batch_id: str, position: int) -> Found:
        """The event at a position of a batch, of a batch that was split too, of a source that is there. Raises
        `NotFound`.
        """
        batch = await self._store.batch(batch_id)
        await self._store.source(batch.source_id)
        if batch.kind is not BatchKind.EVENTS or not batch.columns or not 0 <= position < batch.count:
            raise NotFound("no such event")
        opened = Opened(_block(batch))
        hit = Hit(Place(opened.times[position], batch.num, position), opened)
        (events,) = [part async for part in found(self._store, [hit])]
        return events[0]

    async def histogram(self, asked: Asked, *, buckets: int, after: Place | None = None) -> Histogram:
        """How many events there are in each of `buckets` equal parts of the time asked for, which must be finite.

        Counted by columns alone: ValueError for a query with `WITHOUT_COLUMNS` in it. It stops after a turn; what
        follows `next` is to be added. Raises `NotFound` if there is no such source.
        """
        if any(term.field in WITHOUT_COLUMNS for term in asked.query.terms):
            raise ValueError("only fields can be counted over time")
        counts: Counter[int] = Counter()
        width_s = (asked.to_at - asked.from_at) / buckets
        reached: Place | None = after or TOP
        ends_at = self._clock.now() + self._turn_s
        before = None if after is None else (float(after.at), after.num)
        async for stretch in Scan(self._store, asked).stretches(before=before):
            for opened, positions in stretch.found:
                times = opened.times
                counts.update([int((times[each] - asked.from_at) / width_s) for each in positions])
            reached = stretch.reached
            if self._clock.now() >= ends_at:
                break
        return Histogram(
            counts=[counts[bucket] for bucket in range(buckets)],
            next=reached,
            searched_back_to_at=asked.from_at if reached is None else max(asked.from_at, reached.at),
        )

    async def tail(self, asked: Asked, *, since: int | None = None, still: Still = for_ever) -> Tail:
        """The events frozen from now on, or after the batch number `since` if that is not long ago.

        Before each look `still` is asked whether to go on. Raises `NotFound` if there is no such source.
        """
        if asked.source_id is not None:
            await self._store.source(asked.source_id)
        return await Tail.begin(self._store, self._clock, self.tails, asked, since=since, still=still)


def _block(batch: Batch) -> LogBlock:
    return LogBlock(
        num=batch.num,
        id=batch.id,
        source_id=batch.source_id,
        state=batch.state,
        first_event_at=batch.first_event_at,
        last_event_at=batch.last_event_at,
        frozen_at=batch.frozen_at,
        body_bytes=len(batch.body),
        columns=batch.columns,
    )
