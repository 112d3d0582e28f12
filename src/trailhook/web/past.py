"""A section of a source's page: fetching what lies in the past, and sending again what was taken."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from trailhook.api import backfill as api
from trailhook.api import bodies, replay
from trailhook.api.auth import READ, WRITE
from trailhook.api.backfill import StartBackfill
from trailhook.api.context import Id, PartsOf
from trailhook.api.problems import BadField, BadRequest
from trailhook.api.replay import StartReplay
from trailhook.app import Parts
from trailhook.backfill import BackfillState
from trailhook.clock import rfc3339
from trailhook.errors import Conflict
from trailhook.model import Value
from trailhook.web.forms import fields
from trailhook.web.pages import Pages, PagesOf, page_router

Body = TypeVar("Body", bound=BaseModel)
Step = Literal["count", "send"]
router = page_router()


class Resent(Value, frozen=True, kw_only=True):
    """How far a replay, or the count before it, has come; it is asked for again with `next` until there is none."""

    batches: int
    events: int
    gone: int
    next: str | None
    full: bool
    """Whether as many wait already as may: then it goes on later."""


@router.get("/ui/sources/{id}/backfills", dependencies=[READ])
async def backfills(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """The last backfills and how far they have come."""
    return await _listed(request, parts, pages, source_id)


@router.post("/ui/sources/{id}/backfills/estimate", dependencies=[WRITE])
async def estimate(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """What it would take."""
    given = await fields(request)
    try:
        body = _body(parts, StartBackfill, given, dryRun=True)
        plan = await api.planned_or_begun(parts, source_id, body)
    except (BadRequest, Conflict) as error:
        return _refused(request, pages, error)
    return pages.render(request, "_estimate.html", source_id=source_id, plan=plan)


@router.post("/ui/sources/{id}/backfills", dependencies=[WRITE])
async def start(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """Begin it."""
    given = await fields(request)
    try:
        await api.planned_or_begun(parts, source_id, _body(parts, StartBackfill, given))
    except (BadRequest, Conflict) as error:
        return _refused(request, pages, error)
    return await _listed(request, parts, pages, source_id, begun=True)


@router.post("/ui/sources/{id}/backfills/{backfill}/stop", dependencies=[WRITE])
async def stop(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id, backfill: str) -> Response:
    """Hold it."""
    await api.stop_backfill(parts, source_id, backfill)
    return await _listed(request, parts, pages, source_id)


@router.post("/ui/sources/{id}/backfills/{backfill}/resume", dependencies=[WRITE])
async def resume(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id, backfill: str) -> Response:
    """Let it go on."""
    await api.resume_backfill(parts, source_id, backfill)
    return await _listed(request, parts, pages, source_id)


async def _listed(request: Request, parts: Parts, pages: Pages, source_id: str, *, begun: bool = False) -> Response:
    found = await api.list_backfills(parts, source_id)
    shown = {"backfills": found.backfills, "running": BackfillState.RUNNING, "stopped": BackfillState.STOPPED}
    return pages.render(request, "_backfills.html", source_id=source_id, begun=begun, **shown)


# --------------------------------------------------------------------------------------------------- sending again


@router.post("/ui/sources/{id}/replay/{what}", dependencies=[WRITE])
async def send_again(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id, what: Step) -> Response:
    """Count what would be sent again, or send it: a hundred deliveries, and what goes on."""
    given = dict(await fields(request))
    given.setdefault("to", "")
    if not given["to"]:  # the same end for all its parts: what is sent again is not sent again once more
        given["to"] = rfc3339(parts.clock.now())
    try:
        body = _body(parts, StartReplay, given, dryRun=what != "send", cursor=given.get("cursor") or None)
        done = await replay.replayed(parts, source_id, body)
    except (BadRequest, Conflict) as error:
        return _refused(request, pages, error)
    resent = Resent(
        batches=_whole(given, "batches") + done.batches,
        events=_whole(given, "events") + done.events,
        gone=_whole(given, "gone") + done.gone,
        next=done.next,
        full=done.next is not None and not done.batches + done.gone,
    )
    context = {"source_id": source_id, "resent": resent, "sending": what == "send"}
    return pages.render(request, "_resent.html", begin=given.get("from", ""), end=given["to"], **context)


# ------------------------------------------------------------------------------------------------------ from forms


def _body(parts: Parts, model: type[Body], given: Mapping[str, str], **more: Any) -> Body:
    """The form as the API's document. Raises `BadRequest`."""
    times = {name: _time(name, given[name]) for name in ("from", "to") if given.get(name)}
    if "from" not in times:
        raise BadRequest(BadField(field="from", message="must be given"))
    document = {**times, **{name: value for name, value in more.items() if value is not None}}
    return bodies.checked(json.dumps(document).encode(), parts, model)


def _time(field: str, text: str) -> str:
    """As the API takes it: forms give no offset, and mean UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(BadField(field=field, message="must be a time like 2026-01-31T12:00, in UTC")) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def _whole(given: Mapping[str, str], name: str) -> int:
    text = given.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < len("1000000000000") else 0


def _refused(request: Request, pages: Pages, error: BadRequest | Conflict) -> Response:
    """Said beside the form: the rest of the page stays."""
    said = [f"{each.field} {each.message}" for each in error.errors] if isinstance(error, BadRequest) else [str(error)]
    answer = pages.render(request, "_no-past.html", said=said)
    answer.headers["hx-reswap"] = "innerHTML"
    return answer
