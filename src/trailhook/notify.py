"""Notices: one signed message for each change of state, frozen in the same transaction that remembers it was told.

A state is compared with the one last told of, so that it does not matter who noticed, how often, or whether a
process died between.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from trailhook import body
from trailhook.clock import Clock, rfc3339
from trailhook.conditions import ACTIVE, DELIVERY_FAILING, NEEDS_ATTENTION, PAUSED, delivery_state, fetch_state
from trailhook.errors import NotFound
from trailhook.model import Condition, Job, Lane, NewBatch, Source
from trailhook.queue.base import Queue
from trailhook.store.base import Store

log = logging.getLogger(__name__)

FAILING_LEVELS = ((24 * 3600.0, "24h"), (6 * 3600.0, "6h"), (15 * 60.0, ""))
"""Unbroken failure of a webhook is told of after 15 minutes, and logged again after 6 and 24 hours."""


class Notifier:
    """Tells users of changes in how their sources are."""

    def __init__(self, store: Store, queue: Queue, clock: Clock, new_id: Callable[[], str]) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._new_id = new_id

    async def tell(self, source_id: str) -> None:
        """Freeze the notices due for a source, if any. Raises `NotFound`."""
        source = await self._store.source(source_id)
        lane = await self._store.lane(source.lane)
        now = self._clock.now()

        def change(source: Source) -> tuple[Source, Sequence[NewBatch]]:
            return self._told(source, lane, now)

        after = await self._store.change_source(source_id, change)
        if after.revision != source.revision:
            _log("fetching", source.announced_fetch, after.announced_fetch, fetch_state(after), source_id)
            _log(
                "delivering",
                source.announced_delivery,
                after.announced_delivery,
                delivery_state(after, lane),
                source_id,
            )
            await self._queue.hint(Job(kind="deliver", source_id=source_id))

    async def tell_all(self) -> None:
        """The same for every source: catches what time alone has changed, and lanes that others share."""
        for source in await self._store.sources():
            with suppress(NotFound):  # removed meanwhile
                await self.tell(source.id)

    def _told(self, source: Source, lane: Lane, now: float) -> tuple[Source, Sequence[NewBatch]]:
        fetch, delivery = fetch_state(source), delivery_state(source, lane)
        level = delivery_level(delivery, lane, now) or source.announced_delivery
        notices = []
        if fetch.state != source.announced_fetch:
            notices.append(self._notice(source, "fetch", fetch, source.announced_fetch))
        if _base(level) != _base(source.announced_delivery):
            notices.append(self._notice(source, "delivery", delivery, source.announced_delivery))
        if not notices and level == source.announced_delivery:
            return source, ()
        return source.but(announced_fetch=fetch.state, announced_delivery=level), notices

    def _notice(self, source: Source, part: str, condition: Condition, before: str) -> NewBatch:
        data = {
            "sourceId": source.id,
            "sourceName": source.name,
            "part": part,
            "state": condition.state,
            "reason": condition.reason,
            "remedy": condition.remedy,
            "since": rfc3339(condition.since_at or self._clock.now()),
            "previousState": _base(before),
        }
        return body.notice(notice_type(condition.state), data, batch_id=self._new_id())


def notice_type(state: str) -> str:
    """The notice that tells of a state. A webhook that said 410 needs attention like any other."""
    if state == ACTIVE:
        return "source.recovered"
    return f"source.{NEEDS_ATTENTION if state == PAUSED else state}"


def delivery_level(delivery: Condition, lane: Lane, now: float) -> str | None:
    """The state to tell of, None while it is too early to say: failing counts only after a while, and again at
    each of the longer marks.
    """
    if delivery.state != DELIVERY_FAILING:
        return delivery.state
    failing_s = now - (lane.failing_since_at if lane.failing_since_at is not None else now)
    for after_s, mark in FAILING_LEVELS:
        if failing_s >= after_s:
            return f"{DELIVERY_FAILING}:{mark}" if mark else DELIVERY_FAILING
    return None


def _base(level: str) -> str:
    return level.partition(":")[0]


def _log(part: str, before: str, after: str, condition: Condition, source_id: str) -> None:
    """One line for each change of state."""
    if before != after:
        level = logging.INFO if condition.state == ACTIVE else logging.WARNING
        said = " ".join(each for each in (condition.reason, condition.remedy) if each) or f"before: {_base(before)}"
        log.log(level, "%s is %s now. %s", part, condition.state, said, extra={"source": source_id})
