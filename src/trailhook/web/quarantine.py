"""Pages: what could not be read."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from trailhook.api import quarantine as api
from trailhook.api.auth import READ, WRITE
from trailhook.api.context import Id, PartsOf, cursor_of, place_of
from trailhook.app import Parts
from trailhook.errors import Conflict, NotFound
from trailhook.web.deliveries import said
from trailhook.web.forms import fields
from trailhook.web.pages import Entry, PagesOf, page_router
from trailhook.web.payload import attached

NAV = Entry(title="Quarantine", path="/ui/quarantine")
PAGE_ROWS: Final = 50
BYTES_SHOWN: Final = 16 * 1024
ROW_BYTES: Final = 16
_VISIBLE: Final = bytes(each if 0x20 <= each < 0x7F else ord(".") for each in range(256))  # noqa: PLR2004 - ASCII's
router = page_router()


@router.get("/ui/quarantine", dependencies=[READ])
async def quarantine(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """Log files and events, newest first."""
    return pages.render(request, "quarantine.html", **await _shown(parts, request))


@router.get("/ui/quarantine/list", dependencies=[READ])
async def quarantine_part(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """The part that changes, alone."""
    return pages.render(request, "_quarantine.html", **await _shown(parts, request))


async def _shown(parts: Parts, request: Request) -> dict[str, Any]:
    cursor, source = request.query_params.get("cursor", ""), request.query_params.get("source", "")
    before = place_of(cursor, str) if cursor else None
    found = await parts.store.quarantine(source or None, limit=PAGE_ROWS + 1, before=before)
    sources = sorted(await parts.store.sources(), key=lambda each: (each.name.casefold(), each.id))
    return {
        "entries": found[:PAGE_ROWS],
        "next": cursor_of(found[PAGE_ROWS - 1].id) if len(found) > PAGE_ROWS else None,
        "cursor": cursor,
        "source": source,
        "sources": sources,
        "names": {each.id: each.name for each in sources},
    }


@router.get("/ui/quarantine/{id}", dependencies=[READ])
async def entry(request: Request, parts: PartsOf, pages: PagesOf, quarantine_id: Id) -> Response:
    """One of them, with the bytes that were kept."""
    found = await parts.store.quarantined(quarantine_id)
    names = {each.id: each.name for each in await parts.store.sources()}
    rows = hex_rows(found.body[:BYTES_SHOWN])
    return pages.render(request, "quarantined.html", entry=found, names=names, rows=rows, most=BYTES_SHOWN)


@router.get("/ui/quarantine/{id}/download", dependencies=[READ])
async def download(parts: PartsOf, quarantine_id: Id) -> Response:
    """The bytes of an event that could not be read, as a file."""
    found = await parts.store.quarantined(quarantine_id)
    if not found.body:
        raise NotFound("of a log file no bytes are kept")
    return Response(found.body, media_type="application/octet-stream", headers=attached(f"quarantine-{found.id}.bin"))


def hex_rows(content: bytes) -> list[tuple[str, str, str]]:
    """Place, bytes and visible characters of each row."""
    return [
        (f"{place:06x}", row.hex(" "), row.translate(_VISIBLE).decode("latin-1"))
        for place in range(0, len(content), ROW_BYTES)
        for row in (content[place : place + ROW_BYTES],)
    ]


@router.post("/ui/quarantine/{id}/retry", dependencies=[WRITE])
async def retry(request: Request, parts: PartsOf, pages: PagesOf, quarantine_id: Id) -> Response:
    """Try to read it again."""
    await api.retry_quarantined(parts, quarantine_id)
    return said(request, pages, f"{quarantine_id} has left quarantine: it is read and delivered as any other.")


@router.post("/ui/quarantine-retries", dependencies=[WRITE])
async def retry_all(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """Try to read all again, a page in a step, each step asked for by the page."""
    given = await fields(request)
    source, before = given.get("source", ""), given.get("before", "") or None
    done, refused = (
        int(number[:9]) if (number := given.get(name, "")).isdecimal() else 0 for name in ("done", "refused")
    )
    page = await parts.store.quarantine(source or None, limit=PAGE_ROWS, before=before)
    for each in page:
        left = await _leaves(parts, each.id)
        done, refused, before = done + left, refused + (not left), each.id
    over = len(page) < PAGE_ROWS
    shown = {"source": source, "before": before or "", "done": done, "refused": refused}
    answer = pages.render(request, "_quarantine-step.html", shown=shown, over=over)
    if over:
        answer.headers["hx-trigger"] = "changed"
    return answer


async def _leaves(parts: Parts, quarantine_id: str) -> bool:
    try:
        await api.retry_quarantined(parts, quarantine_id)
    except (Conflict, NotFound):
        return False
    return True
