"""A section of a source's page: proof per hour. It asks AWS, so only when somebody wants to know."""

from collections.abc import Iterator, Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from trailhook.api import completeness as api
from trailhook.api.auth import READ
from trailhook.api.completeness import HourView
from trailhook.api.context import Id, PageOf, PartsOf
from trailhook.api.problems import BadField, BadRequest
from trailhook.clock import from_rfc3339, rfc3339
from trailhook.cloudtrail.chain import HOUR_S
from trailhook.completeness import State, Why
from trailhook.model import Value
from trailhook.settings import DAY_S
from trailhook.web.pages import PagesOf, page_router

SPANS_H = {"24h": 24, "3d": 72, "7d": 7 * 24, "30d": 30 * 24}
"""What can be asked about, in hours up to now."""
STATES = {
    State.PROVED: ("Proved", "ok", "✓"),
    State.MISSING: ("Missing", "bad", "✕"),
    State.ALTERED: ("Altered", "bad", "≠"),
    State.BAD_DIGEST: ("Bad digest", "warn", "!"),
    State.NO_DIGEST: ("No digest", "idle", "–"),
}
"""Each state in words, with its tone and its sign."""
SEVERITY = (State.NO_DIGEST, State.PROVED, State.BAD_DIGEST, State.MISSING, State.ALTERED)
"""Of what is told of one hour of the clock, the last is shown: digests begin at any minute."""
WHYS = {
    Why.REFETCHED: "was never taken in; it is fetched and forwarded now",
    Why.WAITING: "waits to be read",
    Why.QUARANTINED: "is unreadable: see the quarantine",
    Why.GONE: "was never taken in, and is not in the bucket any more",
    Why.UNPROVED: "was taken in when no hash was kept, and is gone or replaced since",
    Why.BEFORE_START: "is older than what this source begins with: a backfill brings it",
    Why.FORGOTTEN: "is so old that it is not remembered whether it was forwarded",
    Why.NOT_READ: "is no log, by its key",
}
router = page_router()


class Spot(Value, frozen=True, kw_only=True):
    """Where a grid has come to: the group and the day of the last cell, so that the next part goes on behind it."""

    group: str = ""
    day: str = ""


class Cell(Value, frozen=True, kw_only=True):
    """An hour in the grid: `group` and `day` are set where a new row of cells begins."""

    told: HourView
    at: float
    group: str
    day: str

    @property
    def column(self) -> int:
        """Its hour of the day."""
        return int(self.at % DAY_S // HOUR_S)


@router.get("/ui/sources/{id}/completeness", dependencies=[READ])
async def completeness(
    request: Request,
    parts: PartsOf,
    pages: PagesOf,
    source_id: Id,
    page: PageOf,
    span: Annotated[str, Query()],
    at: Annotated[float | None, Query(ge=0, lt=2**33)] = None,
    group: Annotated[str, Query(max_length=300)] = "",
    day: Annotated[str, Query(max_length=10)] = "",
    told: Annotated[str, Query(pattern=r"^(\d{1,9}(\.\d{1,9}){4})?$")] = "",
) -> Response:
    """A part of the grid, and what asks for the next one; `told` is how many hours there were in each state so far."""
    if span not in SPANS_H:
        raise BadRequest(BadField(field="span", message=f"must be one of {', '.join(SPANS_H)}"))
    to_at = at or (parts.clock.now() // HOUR_S + 1) * HOUR_S
    begin, end = rfc3339(to_at - SPANS_H[span] * HOUR_S), rfc3339(to_at)
    found = await api.completeness(parts, source_id, page, begin, end)
    cells = list(_cells(found.hours, Spot(group=group, day=day)))
    tally = _tally(cells, told)
    if cells:
        group, day = _group(cells[-1].told), _day(cells[-1].at)
    asked = {"span": span, "at": f"{to_at:.0f}", "told": ".".join(map(str, tally)), "group": group, "day": day}
    context = {
        "source_id": source_id,
        "cells": cells,
        "bad": [each for each in found.hours if each.state is not State.PROVED and each.reason != "none"],
        "states": STATES,
        "whys": WHYS,
        "tally": dict(zip(STATES, tally, strict=True)),
        "onward": urlencode({**asked, "cursor": found.next}) if found.next else "",
        "first": page.after is None,
    }
    return pages.render(request, "_hours.html", **context)


def _group(told: HourView) -> str:
    trail = told.trail.removesuffix(f"_{told.region}")
    return f"{told.account} {told.region}{' · ' if trail else ''}{trail}"


def _day(at: float) -> str:
    return rfc3339(at)[: len("2026-01-31")]


def _cells(told: Sequence[HourView], spot: Spot) -> Iterator[Cell]:
    """A cell for each hour of the clock in which something begins that is told of."""
    found: dict[tuple[str, float], HourView] = {}
    for each in told:
        for at in _hours(each):
            place = (_group(each), at)
            found[place] = max(found.get(place, each), each, key=lambda told: SEVERITY.index(told.state))
    for (group, at), each in found.items():
        day, begins = _day(at), group != spot.group
        yield Cell(told=each, at=at, group=group if begins else "", day=day if begins or day != spot.day else "")
        spot = Spot(group=group, day=day)


def _hours(told: HourView) -> Iterator[float]:
    at = from_rfc3339(told.start) // HOUR_S * HOUR_S
    yield at
    while told.state is State.NO_DIGEST and at + HOUR_S < from_rfc3339(told.end):
        at += HOUR_S
        yield at


def _tally(cells: Sequence[Cell], told: str) -> list[int]:
    before = map(int, told.split(".")) if told else [0] * len(STATES)
    states = [each.told.state for each in cells]
    return [count + states.count(state) for count, state in zip(before, STATES, strict=True)]
