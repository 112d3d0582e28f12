"""Pages: events of the log, searched, and one of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from trailhook.api.auth import READ
from trailhook.api.context import PartsOf, cursor_of, place_of
from trailhook.api.events import LIMIT
from trailhook.api.problems import BadField, BadRequest
from trailhook.app import Parts, event_search
from trailhook.clock import rfc3339
from trailhook.model import Source, Value
from trailhook.search.base import Asked, Found, Page, Place
from trailhook.search.grammar import NotUnderstood
from trailhook.web import event_links
from trailhook.web.event_links import COLUMN_FIELDS, CUSTOM, DEFAULT, EXAMPLES, PAGE, RANGES, Wanted
from trailhook.web.pages import Entry, PagesOf, page_router
from trailhook.web.records import marked, pretty

NAV = Entry(title="Events", path=PAGE)
TEXT_MAX = 4_000
"""Characters of a query that are shown again; the grammar takes fewer."""
router = page_router()
Batch = Annotated[str, Path(max_length=64)]
Position = Annotated[int, Path(ge=0, lt=2**31)]
At = Annotated[float | None, Query(ge=0, lt=2**33)]
Counted = Annotated[int, Query(ge=0, lt=2**53)]


class Wrong(Value, frozen=True, kw_only=True):
    """What is wrong with a query, and where: the text before the place, the character at it, and the rest."""

    message: str
    before: str
    at: str
    after: str

    @classmethod
    def of(cls, text: str, error: NotUnderstood) -> "Wrong":
        """`error` about `text`."""
        place = error.place - 1
        return cls(message=str(error), before=text[:place], at=text[place : place + 1], after=text[place + 1 :])


class Progress(Value, frozen=True, kw_only=True):
    """How far a search has come: what is shown, how many more fill the page, and where to go on."""

    shown: int
    wanted: int
    unread: int
    next: str | None
    back_to_at: float
    share: float | None
    """Of the time asked for, from 0 to 1; None if that has no end."""

    @property
    def goes_on(self) -> bool:
        """Whether it goes on by itself."""
        return self.next is not None and self.wanted > 0


@router.get(PAGE, dependencies=[READ])
async def events_page(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """The form; what it finds, and how much of it when, is asked for by the page itself."""
    wanted, now = wanted_of(request), int(parts.clock.now())
    sources = await parts.store.sources()
    if wanted.source_id:
        await parts.store.source(wanted.source_id)
    context = {"wanted": wanted, "sources": named(sources), "at": now, "ranges": RANGES.values(), "examples": EXAMPLES}
    return pages.render(request, "events.html", **context, **_asked(wanted, now))


def _asked(wanted: Wanted, now: float) -> dict[str, Any]:
    """What to show of a search: what is wrong with it, or where its parts are."""
    asked, wrong, wrong_time = None, None, ""
    try:
        asked = wanted.asked(now)
    except NotUnderstood as error:
        wrong = Wrong.of(wanted.text, error)
    except BadRequest as error:
        wrong_time = "; ".join(f"{each.field} {each.message}" for each in error.errors)
    histogram, uncounted = _counts(wanted, asked, now) if asked else ("", "")
    export = event_links.api("/events", wanted, asked, format="ndjson") if asked else ""
    begin, end = event_links.written(asked) if asked else (wanted.begin, wanted.end)
    return {
        "begin": begin,
        "end": end,
        "wrong": wrong,
        "wrong_time": wrong_time,
        "export": export,
        "histogram": histogram,
        "uncounted": uncounted,
        "refused": asked is None,
    }


def _counts(wanted: Wanted, asked: Asked, now: float) -> tuple[str, str]:
    """Where counts over time are, or why there are none."""
    if not event_links.is_countable(asked.query):
        return "", "No counts over time: text and eventId are looked for in the records themselves."
    closed = asked.but(to_at=float(-(-now // 60) * 60)) if math.isinf(asked.to_at) else asked
    if closed.from_at == 0 or closed.from_at >= closed.to_at:
        return "", "No counts over time: they need a beginning, and one that has passed."
    buckets = str(event_links.columns(closed.from_at, closed.to_at))
    return event_links.api("/events/histogram", wanted, closed, buckets=buckets), ""


def wanted_of(request: Request) -> Wanted:
    """What the address of a page says."""
    given = request.query_params
    range_ = given.get("range", DEFAULT)
    return Wanted(
        text=given.get("q", "").strip()[:TEXT_MAX],
        source_id=given.get("source", "")[:64],
        range=range_ if range_ in RANGES or range_ == CUSTOM else DEFAULT,
        begin=given.get("from", "")[:64],
        end=given.get("to", "")[:64],
    )


def named(sources: Sequence[Source]) -> dict[str, str]:
    """Their names by their ids, in order."""
    return {each.id: each.name for each in sorted(sources, key=lambda each: (each.name.casefold(), each.id))}


# ------------------------------------------------------------------------------------------------------ what is found


@router.get(f"{PAGE}/results", dependencies=[READ])
async def results(
    request: Request,
    parts: PartsOf,
    pages: PagesOf,
    at: At = None,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
    want: Annotated[int, Query(ge=1, le=LIMIT)] = LIMIT,
    shown: Counted = 0,
    unread: Counted = 0,
) -> Response:
    """Rows for the table, as many as one turn of the search finds, and what goes on behind them."""
    wanted, now = wanted_of(request), int(at or parts.clock.now())
    try:
        asked = wanted.asked(now)
    except NotUnderstood as error:
        raise BadRequest(BadField(field="q", message=f"character {error.place}: {error}")) from None
    after = place_of(cursor, Place) if cursor else None
    page = await event_search(parts).page(asked, limit=want, after=after)
    to_at = now if math.isinf(asked.to_at) else min(asked.to_at, now)
    progress = Progress(
        shown=shown + len(page.found),
        wanted=want - len(page.found),
        unread=unread + page.unread,
        next=None if page.next is None else cursor_of(page.next),
        back_to_at=page.searched_back_to_at,
        share=_share(page, asked.from_at, to_at),
    )
    return pages.render(request, "_results.html", wanted=wanted, found=page.found, progress=progress, at=now)


def _share(page: Page, from_at: float, to_at: float) -> float | None:
    if from_at == 0:
        return None
    return min(1.0, max(0.0, (to_at - page.searched_back_to_at) / max(1.0, to_at - from_at)))


# ---------------------------------------------------------------------------------------------------------- one event


@router.get(f"{PAGE}/{{batch}}/{{position}}", dependencies=[READ])
async def event_page(request: Request, parts: PartsOf, pages: PagesOf, batch: Batch, position: Position) -> Response:
    """One event, at an address that stays."""
    found = await event_search(parts).one(batch, position)
    return pages.render(request, "event.html", **await _one(parts, found, Wanted(range="30d")))


@router.get(f"{PAGE}/{{batch}}/{{position}}/record", dependencies=[READ])
async def event_part(request: Request, parts: PartsOf, pages: PagesOf, batch: Batch, position: Position) -> Response:
    """The same as a part of another page, whose search its links extend."""
    found = await event_search(parts).one(batch, position)
    return pages.render(request, "_event.html", **await _one(parts, found, wanted_of(request)))


async def _one(parts: Parts, found: Found, wanted: Wanted) -> Mapping[str, Any]:
    source = await parts.store.source(found.source_id)
    values: list[tuple[str, str]] = [(field, found.texts[column]) for field, column in COLUMN_FIELDS.items()]
    if found.read_only is not None:
        values.append(("readOnly", "true" if found.read_only else "false"))
    return {
        "event": found,
        "source": source,
        "wanted": wanted,
        "values": values,
        "record": None if found.raw is None else marked(pretty(found.raw)),
        "around": wanted.page(text="", source_id="", **_around(found.at)) if found.at else "",
    }


def _around(at: float) -> dict[str, str]:
    """Five minutes on both sides."""
    minute = at // 60 * 60
    return {"range": CUSTOM, "begin": rfc3339(minute - 300)[:16], "end": rfc3339(minute + 360)[:16]}
