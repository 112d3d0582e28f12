"""Quarantine: what could not be read, and reading it again."""

import asyncio
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import Field

from trailhook.api import problems
from trailhook.api.answers import View
from trailhook.api.auth import READ, WRITE
from trailhook.api.context import Id, PageOf, PartsOf, cursor_of, placed
from trailhook.app import Parts
from trailhook.clock import rfc3339
from trailhook.cloudtrail.records import BadRecord
from trailhook.cloudtrail.stretch import Record, Stretch
from trailhook.errors import Conflict
from trailhook.intake.filter import compile_filter
from trailhook.intake.harvest import Terms, freeze
from trailhook.intake.reading import Bounds
from trailhook.model import Job, Quarantined, QuarantineKind


class QuarantinedView(View):
    """A log object (`unit`) or an event (`record`) that could not be read."""

    id: str
    kind: str
    source_id: str
    place: str
    name: str
    position: int | None = Field(description="Which record of the object, from 0.")
    reason: str
    detail: str
    at: str

    @classmethod
    def of(cls, entry: Quarantined) -> Self:
        return cls(
            id=entry.id,
            kind=entry.kind,
            source_id=entry.source_id,
            place=entry.place,
            name=entry.name,
            position=entry.position,
            reason=entry.reason,
            detail=entry.detail,
            at=rfc3339(entry.at),
        )


class QuarantineList(View):
    """A page of what could not be read, newest first."""

    quarantine: list[QuarantinedView]
    next: str | None


class QuarantineRetried(View):
    """It has left quarantine: a unit to be read again, a record to be delivered."""

    id: str
    retried: Literal[True] = True


router = APIRouter(prefix="/quarantine", tags=["quarantine"])


@router.get(
    "",
    operation_id="listQuarantine",
    summary="List what could not be read",
    dependencies=[READ],
    responses=problems.documented(),
)
async def list_quarantine(
    parts: PartsOf,
    page: PageOf,
    source: Annotated[str | None, Query(max_length=64, description="Only of this source.")] = None,
) -> QuarantineList:
    """Log objects and single events, newest first, each with the reason."""
    found = await parts.store.quarantine(source, limit=page.limit + 1, before=placed(page, str))
    shown = found[: page.limit]
    return QuarantineList(
        quarantine=[QuarantinedView.of(entry) for entry in shown],
        next=cursor_of(shown[-1].id) if len(found) > page.limit else None,
    )


@router.post(
    "/{id}/retry",
    operation_id="retryQuarantined",
    summary="Try to read it again",
    dependencies=[WRITE],
    responses=problems.documented(404, 409),
)
async def retry_quarantined(parts: PartsOf, quarantine_id: Id) -> QuarantineRetried:
    """A log object is fetched again. An event is read again from the bytes kept: 409 if it still cannot be."""
    entry = await parts.store.quarantined(quarantine_id)
    if entry.kind is QuarantineKind.UNIT:
        await parts.store.requeue_unit(quarantine_id)
        await parts.queue.hint(Job(kind="intake", source_id=entry.source_id))
    else:
        await _release(parts, entry)
        await parts.queue.hint(Job(kind="deliver", source_id=entry.source_id))
    return QuarantineRetried(id=quarantine_id)


async def _release(parts: Parts, entry: Quarantined) -> None:
    """Let a record go the way it would have gone: filtered, known already, or frozen in a batch of its own."""
    terms = Terms.of(await parts.store.source(entry.source_id))
    record = await asyncio.to_thread(_read_again, parts, entry, terms)
    passes = compile_filter(terms.filter)
    if passes and not passes(record.event, record.raw):
        await parts.store.release_record(entry.id, key=None, batch=None)
        return
    (batch,) = freeze(terms, [Stretch.of(record)], ())
    await parts.store.release_record(entry.id, key=record.key, batch=batch)


def _read_again(parts: Parts, entry: Quarantined, terms: Terms) -> Record:
    read = Bounds.of(parts.settings).judge(terms).one(entry.body, entry.position or 0)
    if isinstance(read, BadRecord):
        raise Conflict(f"It still cannot be read: {read.detail}.")
    return read
