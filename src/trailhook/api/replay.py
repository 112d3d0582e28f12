"""Replay: sending again what a receiver took, on a user's word."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from starlette.requests import Request

from trailhook import body
from trailhook.api import bodies, problems
from trailhook.api.answers import View
from trailhook.api.auth import WRITE
from trailhook.api.context import Id, PartsOf, cursor_of, place_of
from trailhook.api.problems import BadField, BadRequest
from trailhook.api.schemas import Given, Time
from trailhook.app import Parts
from trailhook.clock import from_rfc3339
from trailhook.errors import NotFound
from trailhook.model import Job
from trailhook.store.base import Replayed

CALL_BATCHES_MAX = 100
"""Batches of one call; and while so many wait already, no more are added: what is new is sent behind them."""
TOGETHER_MAX = 10
"""Batches of one transaction: bodies of 10 MiB are the largest there can be."""

router = APIRouter(prefix="/sources/{id}", tags=["sources"])


class StartReplay(Given):
    """What to send again: by the time of its events, or batches by their ids."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}]}
    )

    from_: Time | None = Field(default=None, alias="from")
    to: Time | None = Field(default=None, description="By default now.")
    batches: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=100)] | None = None
    cursor: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="`next` of the answer before, with the same span."
    )
    dry_run: bool = Field(default=False, description="Only count.")


class ReplayView(View):
    """What is sent again. While `next` is not null there is more: ask again with it as `cursor`."""

    batches: int
    events: int
    gone: int = Field(description="Batches of which no body is kept any more.")
    next: str | None


@router.post(
    "/replay",
    operation_id="replaySource",
    summary="Send again what was taken",
    status_code=202,
    dependencies=[WRITE],
    responses=problems.documented(404, 409, 413, 415),
    openapi_extra=bodies.documented(StartReplay),
)
async def replay_source(request: Request, parts: PartsOf, source_id: Id) -> ReplayView:
    """Delivered batches are sent again, whole, the same bytes under new ids; they are counted as `replayed` only.

    A batch goes if any of its events happened in the span; those beside it go along. One call takes a hundred batches,
    and none while more than that wait to be sent: then it answers with `next` and none, to be asked again later.
    """
    await parts.store.source(source_id)
    return await replayed(parts, source_id, await bodies.read(request, parts, StartReplay))


async def replayed(parts: Parts, source_id: str, given: StartReplay) -> ReplayView:
    """What `replay_source` does. Raises `BadRequest`, `Conflict`, `NotFound`."""
    await parts.store.source(source_id)
    if (given.from_ is None) == (given.batches is None):
        raise BadRequest(BadField(field="from", message="must be given, or batches in its place"))
    if given.batches is not None and (given.to or given.cursor):
        raise BadRequest(BadField(field="batches", message="stands alone"))
    ids, after = await _chosen(parts, source_id, given)
    if given.dry_run:
        done = await _counted(parts, source_id, ids)
    else:
        done = await _sent(parts, source_id, ids)
        await parts.queue.hint(Job(kind="deliver", source_id=source_id))
    return ReplayView(
        batches=done.batches, events=done.events, gone=done.gone, next=None if after is None else cursor_of(after)
    )


async def _chosen(parts: Parts, source_id: str, given: StartReplay) -> tuple[Sequence[str], int | None]:
    """The ids of the batches to send now, and behind which number there are more."""
    if given.from_ is None:
        return list(dict.fromkeys(given.batches or ())), None
    from_at, to_at = from_rfc3339(given.from_), from_rfc3339(given.to) if given.to else parts.clock.now()
    if given.to and to_at <= from_at:
        raise BadRequest(BadField(field="to", message="must be later than from"))
    after = place_of(given.cursor, int) if given.cursor else 0
    totals = await parts.store.totals(source_id)
    room = CALL_BATCHES_MAX if given.dry_run else min(CALL_BATCHES_MAX, CALL_BATCHES_MAX - totals.waiting_batches)
    if room <= 0:
        return [], after
    found = await parts.store.replayable(
        source_id,
        from_at=from_at,
        to_at=to_at,
        after=after,
        limit=room + 1,
    )
    return [batch.id for batch in found[:room]], found[room - 1].num if len(found) > room else None


async def _sent(parts: Parts, source_id: str, ids: Sequence[str]) -> Replayed:
    done = Replayed()
    for at in range(0, len(ids), TOGETHER_MAX):
        copies = {batch_id: body.new_batch_id() for batch_id in ids[at : at + TOGETHER_MAX]}
        more = await parts.store.replay(source_id, copies)
        done = _sum(done, more)
    return done


async def _counted(parts: Parts, source_id: str, ids: Sequence[str]) -> Replayed:
    done = Replayed()
    for batch_id in ids:
        batch = await parts.store.batch(batch_id)
        if batch.source_id != source_id:
            raise NotFound("no such delivery")
        more = Replayed(batches=1, events=batch.count) if batch.body else Replayed(gone=1)
        done = _sum(done, more)
    return done


def _sum(one: Replayed, other: Replayed) -> Replayed:
    return Replayed(batches=one.batches + other.batches, events=one.events + other.events, gone=one.gone + other.gone)
