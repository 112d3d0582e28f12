"""Pages: what a delivery holds, opened on demand. It comes from outside, and is only ever text."""

import asyncio
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trailhook import body
from trailhook.api.auth import READ
from trailhook.api.context import Id, PartsOf
from trailhook.cloudtrail import columns
from trailhook.errors import Conflict, Invalid, NotFound
from trailhook.model import Batch, Value
from trailhook.web.pages import PagesOf, page_router

RECORDS_SHOWN: Final = 100
"""Records of a batch on one part of a page."""
TEXT_BYTES_MAX: Final = 256 * 1024
"""As much of a record or a body is shown; all of it can be downloaded."""
ENDINGS: Final = {"application/x-ndjson": "ndjson"}
router = page_router()


class Line(Value, frozen=True, kw_only=True):
    """A record in a line."""

    position: int
    at: int
    name: str
    service: str
    user: str
    ip: str
    error: str
    region: str


class Text(Value, frozen=True, kw_only=True):
    """As much of something as is shown."""

    text: str
    bytes: int
    cut: bool


@router.get("/ui/deliveries/{id}/payload", dependencies=[READ])
async def payload(request: Request, parts: PartsOf, pages: PagesOf, delivery_id: Id) -> Response:
    """Its records in lines, a page of them; of a notice the whole."""
    number = request.query_params.get("from", "")
    start = int(number) if number.isascii() and number.isdecimal() and len(number) < len("1000000000") else 0
    batch = await _kept(parts.store.batch(delivery_id))
    if not batch.count:
        text = await asyncio.to_thread(_whole, batch)
        return pages.render(request, "_record.html", shown=text, batch=batch)
    lines = await asyncio.to_thread(_lines, batch, start)
    return pages.render(request, "_payload.html", batch=batch, lines=lines, start=start, page=RECORDS_SHOWN)


@router.get("/ui/deliveries/{id}/records/{position}", dependencies=[READ])
async def record(request: Request, parts: PartsOf, pages: PagesOf, delivery_id: Id, position: int) -> Response:
    """One record, laid out for people."""
    batch = await _kept(parts.store.batch(delivery_id))
    text = await asyncio.to_thread(_record, batch, position)
    return pages.render(request, "_record.html", shown=text, batch=batch)


@router.get("/ui/deliveries/{id}/raw", dependencies=[READ])
async def raw(request: Request, parts: PartsOf, pages: PagesOf, delivery_id: Id) -> Response:
    """The body as it was laid out, as text."""
    batch = await _kept(parts.store.batch(delivery_id))
    plain = await asyncio.to_thread(_inflated, batch)
    return pages.render(request, "_record.html", shown=_text(plain), batch=batch)


@router.get("/ui/deliveries/{id}/download", dependencies=[READ])
async def download(parts: PartsOf, delivery_id: Id) -> Response:
    """The bytes that travel, as a file."""
    batch = await _kept(parts.store.batch(delivery_id))
    content = await asyncio.to_thread(_wire, batch)
    name = f"{batch.id}.{ENDINGS.get(batch.content_type, 'json')}{'.gz' if batch.content_encoding else ''}"
    return Response(content, media_type="application/octet-stream", headers=attached(name))


def attached(name: str) -> dict[str, str]:
    """Headers by which a browser keeps something as a file; `name` is of our own making."""
    return {"content-disposition": f'attachment; filename="{name}"', "x-content-type-options": "nosniff"}


async def _kept(found: Any) -> Batch:
    batch: Batch = await found
    if not batch.body:
        raise NotFound("its body is no longer kept")
    return batch


def _inflated(batch: Batch) -> bytes:
    try:
        return body.inflated(batch)
    except Invalid as error:
        raise Conflict("The stored bytes are not those that were frozen: it is neither sent nor shown.") from error


def _wire(batch: Batch) -> bytes:
    plain = _inflated(batch)
    return batch.body if batch.content_encoding else plain


def _whole(batch: Batch) -> Text:
    return _pretty(_inflated(batch))


def _lines(batch: Batch, start: int) -> list[Line]:
    found = columns.unpack(batch.columns)
    return [
        Line(
            position=position,
            at=found.times[position],
            **{name: found.texts[name][position] for name in ("name", "service", "user", "ip", "error", "region")},
        )
        for position in range(start, min(len(found), start + RECORDS_SHOWN))
    ]


def _record(batch: Batch, position: int) -> Text:
    found = columns.unpack(batch.columns)
    if not 0 <= position < len(found):
        raise NotFound("no such record")
    return _pretty(columns.slices(_inflated(batch), found)[position])


def _pretty(content: bytes) -> Text:
    """JSON with indents (its numbers and texts byte for byte); anything else as it is."""
    try:
        laid_out = msgspec.json.format(content, indent=2)
    except (msgspec.DecodeError, RecursionError):
        laid_out = content
    return _text(laid_out)


def _text(content: bytes) -> Text:
    shown = content[:TEXT_BYTES_MAX].decode(errors="replace")
    return Text(text=shown, bytes=len(content), cut=len(content) > TEXT_BYTES_MAX)
