"""The event log: searched, counted over time, exported, watched. The grammar of `q` is told in docs/searching.md."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from trailhook.api import problems
from trailhook.api.answers import View, time_or_none
from trailhook.api.auth import READ
from trailhook.api.context import PartsOf, cursor_of, place_of
from trailhook.api.problems import BadField, BadRequest
from trailhook.app import event_search
from trailhook.clock import from_rfc3339, rfc3339
from trailhook.search import grammar
from trailhook.search.base import Asked, Found, Place
from trailhook.search.grammar import NotUnderstood, Term
from trailhook.search.log import EventSearch
from trailhook.search.tail import Tail

T = TypeVar("T")

NDJSON: Final = "application/x-ndjson"
LIMIT: Final = 50
"""Events of a page unless it is said: each brings its record, and each may lie in another batch."""
BUCKETS_MAX: Final = 1_000
HISTOGRAM_S: Final = 86_400.0
"""What a histogram shows unless it is said."""
FILE: Final = {"content-disposition": 'attachment; filename="events.ndjson"'}
_LINE_BREAKS: Final = bytes.maketrans(b"\r\n", b"  ")


class EventView(View):
    """An event that was found."""

    time: str | None
    event_name: str | None
    event_source: str | None
    user: str | None = Field(description="The ARN, else the name, the service or the principal that acted.")
    ip: str | None = Field(description="Where from: an address, or the name of a service.")
    error_code: str | None
    account: str | None
    region: str | None
    read_only: bool | None
    source: str = Field(description="The id of the source.")
    batch: str = Field(description="The delivery that it was sent with.")
    state: str = Field(description="Where that delivery stands.")
    position: int = Field(description="Its place in the batch: GET /events/{batch}/{position} finds it again.")
    event: dict[str, Any] | None = Field(
        description="The record as it was frozen, byte for byte; null once its batch has lost its body (metadata mode)."
    )


class EventPage(View):
    """Events, newest first."""

    events: list[EventView]
    next: str | None = Field(description="Where to go on; null when all has been searched.")
    searched_back_to: str | None = Field(description="How far back it has looked; null for the beginning.")
    complete: bool = Field(description="Whether all has been searched.")
    without_record: int = Field(
        description="Events that could not be searched for text: their records are no longer kept (metadata mode)."
    )


class BucketView(View):
    """A stretch of time and how many events there are in it."""

    start: str
    count: int


class HistogramView(View):
    """Counts over time, of what has been looked at so far: the newest is looked at first."""

    bucket_seconds: float
    buckets: list[BucketView]
    next: str | None = Field(
        description="What `?cursor=` takes, with `from` and `to`, for the rest, whose counts are to be added."
    )
    searched_back_to: str | None
    complete: bool


def event_json(found: Found) -> bytes:
    """An event as an object of JSON, its record byte for byte."""
    texts = {name: text or None for name, text in found.texts.items()}
    return msgspec.json.encode(
        {
            "time": time_or_none(found.at or None),
            "eventName": texts["name"],
            "eventSource": texts["service"],
            "user": texts["user"],
            "ip": texts["ip"],
            "errorCode": texts["error"],
            "account": texts["account"],
            "region": texts["region"],
            "readOnly": found.read_only,
            "source": found.source_id,
            "batch": found.batch_id,
            "state": found.state,
            "position": found.position,
            "event": None if found.raw is None else msgspec.Raw(found.raw),
        }
    )


def _line(found: Found) -> bytes:
    """The same on one line. A raw line break can only be white space between tokens: JSON strings have none."""
    return event_json(found).translate(_LINE_BREAKS)


def _search(parts: PartsOf) -> EventSearch:
    return event_search(parts)


SearchOf = Annotated[EventSearch, Depends(_search)]
_Values = Annotated[str | None, Query(max_length=grammar.CHARACTERS_MAX, description="As in `q`, after the colon.")]
_Time = Annotated[str | None, Query(max_length=64, description="RFC 3339, with an offset.")]


def _asked(
    source: Annotated[str | None, Query(max_length=64, description="Only of this source.")] = None,
    q: Annotated[str | None, Query(max_length=grammar.CHARACTERS_MAX, description="A query.")] = None,
    event_name: Annotated[_Values, Query(alias="eventName")] = None,
    event_source: Annotated[_Values, Query(alias="eventSource")] = None,
    user: _Values = None,
    ip: _Values = None,
    error_code: Annotated[_Values, Query(alias="errorCode")] = None,
    from_: Annotated[_Time, Query(alias="from", description="Not before this.")] = None,
    to: Annotated[_Time, Query(description="Before this.")] = None,
) -> Asked:
    given = {
        "eventName": event_name,
        "eventSource": event_source,
        "user": user,
        "ip": ip,
        "errorCode": error_code,
    }
    query = _understood("q", lambda: grammar.parse(q or ""))
    terms = [_term(field, values) for field, values in given.items() if values is not None]
    return Asked(
        query=query.also(*terms),
        source_id=source,
        from_at=_at("from", from_, 0.0),
        to_at=_at("to", to, math.inf),
    )


AskedOf = Annotated[Asked, Depends(_asked)]


def _term(field: str, values: str) -> Term:
    return _understood(field, lambda: grammar.term(field, values))


def _understood(field: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except NotUnderstood as error:
        raise BadRequest(BadField(field=field, message=f"character {error.place}: {error}")) from None


def _at(field: str, text: str | None, default: float) -> float:
    if text is None:
        return default
    try:
        return max(0.0, from_rfc3339(text))
    except (ValueError, OverflowError):
        raise BadRequest(
            BadField(field=field, message="must be a time with an offset, such as 2026-01-31T12:00:00Z")
        ) from None


def _after(
    cursor: Annotated[str | None, Query(max_length=512, description="`next` of the answer before.")] = None,
) -> Place | None:
    return None if cursor is None else place_of(cursor, Place)


def _back_to(at: float) -> str | None:
    return rfc3339(at) if at else None


AfterOf = Annotated[Place | None, Depends(_after)]

router = APIRouter(prefix="/events", tags=["events"])


@router.get(
    "",
    operation_id="searchEvents",
    summary="Search events",
    dependencies=[READ],
    response_model=EventPage,
    responses=problems.documented(404, 413) | {200: {"content": {NDJSON: {}}}},
)
async def search_events(
    request: Request,
    parts: PartsOf,
    search: SearchOf,
    asked: AskedOf,
    after: AfterOf,
    limit: Annotated[int | None, Query(ge=1, description=f"How many at most; {LIMIT} unless it is said.")] = None,
    format_: Annotated[
        Literal["ndjson"] | None, Query(alias="format", description="As the header, and a file: for links.")
    ] = None,
) -> Response:
    """Events of the log, newest first.

    A page may hold fewer than `limit`, or none: a search that takes long says how far back it has looked, and goes on
    with `cursor`. With `Accept: application/x-ndjson` it goes on by itself: an event a line, all of them unless there
    is a `limit`; one that fails on the way ends without the end of its transfer.
    """
    if asked.source_id is not None:
        await parts.store.source(asked.source_id)
    if format_ or NDJSON in request.headers.get("accept", ""):
        await request.body()  # before the answer begins, which looks for nothing but the client's leaving
        return StreamingResponse(_lines(search, asked, limit), media_type=NDJSON, headers=FILE if format_ else None)
    if limit is not None and limit > parts.settings.page_limit_max:
        raise BadRequest(BadField(field="limit", message=f"must be at most {parts.settings.page_limit_max}"))
    page = await search.page(asked, limit=limit or LIMIT, after=after)
    answer = {
        "events": [msgspec.Raw(event_json(each)) for each in page.found],
        "next": None if page.next is None else cursor_of(page.next),
        "searchedBackTo": _back_to(page.searched_back_to_at),
        "complete": page.next is None,
        "withoutRecord": page.unread,
    }
    return Response(msgspec.json.encode(answer), media_type="application/json")


async def _lines(search: EventSearch, asked: Asked, limit: int | None) -> AsyncIterator[bytes]:
    async for each in search.every(asked, limit=limit):
        yield _line(each) + b"\n"


@router.get(
    "/histogram",
    operation_id="countEvents",
    summary="Count events over time",
    dependencies=[READ],
    responses=problems.documented(404),
)
async def count_events(
    parts: PartsOf,
    search: SearchOf,
    asked: AskedOf,
    after: AfterOf,
    buckets: Annotated[int, Query(ge=1, le=BUCKETS_MAX, description="Into how many stretches to cut the time.")] = 60,
) -> HistogramView:
    """How many events there are in each of some equal stretches from `from` to `to`: by default the last 24 hours.

    Fields only: free text and `eventId` are refused, since every record would have to be read.
    """
    to_at = parts.clock.now() if math.isinf(asked.to_at) else asked.to_at
    from_at = asked.from_at or max(0.0, to_at - HISTOGRAM_S)
    if from_at >= to_at:
        raise BadRequest(BadField(field="from", message="must be before `to`"))
    try:
        histogram = await search.histogram(asked.but(from_at=from_at, to_at=to_at), buckets=buckets, after=after)
    except ValueError:
        raise BadRequest(BadField(field="q", message="only fields can be counted, no text and no eventId")) from None
    width_s = (to_at - from_at) / buckets
    return HistogramView(
        bucket_seconds=width_s,
        buckets=[
            BucketView(start=rfc3339(from_at + number * width_s), count=count)
            for number, count in enumerate(histogram.counts)
        ],
        next=None if histogram.next is None else cursor_of(histogram.next),
        searched_back_to=_back_to(histogram.searched_back_to_at),
        complete=histogram.next is None,
    )


async def _place_to_watch(request: Request, parts: PartsOf) -> AsyncIterator[None]:
    await request.body()  # as in `search_events`
    with parts.tails.one():
        yield


async def _tail(
    request: Request,
    search: SearchOf,
    asked: AskedOf,
    _: Annotated[None, Depends(_place_to_watch)],
    since: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, lt=2**53)] = None,
    last: Annotated[
        int | None, Query(alias="lastEventId", ge=0, lt=2**53, description="As the header, which goes before it.")
    ] = None,
) -> Tail:
    return await search.tail(asked, since=last if since is None else since, still=request.state.still)


@router.get(
    "/tail",
    operation_id="tailEvents",
    summary="Watch events",
    dependencies=[READ],
    response_class=EventSourceResponse,
    responses=problems.documented(404, 413),
)
async def tail_events(tail: Annotated[Tail, Depends(_tail)]) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: each event that fits, when it is frozen, as `data`. A view, and no delivery.

    With `Last-Event-ID` it goes on from there, if not too much has come since, and repeats what of a batch had come
    already rather than miss the rest. Comments come in between, so that both sides know of each other. Some may watch
    at a time: beyond that it is 503.
    """
    async with aclosing(tail.events()) as events:
        async for each in events:
            yield ServerSentEvent(raw_data=_line(each).decode(), id=str(tail.since))


@router.get(
    "/{batch}/{position}",
    operation_id="getEvent",
    summary="One event",
    dependencies=[READ],
    response_model=EventView,
    responses=problems.documented(404),
)
async def get_event(
    search: SearchOf,
    batch: Annotated[str, Path(max_length=64)],
    position: Annotated[int, Path(ge=0, lt=2**31)],
) -> Response:
    """The event at a position of a batch: a link that stays as long as the batch is kept."""
    return Response(event_json(await search.one(batch, position)), media_type="application/json")
