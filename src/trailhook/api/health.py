"""Probes and metrics."""

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import JSONResponse, Response

from trailhook import conditions
from trailhook.api import problems
from trailhook.api.answers import View, lag_s
from trailhook.api.auth import READ
from trailhook.api.context import PartsOf, known_queries
from trailhook.app import Parts
from trailhook.errors import NotFound, Transient

router = APIRouter(tags=["health"])
CHECK_S_MAX = 5.0
"""A part that has not answered by then is not ready."""
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: text for status, text in problems.documented().items() if status in (401, 422)
}


class Alive(View):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(View):
    """Whether requests would succeed; the parts only for those with a token."""

    status: Literal["ready", "not ready"]
    parts: dict[str, Literal["ok", "unavailable"]] | None = None


@router.get("/healthz", operation_id="healthz", summary="Liveness", openapi_extra={"security": []})
async def healthz() -> Alive:
    """Asks nothing of any other part, minds no parameters, needs no token."""
    return Alive()


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Readiness",
    response_model=Readiness,
    openapi_extra={"security": [{}, {"token": []}]},
    responses={503: {"model": Readiness, "description": "Not ready."}, **_REFUSALS},
)
async def readyz(
    parts: PartsOf, verbose: Annotated[str | None, Query(description="Name the parts; this needs a token.")] = None
) -> Response:
    """Whether the store and the queue answer. Without parameters it needs no token and tells no more than that."""
    checks = {"store": parts.store.check(), "queue": parts.queue.check()}
    results = await asyncio.gather(*map(_passes, checks.values()))
    ready = all(results)
    content: dict[str, object] = {"status": "ready" if ready else "not ready"}
    if verbose is not None:
        content["parts"] = {
            name: "ok" if passed else "unavailable" for name, passed in zip(checks, results, strict=True)
        }
    return JSONResponse(content, 200 if ready else 503)


async def _passes(check: Awaitable[None]) -> bool:
    try:
        await asyncio.wait_for(check, CHECK_S_MAX)
    except (Transient, TimeoutError):
        return False
    return True


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics for Prometheus",
    dependencies=[READ, Depends(known_queries)],
    response_class=Response,
    responses={**problems.documented(), 200: {"description": "Metrics.", "content": {"text/plain": {}}}},
)
async def metrics(parts: PartsOf) -> Response:
    """Counters since this process began, and gauges of how things are now."""
    await _refresh(parts)
    return Response(parts.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


async def _refresh(parts: Parts) -> None:
    """Set the gauges to how things are. Raises `StoreUnavailable`."""
    statuses: dict[str, str] = {}
    lags_s: dict[str, float] = {}
    behind_s: dict[str, float] = {}
    silent: dict[str, int] = {}
    overdue_s: dict[str, float] = {}
    for source in await parts.store.sources():
        try:
            totals = await parts.store.totals(source.id)
        except NotFound:
            continue  # removed meanwhile
        statuses[source.id] = conditions.overall(source, await parts.store.lane(source.lane))
        lags_s[source.id] = lag_s(totals, parts.clock.now())
        silent[source.id] = source.silence.count
        paused = source.paused_at is not None
        overdue_s[source.id] = 0.0 if paused else max(0.0, parts.clock.now() - source.next_fetch_at)
        if "lookup" in source.intakes:
            behind_s[source.id] = source.behind_s
    jobs = await parts.queue.depth()
    parts.metrics.set_gauges(
        statuses=statuses, lags_s=lags_s, jobs=jobs, behind_s=behind_s, silent=silent, overdue_s=overdue_s
    )
