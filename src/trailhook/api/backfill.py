"""Backfills: fetching what lies in the past."""

from typing import Self

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from trailhook import app
from trailhook.api import bodies, problems
from trailhook.api.answers import View, time_or_none
from trailhook.api.auth import READ, WRITE
from trailhook.api.context import Id, PartsOf
from trailhook.api.problems import BadField, BadRequest
from trailhook.api.schemas import Given, Time
from trailhook.app import Parts
from trailhook.backfill import Backfill, BackfillState
from trailhook.backfilling import JOB
from trailhook.clock import from_rfc3339, rfc3339
from trailhook.model import Job, Source
from trailhook.queue.base import Priority
from trailhook.settings import DAY_S

OK = 200


class StartBackfill(Given):
    """Which part of the past to fetch."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"from": "2026-01-01T00:00:00Z", "dryRun": True}]})

    from_: Time = Field(alias="from")
    to: Time | None = Field(default=None, description="By default now.")
    dry_run: bool = Field(default=False, description="Only say what it would take.")


class EstimateView(View):
    """What it may take, judged beforehand by few requests."""

    objects: int = Field(description="Log files in the span.")
    list_requests: int
    get_requests: int = Field(description="At most: objects that are known already are not read again.")
    lookup_requests: int = Field(description="At least; they cost nothing.")
    dollars: float
    basis: str = Field(description="What it is judged by.")


class BackfillView(View):
    """A backfill and how far it has come; of a dry run `id` is null."""

    id: str | None
    source_id: str
    state: str = Field(description="`running`, `stopped` or `done`; `planned` of a dry run.")
    from_: str = Field(serialization_alias="from")
    to: str
    estimate: EstimateView
    progress: float = Field(description="From 0 to 1.")
    objects_found: int
    objects_known: int = Field(description="Of those found: known before, and so not read again.")
    units_left: int = Field(description="Found and not read yet.")
    detail: str = Field(description="What keeps it from going on just now, if anything does.")
    notes: list[str]
    created_at: str
    ended_at: str | None

    @classmethod
    def of(cls, backfill: Backfill, *, left: int = 0, notes: list[str] | None = None) -> Self:
        estimate = backfill.estimate
        return cls(
            id=backfill.id,
            source_id=backfill.source_id,
            state=backfill.state,
            from_=rfc3339(backfill.from_at),
            to=rfc3339(backfill.to_at),
            estimate=EstimateView(**{name: getattr(estimate, name) for name in EstimateView.model_fields}),
            progress=round(backfill.progress(left), 4),
            objects_found=backfill.found,
            objects_known=backfill.known,
            units_left=left,
            detail=backfill.detail,
            notes=notes or [],
            created_at=rfc3339(backfill.created_at),
            ended_at=time_or_none(backfill.ended_at),
        )


class BackfillList(View):
    """The last backfills of a source, newest first."""

    backfills: list[BackfillView]


router = APIRouter(prefix="/sources/{id}", tags=["sources"])


@router.post(
    "/backfill",
    operation_id="startBackfill",
    summary="Fetch what lies in the past",
    status_code=202,
    dependencies=[WRITE],
    responses=problems.documented(404, 409, 413, 415),
    openapi_extra=bodies.documented(StartBackfill),
)
async def start_backfill(request: Request, response: Response, parts: PartsOf, source_id: Id) -> BackfillView:
    """Finds and forwards every log file of the span that is not known yet, after everything live.

    Its cost is judged first: with `dryRun` that is all, and the answer is 200. 409 while another one of the source
    runs, or while AWS does not let it be judged, with the reason.
    """
    await parts.store.source(source_id)
    given = await bodies.read(request, parts, StartBackfill)
    begun = await planned_or_begun(parts, source_id, given)
    if begun.id is None:
        response.status_code = OK
    else:
        response.headers["location"] = f"/sources/{source_id}/backfills/{begun.id}"
    return begun


async def planned_or_begun(parts: Parts, source_id: str, given: StartBackfill) -> BackfillView:
    """What `start_backfill` does. Raises `BadRequest`, `Conflict`, `NotFound`."""
    source = await parts.store.source(source_id)
    now = parts.clock.now()
    from_at, to_at = from_rfc3339(given.from_), from_rfc3339(given.to) if given.to else now
    if from_at >= now:
        raise BadRequest(BadField(field="from", message="must lie in the past"))
    if to_at <= from_at:
        raise BadRequest(BadField(field="to", message="must be later than from"))
    backfills = app.backfills(parts)
    plan = await backfills.plan(source, from_at=max(0.0, from_at), to_at=to_at)
    notes = _notes(parts, source, plan.backfill)
    if given.dry_run:
        return BackfillView.of(plan.backfill, notes=notes).model_copy(update={"id": None, "state": "planned"})
    begun = await backfills.begin(plan)
    await _hint(parts, source_id)
    return BackfillView.of(begun, notes=notes)


@router.get(
    "/backfills",
    operation_id="listBackfills",
    summary="List the last backfills",
    dependencies=[READ],
    responses=problems.documented(404),
)
async def list_backfills(parts: PartsOf, source_id: Id) -> BackfillList:
    """The last ones, newest first."""
    await parts.store.source(source_id)
    return BackfillList(backfills=[await _view(parts, each) for each in await app.backfills(parts).of(source_id)])


@router.get(
    "/backfills/{backfill}",
    operation_id="getBackfill",
    summary="One backfill",
    dependencies=[READ],
    responses=problems.documented(404),
)
async def get_backfill(parts: PartsOf, source_id: Id, backfill: str) -> BackfillView:
    """How far it has come."""
    return await _view(parts, await app.backfills(parts).one(source_id, backfill))


@router.post(
    "/backfills/{backfill}/stop",
    operation_id="stopBackfill",
    summary="Stop a backfill",
    dependencies=[WRITE],
    responses=problems.documented(404, 409),
)
async def stop_backfill(parts: PartsOf, source_id: Id, backfill: str) -> BackfillView:
    """Within seconds it neither finds nor reads any more. What it has found waits until it is resumed."""
    return await _view(parts, await app.backfills(parts).stop(source_id, backfill))


@router.post(
    "/backfills/{backfill}/resume",
    operation_id="resumeBackfill",
    summary="Resume a backfill",
    dependencies=[WRITE],
    responses=problems.documented(404, 409),
)
async def resume_backfill(parts: PartsOf, source_id: Id, backfill: str) -> BackfillView:
    """It goes on where it stopped. 409 while another one of the source runs."""
    resumed = await app.backfills(parts).resume(source_id, backfill)
    await _hint(parts, source_id)
    return await _view(parts, resumed)


async def _hint(parts: Parts, source_id: str) -> None:
    await parts.queue.hint(Job(kind=JOB, source_id=source_id), priority=Priority.BACKFILL)


async def _view(parts: Parts, backfill: Backfill) -> BackfillView:
    """Units are told of for the one that waits for them."""
    over = backfill.state is BackfillState.DONE
    return BackfillView.of(backfill, left=0 if over else await parts.store.backfill_left(backfill.source_id))


def _notes(parts: Parts, source: Source, backfill: Backfill) -> list[str]:
    """What a user should know before it begins."""
    days = parts.settings.ledger_days
    if min(source.created_at, backfill.to_at) < parts.clock.now() - days * DAY_S:
        return [
            f"What was forwarded more than {days} days ago is no longer remembered (TRAILHOOK_LEDGER_DAYS): if this "
            "source forwarded any of it then, it is sent again."
        ]
    return []
