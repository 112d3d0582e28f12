"""Parts of pages: sending again or giving up many deliveries, after saying how many, in steps that show how far it is.

A step is one request. The page asks for the next one, so that closing it stops the work. Only
what had been given up when the question was asked is touched: what joins meanwhile was never agreed to.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from starlette.requests import Request
from starlette.responses import Response

from trailhook.api import deliveries as api
from trailhook.api.auth import WRITE
from trailhook.api.context import PartsOf
from trailhook.api.problems import BadField, BadRequest
from trailhook.app import Parts
from trailhook.errors import Conflict, NotFound
from trailhook.model import Batch, BatchState, Value
from trailhook.store.lists import BatchQuery
from trailhook.web.asked import Asked
from trailhook.web.deliveries import MENDABLE, PAGE_ROWS
from trailhook.web.forms import fields
from trailhook.web.pages import PagesOf, page_router

STEP: Final = 100
"""Deliveries of one step: a fraction of a second."""
PICK: Final = "pick-"
Verb = Literal["retry", "discard"]
router = page_router()


class Errand(Value, frozen=True, kw_only=True):
    """What is to be done with which deliveries, and how far it has come."""

    verb: str
    asked: Asked
    ids: tuple[str, ...] = ()
    """Those that were picked, instead of a filter."""
    total: int = 0
    until_at: float = 0.0
    before: int | None = None
    """The number of the last delivery that was looked at."""
    done: int = 0
    refused: int = 0
    reason: str = ""
    """Why the last one was refused."""

    @property
    def phrase(self) -> str:
        """What has to be typed."""
        return f"discard {self.total}"

    @property
    def fields(self) -> dict[str, str]:
        """Itself, for a form to carry."""
        own = {"total": str(self.total), "until": repr(self.until_at), "done": str(self.done)}
        own |= {"refused": str(self.refused)} | ({} if self.before is None else {"before": str(self.before)})
        return {**self.asked.fields, **own, **{PICK + each: "1" for each in self.ids}}

    def states(self) -> Sequence[BatchState]:
        """Of which states deliveries can be meant."""
        return [state for state in self.asked.query().listed_states if state in MENDABLE]


@router.get("/ui/all/{verb}", dependencies=[WRITE])
async def ask_for_all(request: Request, parts: PartsOf, pages: PagesOf, verb: Verb) -> Response:
    """The question whether all of a filter are meant, with their number."""
    errand = Errand(verb=verb, asked=Asked.of(request.query_params), until_at=parts.clock.now())
    total = await parts.store.batch_count(_query(errand)) if errand.states() else 0
    return pages.render(request, "_ask.html", errand=errand.but(total=total), wrong="")


@router.post("/ui/all/{verb}/picked", dependencies=[WRITE])
async def ask_for_picked(request: Request, parts: PartsOf, pages: PagesOf, verb: Verb) -> Response:
    """The same of those that were picked."""
    ids = _picked(await fields(request))
    errand = Errand(verb=verb, asked=Asked(), ids=ids, total=len(ids), until_at=parts.clock.now())
    return pages.render(request, "_ask.html", errand=errand, wrong="")


@router.post("/ui/all/{verb}", dependencies=[WRITE])
async def step(request: Request, parts: PartsOf, pages: PagesOf, verb: Verb) -> Response:
    """A step on the way, and how far it is."""
    given = await fields(request)
    errand = _errand(verb, given)
    begins = errand.before is None and not errand.done
    if verb == "discard" and begins and given.get("confirm") != errand.phrase:
        return pages.render(request, "_ask.html", errand=errand, wrong=f"Type “{errand.phrase}” to go on.")
    errand, over = await _go_on(parts, errand)
    answer = pages.render(request, "_step.html", errand=errand, over=over, confirm=given.get("confirm", ""))
    if over:
        answer.headers["hx-trigger"] = "changed"
    return answer


def _errand(verb: str, given: Mapping[str, str]) -> Errand:
    try:
        return Errand(
            verb=verb,
            asked=Asked.of(given),
            ids=_picked(given),
            total=int(given["total"]),
            until_at=float(given["until"]),
            before=int(given["before"]) if "before" in given else None,
            done=int(given["done"]),
            refused=int(given["refused"]),
        )
    except (KeyError, ValueError):
        raise BadRequest(BadField(field="form", message="is not one that was handed out here")) from None


def _picked(given: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name.removeprefix(PICK) for name in given if name.startswith(PICK))[:PAGE_ROWS]


def _query(errand: Errand) -> BatchQuery:
    query = errand.asked.query()
    return query.but(states=errand.states(), before=errand.before, limit=STEP)


async def _go_on(parts: Parts, errand: Errand) -> tuple[Errand, bool]:
    """One step; whether nothing is left to do."""
    if errand.ids:
        return await _all_of(parts, errand, errand.ids), True
    page = await parts.store.batches(_query(errand)) if errand.states() else []
    errand = await _all_of(parts, errand, [each.id for each in page if _was_there(each, errand)])
    over = len(page) < STEP or errand.done + errand.refused >= errand.total
    return errand.but(before=page[-1].num if page else None), over


def _was_there(batch: Batch, errand: Errand) -> bool:
    """Whether it was among those that were counted."""
    since_at = batch.frozen_at if batch.state is BatchState.WAITING else batch.settled_at or 0.0
    return since_at <= errand.until_at


async def _all_of(parts: Parts, errand: Errand, ids: Sequence[str]) -> Errand:
    reasons = await asyncio.gather(*(_do(parts, errand.verb, each) for each in ids))
    refused = [each for each in reasons if each]
    return errand.but(
        done=errand.done + len(ids) - len(refused),
        refused=errand.refused + len(refused),
        reason=refused[-1] if refused else errand.reason,
    )


async def _do(parts: Parts, verb: str, delivery_id: str) -> str:
    """Why it could not be done; empty if it was."""
    act: Any = api.retry_delivery if verb == "retry" else api.discard_delivery
    try:
        await act(parts, delivery_id)
    except NotFound:
        return "It is not there any more."
    except Conflict as error:
        return str(error)
    return ""
