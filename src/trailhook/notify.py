"""Notices: one signed message for each change of state, frozen in the same transaction that remembers it was told.
What is to go elsewhere, too (`TRAILHOOK_NOTIFY_URLS`), is kept with the source in that transaction, for
`notify_elsewhere`.

A state is compared with the one last told of, so that it does not matter who noticed, how often, or whether a
process died between.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from trailhook import body
from trailhook.clock import Clock, rfc3339
from trailhook.conditions import ACTIVE, DELIVERY_FAILING, NEEDS_ATTENTION, PAUSED, delivery_state, fetch_state
from trailhook.errors import FetchState, NotFound
from trailhook.model import Condition, Job, Lane, NewBatch, Source, Untold, Value
from trailhook.queue.base import Queue
from trailhook.security.redact import redact
from trailhook.store.base import Store

log = logging.getLogger(__name__)

EXPIRING = "credentials_expiring"
UNTOLD_MAX = 20
"""Notices of one source that wait for other URLs: of more, the oldest are not passed on."""
FAILING_LEVELS = ((24 * 3600.0, "24h"), (6 * 3600.0, "6h"), (15 * 60.0, ""))
"""Unbroken failure of a webhook is told of after 15 minutes, and logged again after 6 and 24 hours."""


class News(Value, frozen=True, kw_only=True):
    """A change of state that is worth a notice."""

    part: str
    """What it is about: `fetch`, `delivery`, `silence` or `credentials`."""
    condition: Condition
    before: str


class Notifier:
    """Tells users of changes in how their sources are: by the callback, and by `elsewhere` other URLs."""

    def __init__(
        self,
        store: Store,
        queue: Queue,
        clock: Clock,
        new_id: Callable[[], str],
        *,
        elsewhere: int = 0,
        expiry_notice_s: float = 0.0,
    ) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._new_id = new_id
        self._elsewhere = tuple(range(1, elsewhere + 1))
        self._expiry_notice_s = expiry_notice_s

    async def tell(self, source_id: str) -> None:
        """Freeze the notices due for a source, if any. Raises `NotFound`."""
        source = await self._store.source(source_id)
        lane = await self._store.lane(source.lane)
        now = self._clock.now()
        told: Sequence[News] = ()

        def change(source: Source) -> tuple[Source, Sequence[NewBatch]]:
            nonlocal told
            after, told = news_of(source, lane, now, self._expiry_notice_s)
            notices = [self._notice(source, each, now) for each in told]
            return self._with_untold(after, told, notices, now), notices

        after = await self._store.change_source(source_id, change)
        if after.revision != source.revision:
            _log_changes(source, after, lane, told)
            await self._queue.hint(Job(kind="deliver", source_id=source_id))
            if after.untold:
                await self._queue.hint(Job(kind="notify", source_id=source_id))

    async def tell_all(self) -> None:
        """The same for every source: catches what time alone has changed, and lanes that others share."""
        for source in await self._store.sources():
            with suppress(NotFound):  # removed meanwhile
                await self.tell(source.id)

    def _notice(self, source: Source, news: News, now: float) -> NewBatch:
        condition = news.condition
        data = {
            "sourceId": source.id,
            "sourceName": source.name,
            "part": news.part,
            "state": condition.state,
            "reason": condition.reason,
            "remedy": condition.remedy,
            "since": rfc3339(condition.since_at or now),
            "previousState": _base(news.before),
        }
        return body.notice(notice_type(condition.state), data, batch_id=self._new_id())

    def _with_untold(self, source: Source, told: Sequence[News], notices: Sequence[NewBatch], now: float) -> Source:
        if not (told and self._elsewhere):
            return source
        new = [
            Untold(
                id=notice.id,
                type=notice.type,
                title=title(source, news),
                text=text(source, news, now),
                to=self._elsewhere,
                at=now,
                due_at=now,
            )
            for news, notice in zip(told, notices, strict=True)
        ]
        return source.but(untold=(*source.untold, *new)[-UNTOLD_MAX:])


def news_of(source: Source, lane: Lane, now: float, expiry_notice_s: float) -> tuple[Source, Sequence[News]]:
    """What has changed since the last notices, and the source that remembers having told of it; the very same source if
    nothing has.
    """
    fetch, delivery = fetch_state(source), delivery_state(source, lane)
    level = delivery_level(delivery, lane, now) or source.announced_delivery
    news = []
    if fetch.state != source.announced_fetch:
        news.append(News(part="fetch", condition=fetch, before=source.announced_fetch))
    if _base(level) != _base(source.announced_delivery):
        news.append(News(part="delivery", condition=delivery, before=source.announced_delivery))
    if _has_fallen_silent(source) or source.silence.condition.state != source.announced_silence:
        news.append(News(part="silence", condition=source.silence.condition, before=source.announced_silence))
    expiring = _expiring(source, now, expiry_notice_s)
    if expiring is not None:
        news.append(News(part="credentials", condition=expiring, before=ACTIVE))
    changes = {
        "announced_fetch": fetch.state,
        "announced_delivery": level,
        "announced_silence": source.silence.condition.state,
        "announced_places": source.silence.places,
        "announced_expiry_at": source.credentials_expire_at if expiring else source.announced_expiry_at,
    }
    if all(getattr(source, name) == value for name, value in changes.items()):
        return source, ()
    return source.but(**changes), news


def _has_fallen_silent(source: Source) -> bool:
    """Whether more places are silent than were told of; that fewer are is told once none is."""
    return source.silence.condition.state != ACTIVE and not set(source.silence.places) <= set(source.announced_places)


def _expiring(source: Source, now: float, expiry_notice_s: float) -> Condition | None:
    """That the session token ends soon, unless that was told, or it was found to have ended."""
    end_at = source.credentials_expire_at
    if end_at is None or end_at == source.announced_expiry_at or now < end_at - expiry_notice_s:
        return None
    if source.fetch.state == FetchState.CREDENTIALS_EXPIRED:
        return None
    return Condition(
        state=EXPIRING,
        reason=f"The session token ends at {rfc3339(end_at)}.",
        remedy="Update the source with fresh credentials before then: nothing is fetched without.",
        since_at=now,
    )


# ----------------------------------------------------------------------------------------------------- for people

_AGAIN = {
    "fetch": "Logs are fetched again.",
    "delivery": "The callback takes deliveries again.",
    "silence": "Log files come again.",
}


def title(source: Source, news: News) -> str:
    """One line: whose state it is, and which."""
    state = "recovered" if news.condition.state == ACTIVE else news.condition.state.replace("_", " ")
    return f"Trailhook: {' '.join(source.name.split())}: {state}"


def text(source: Source, news: News, now: float) -> str:
    """What happened, since when, and what to do."""
    condition = news.condition
    what = condition.reason or _AGAIN.get(news.part, condition.state)
    lines = [what, f"Since: {rfc3339(condition.since_at or now)}"]
    if condition.remedy:
        lines.append(f"What to do: {condition.remedy}")
    lines.append(f"Source: {' '.join(source.name.split())} ({source.id})")
    return redact("\n".join(lines))


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


def _log_changes(source: Source, after: Source, lane: Lane, told: Sequence[News]) -> None:
    """One line for each change of state."""
    _log("fetching", source.announced_fetch, after.announced_fetch, fetch_state(after), source.id)
    delivery = delivery_state(after, lane)
    _log("delivering", source.announced_delivery, after.announced_delivery, delivery, source.id)
    for each in told:
        if each.part == "silence":
            _log("CloudTrail as seen from here", "", each.condition.state, each.condition, source.id)
        elif each.part == "credentials":
            log.warning("%s %s", each.condition.reason, each.condition.remedy, extra={"source": source.id})


def _log(part: str, before: str, after: str, condition: Condition, source_id: str) -> None:
    if before != after:
        level = logging.INFO if condition.state == ACTIVE else logging.WARNING
        said = " ".join(each for each in (condition.reason, condition.remedy) if each) or f"before: {_base(before)}"
        log.log(level, "%s is %s now. %s", part, condition.state, said, extra={"source": source_id})
