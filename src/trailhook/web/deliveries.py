"""Pages: deliveries, and one with every attempt at it."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trailhook.api import deliveries as api
from trailhook.api.auth import READ, WRITE
from trailhook.api.context import Id, PartsOf, cursor_of, place_of
from trailhook.app import Parts
from trailhook.delivery.headers import Headers, as_sent
from trailhook.errors import NotFound
from trailhook.model import Attempt, Batch, BatchState, Source, Value
from trailhook.web.asked import Asked
from trailhook.web.pages import Entry, Pages, PagesOf, page_router
from trailhook.web.words import RETRYING

NAV = Entry(title="Deliveries", path="/ui/deliveries")
PAGE_ROWS = 50
ATTEMPTS_SHOWN = 50
STATES = ("waiting", "delivered", "dead", "discarded", "split")
MENDABLE = (BatchState.WAITING, BatchState.DEAD)
"""States in which a person can do something about a delivery."""
router = page_router()


class Row(Value, frozen=True, kw_only=True):
    """One delivery as lists show it."""

    batch: Batch
    source: str
    """What its source is called; empty once it was removed."""

    @property
    def state(self) -> str:
        """Its state; of one that waits, whether it was tried before."""
        tried = self.batch.state is BatchState.WAITING and self.batch.attempts > 0
        return RETRYING if tried else self.batch.state.value

    @property
    def mendable(self) -> bool:
        """Whether it can be sent again or given up."""
        return self.batch.state in MENDABLE


class Try(Value, frozen=True, kw_only=True):
    """One attempt as the timeline shows it."""

    attempt: Attempt
    sent: Headers
    next_at: float | None
    """When the one after it began."""


@router.get("/ui/deliveries", dependencies=[READ])
async def deliveries(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """All of them, or those of a filter, newest first."""
    sources = await parts.store.sources()
    shown = await listed(parts, request, Asked.of(request.query_params), sources)
    named = sorted(sources, key=lambda each: (each.name.casefold(), each.id))
    return pages.render(request, "deliveries.html", **shown, sources=named, states=STATES)


@router.get("/ui/deliveries/list", dependencies=[READ])
async def deliveries_part(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """The part that changes, alone."""
    asked = Asked.of(request.query_params)
    answer = pages.render(
        request, "_deliveries.html", **await listed(parts, request, asked, await parts.store.sources())
    )
    if "cursor" not in request.query_params:
        answer.headers["hx-replace-url"] = f"/ui/deliveries?{asked.address()}".rstrip("?")
    return answer


async def listed(parts: Parts, request: Request, asked: Asked, sources: Sequence[Source]) -> dict[str, Any]:
    """A page of deliveries; `sources` are all there are."""
    cursor = request.query_params.get("cursor", "")
    before = place_of(cursor, int) if cursor else None
    found = await parts.store.batches(asked.query().but(before=before, limit=PAGE_ROWS + 1))
    names = {each.id: each.name for each in sources}
    rows = [Row(batch=batch, source=names.get(batch.source_id, "")) for batch in found[:PAGE_ROWS]]
    return {
        "asked": asked,
        "rows": rows,
        "cursor": cursor,
        "next": cursor_of(rows[-1].batch.num) if len(found) > PAGE_ROWS else None,
        "mendable": any(state in MENDABLE for state in asked.query().listed_states),
    }


# ------------------------------------------------------------------------------------------------------------- one


@router.get("/ui/deliveries/{id}", dependencies=[READ])
async def delivery(request: Request, parts: PartsOf, pages: PagesOf, delivery_id: Id) -> Response:
    """Everything about one delivery."""
    return pages.render(request, "delivery.html", **await _whole(parts, delivery_id))


@router.get("/ui/deliveries/{id}/state", dependencies=[READ])
async def delivery_state(request: Request, parts: PartsOf, pages: PagesOf, delivery_id: Id) -> Response:
    """The part that changes, alone."""
    return pages.render(request, "_delivery.html", **await _whole(parts, delivery_id))


async def _whole(parts: Parts, delivery_id: str) -> dict[str, Any]:
    batch = await parts.store.batch(delivery_id)
    source = await _source(parts, batch.source_id)
    lane = await parts.store.lane(source.lane) if source else None
    attempts = await parts.store.attempts(delivery_id)
    return {
        "row": Row(batch=batch, source=source.name if source else ""),
        "source": source,
        "held_until_at": lane.waits_until_at if lane and lane.waits_until_at > parts.clock.now() else 0.0,
        "lane": lane,
        "tries": _tries(batch, attempts)[:ATTEMPTS_SHOWN],
        "tried": len(attempts),
        "children": await parts.store.children(delivery_id),
    }


def _tries(batch: Batch, attempts: Sequence[Attempt]) -> list[Try]:
    """The newest first."""
    tries = [
        Try(attempt=each, sent=as_sent(batch, each), next_at=after.started_at if after else None)
        for each, after in zip_longest(attempts, attempts[1:])
    ]
    return tries[::-1]


async def _source(parts: Parts, source_id: str) -> Source | None:
    try:
        return await parts.store.source(source_id)
    except NotFound:
        return None


@router.post("/ui/deliveries/{id}/retry", dependencies=[WRITE])
async def retry(request: Request, parts: PartsOf, pages: PagesOf, delivery_id: Id) -> Response:
    """Send it again."""
    await api.retry_delivery(parts, delivery_id)
    return said(request, pages, f"{delivery_id} is due now: the same bytes, under the same id.")


def said(request: Request, pages: Pages, text: str) -> Response:
    """That something was done; lists on the page are asked for again."""
    answer = pages.render(request, "_done.html", text=text)
    answer.headers["hx-trigger"] = "changed"
    return answer
