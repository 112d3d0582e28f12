"""Pages: one source, how it does, and what a person can do about it."""

from typing import Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from trailhook.api import preflight
from trailhook.api import sources as api
from trailhook.api.answers import SourceStatus
from trailhook.api.auth import READ, WRITE
from trailhook.api.context import Id, PartsOf
from trailhook.api.problems import BadField, BadRequest
from trailhook.app import Parts
from trailhook.store.samples import Sample
from trailhook.web.forms import fields
from trailhook.web.pages import PagesOf, page_router
from trailhook.web.timeline import SPANS, begin_of, columns, since

router = page_router()
OUTCOMES = (
    ("sent", "Sent", ""),
    ("filtered", "Filtered", ""),
    ("duplicate", "Repeats dropped", ""),
    ("quarantined", "Quarantined", "warn"),
    ("dead_lettered", "Dead letters", "bad"),
    ("discarded", "Discarded", ""),
    ("waiting", "Waiting", ""),
)
"""What becomes of a record: the terms of the equation, each with its tone."""
SECTIONS = ("_completeness.html", "_backfill.html")
"""What other modules add to the page of a source: each is shown where there is such a template, and is given what the
page is given."""


@router.get("/ui/sources/{id}", dependencies=[READ])
async def source_page(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """Everything about one source."""
    sections = [name for name in SECTIONS if pages.has(name)]
    shown = await _shown(parts, source_id)
    return pages.render(request, "source.html", **shown, spans=SPANS.values(), sections=sections)


@router.get("/ui/sources/{id}/state", dependencies=[READ])
async def source_state(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """The part that changes, alone."""
    return pages.render(request, "_source-state.html", **await _shown(parts, source_id))


async def _shown(parts: Parts, source_id: str) -> dict[str, Any]:
    source = await api.get_source(parts, source_id)
    status = await api.source_status(parts, source_id)
    return {"source": source, "status": status, "outcomes": OUTCOMES, "alerts": _alerts(status)}


def _alerts(status: SourceStatus) -> list[tuple[str, Any]]:
    """What a person should know, each with what it is about; that a user holds the source is said elsewhere."""
    about = {"Fetching": status.fetch, "Delivery": status.delivery, "CloudTrail": status.silence}
    found = [(name, condition) for name, condition in about.items() if condition.state != "active"]
    if status.fetch.state == "paused":
        return [each for each in found if each[1].state != "paused"]
    slow = [("Fetching", status.fetch)] if status.fetch.state == "active" and status.fetch.reason else []
    return found + slow


# ----------------------------------------------------------------------------------------------------- the picture


@router.get("/ui/sources/{id}/timeline", dependencies=[READ])
async def timeline(parts: PartsOf, source_id: Id, span: Annotated[str, Query()] = "1h") -> Response:
    """What was read, sent and failed in each column of a span, for the plot."""
    if span not in SPANS:
        raise BadRequest(BadField(field="span", message=f"must be one of {', '.join(SPANS)}"))
    chosen, now = SPANS[span], parts.clock.now()
    source = await parts.store.source(source_id)
    totals = await parts.store.totals(source_id)
    found = await parts.store.samples([source_id], step_s=chosen.sampled_s, since_at=begin_of(chosen, now))
    present = Sample(at=now, counts=totals.counts)
    whole = columns(found[source_id], present=present, created_at=source.created_at, span=chosen)
    drawn = since(whole, source.created_at)
    series = (
        ("Read", drawn.read, "--series-1"),
        ("Sent", drawn.sent, "--series-2"),
        ("Failed", drawn.failed, "--series-3"),
        ("Waiting", drawn.waiting, "--series-4"),
    )
    return JSONResponse(
        {
            "stepSeconds": chosen.step_s,
            "times": drawn.begins,
            "series": [{"label": label, "values": values, "color": color} for label, values, color in series],
        }
    )


# ------------------------------------------------------------------------------------------------- what can be done


@router.post("/ui/sources/{id}/pause", dependencies=[WRITE])
async def pause(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """Hold it."""
    await api.pause_source(parts, source_id)
    return await source_state(request, parts, pages, source_id)


@router.post("/ui/sources/{id}/resume", dependencies=[WRITE])
async def resume(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """Let it go on."""
    await api.resume_source(parts, source_id)
    return await source_state(request, parts, pages, source_id)


@router.post("/ui/sources/{id}/fetch", dependencies=[WRITE])
async def fetch(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """Look for logs now."""
    await api.fetch_source(parts, source_id)
    return await source_state(request, parts, pages, source_id)


@router.post("/ui/sources/{id}/test", dependencies=[WRITE])
async def test(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """Try everything that it needs."""
    return pages.render(request, "_report.html", report=await preflight.test_source(parts, source_id))


@router.post("/ui/sources/{id}/rotate-secret", dependencies=[WRITE])
async def rotate_secret(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """A new signing secret, shown once."""
    rotated = await api.rotate_secret(parts, source_id)
    return pages.render(request, "_rotated.html", secret=rotated.signing_secret, until=rotated.previous_until)


@router.post("/ui/sources/{id}/remove", dependencies=[WRITE])
async def remove(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """Remove it, for those who have typed its name."""
    source = await parts.store.source(source_id)
    if (await fields(request)).get("name") != source.name.strip():
        return pages.render(request, "_not-removed.html")
    removed = await api.remove_source(parts, source_id)
    answer = pages.render(request, "_removed.html", name=source.name, removed=removed)
    answer.headers["hx-retarget"] = "#main"
    return answer
