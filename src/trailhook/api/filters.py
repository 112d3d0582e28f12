"""Filters: trying one on the stored log before it is set."""

from typing import Self

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request

from trailhook.api import bodies, problems
from trailhook.api.answers import View, time_or_none
from trailhook.api.auth import READ
from trailhook.api.context import Id, PartsOf
from trailhook.api.problems import BadField, BadRequest
from trailhook.api.registration import filter_of
from trailhook.api.schemas import TryFilter
from trailhook.dry_run import DryRun, Example, dry_run

router = APIRouter(tags=["sources"])

NOTE = "Tried on the stored log: events that a filter has dropped before are not in it."


class ExampleView(View):
    """An event that the filter would have dropped or redacted."""

    event_id: str
    event_time: str | None
    event_name: str
    why: str = Field(examples=['exclude names eventName "Decrypt"'])

    @classmethod
    def of(cls, example: Example) -> Self:
        return cls(
            event_id=example.event_id,
            event_time=time_or_none(example.at or None),
            event_name=example.name,
            why=example.why,
        )


class DryRunView(View):
    """What the filter would have done with the newest stored events. `redacted` are among those not dropped."""

    tried: int
    dropped: int
    redacted: int
    examples: list[ExampleView]
    complete: bool = Field(description="Whether `last` events were tried, or all that have passed and are stored.")
    note: str = NOTE

    @classmethod
    def of(cls, done: DryRun) -> Self:
        return cls(
            tried=done.tried,
            dropped=done.dropped,
            redacted=done.redacted,
            examples=[ExampleView.of(each) for each in done.examples],
            complete=done.complete,
        )


@router.post(
    "/sources/{id}/filter/test",
    operation_id="testFilter",
    summary="Try a filter on the stored log",
    dependencies=[READ],
    responses=problems.documented(404, 413, 415),
    openapi_extra=bodies.documented(TryFilter),
)
async def test_filter(request: Request, parts: PartsOf, source_id: Id) -> DryRunView:
    """What it would have dropped and redacted of the `last` stored events of the source, newest first.

    Nothing is changed or sent. Events that a filter has dropped before are not in the log, redacted values are redacted
    there, and events stored in the short form cannot be tried.
    """
    given = await bodies.read(request, parts, TryFilter)
    most = parts.settings.dry_run_records_max
    if given.last > most:
        raise BadRequest(BadField(field="last", message=f"must be at most {most}"))
    await parts.store.source(source_id)
    done = await dry_run(
        parts.store,
        source_id,
        filter_of(given.filter),
        last=given.last,
        settings=parts.settings,
        clock=parts.clock,
    )
    return DryRunView.of(done)
