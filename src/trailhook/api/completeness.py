"""Proof that everything was forwarded, hour by hour."""

from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import Field

from trailhook import app
from trailhook.api import problems
from trailhook.api.answers import View
from trailhook.api.auth import READ
from trailhook.api.context import Id, PageOf, PartsOf, bad_cursor, cursor_of, placed
from trailhook.api.problems import BadField, BadRequest
from trailhook.clock import from_rfc3339, rfc3339
from trailhook.completeness import Altered, Hour, Missing, Spot, State, Why
from trailhook.errors import Conflict, NeedsAttention
from trailhook.settings import DAY_S

router = APIRouter(tags=["sources"])


class MissingView(View):
    """A log file that is not proved to have been forwarded.

    `refetched`: it was never taken in, and is being read now. `waiting`: to be read. `quarantined`: unreadable.
    `gone`: never taken in, and not in the bucket any more. `unproved`: taken in without keeping its hash, and gone or
    replaced since. `before_start`: older than `startFrom`. `forgotten`: so old that it is not remembered whether it was
    forwarded. `not_read`: by its key it is no log.
    """

    object: str
    why: Why

    @classmethod
    def of(cls, missing: Missing) -> Self:
        return cls(object=missing.key, why=missing.why)


class AlteredView(View):
    """A log file that was taken in with another content than CloudTrail delivered, by its SHA-256."""

    object: str
    expected: str
    found: str
    also_expected: bool = Field(description="Whether it was taken in as CloudTrail delivered it, too.")

    @classmethod
    def of(cls, altered: Altered) -> Self:
        return cls(
            object=altered.key,
            expected=altered.expected.hex(),
            found=altered.found.hex(),
            also_expected=altered.also_expected,
        )


class HourView(View):
    """What is known of one hour of one trail. `objects` is how many log files its digest lists.

    The lists name the first of them; the numbers count all. `outside` are not this source's to forward, by its prefix.
    """

    account: str
    region: str
    trail: str = Field(description="The trail's name and home region; empty where there are no digests at all.")
    start: str = Field(serialization_alias="from")
    end: str = Field(serialization_alias="to")
    state: State
    reason: str = Field(description="Why there is no digest, or why it proves nothing, in a word.")
    detail: str
    digest: str | None = Field(description="Its key.")
    objects: int
    proved: int
    outside: int
    missing_count: int
    missing: list[MissingView]
    altered_count: int
    altered: list[AlteredView]

    @classmethod
    def of(cls, hour: Hour) -> Self:
        return cls(
            account=hour.account,
            region=hour.region,
            trail=hour.trail,
            start=rfc3339(hour.span.start_at),
            end=rfc3339(hour.span.end_at),
            state=hour.state,
            reason=hour.span.reason,
            detail=hour.span.detail,
            digest=hour.span.key or None,
            objects=hour.listed,
            proved=hour.proved,
            outside=hour.outside,
            missing_count=hour.missing_count,
            missing=[MissingView.of(each) for each in hour.missing],
            altered_count=hour.altered_count,
            altered=[AlteredView.of(each) for each in hour.altered],
        )


class CompletenessView(View):
    """A page of hours, region by region of account by account, and what continues it."""

    hours: list[HourView]
    next: str | None


Begin = Annotated[str, Query(alias="from", max_length=40, description="A time with its offset (RFC 3339).")]
End = Annotated[str, Query(alias="to", max_length=40, description="The same; not beyond it.")]


@router.get(
    "/sources/{id}/completeness",
    operation_id="getCompleteness",
    summary="Proof per hour",
    dependencies=[READ],
    responses=problems.documented(404, 409),
)
async def completeness(parts: PartsOf, source_id: Id, page: PageOf, begin: Begin, end: End) -> CompletenessView:
    """What CloudTrail's digests say was delivered, held against what was forwarded, hour by hour from `from` to `to`.

    A page may have fewer hours than its limit, for each is looked at in AWS now. Log files that were never taken in,
    and are still in the bucket, are fetched. 409, with the remedy, when AWS does not let the source ask.
    """
    from_at, to_at = _range(begin, end, parts.settings.completeness_days_max)
    source = await parts.store.source(source_id)
    if source.bucket is None:
        raise Conflict("The source has no bucket of its own: only there are digests to compare with.")
    after = placed(page, tuple[str, float, int])
    if after is not None and not (from_at <= after[1] < to_at and after[2] >= 0):
        raise bad_cursor()
    spot = None if after is None else Spot(directory=after[0], at=after[1], skip=after[2])
    try:
        proof = await app.completeness(parts).page(source, from_at, to_at, after=spot, limit=page.limit)
    except NeedsAttention as error:
        raise Conflict(f"{error.reason} {error.remedy}") from error
    rest = proof.next
    return CompletenessView(
        hours=[HourView.of(hour) for hour in proof.hours],
        next=None if rest is None else cursor_of((rest.directory, rest.at, rest.skip)),
    )


def _range(begin: str, end: str, days_max: int) -> tuple[float, float]:
    """Raises `BadRequest`."""
    bounds = []
    for name, text in (("from", begin), ("to", end)):
        try:
            bounds.append(max(0.0, from_rfc3339(text)))
        except (ValueError, OverflowError):
            message = "must be a time with its offset (RFC 3339), such as 2026-01-31T12:00:00Z"
            raise BadRequest(BadField(field=name, message=message)) from None
    from_at, to_at = bounds
    if from_at >= to_at:
        raise BadRequest(BadField(field="to", message="must be later than from"))
    if to_at - from_at > days_max * DAY_S:
        raise BadRequest(BadField(field="to", message=f"must be at most {days_max} days after from"))
    return from_at, to_at
