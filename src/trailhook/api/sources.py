"""Sources: registering, changing and removing them, and looking after them."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import Response

from trailhook import conditions
from trailhook.api import bodies, problems
from trailhook.api.answers import (
    SecretRotated,
    SilenceView,
    SourceAdded,
    SourceList,
    SourceRemoved,
    SourceStatus,
    SourceView,
)
from trailhook.api.auth import READ, WRITE
from trailhook.api.context import Id, PageOf, PartsOf, cursor_of, placed
from trailhook.api.idempotency import Registrations
from trailhook.api.preflight import verified
from trailhook.api.registration import changed_source, new_seed, new_source
from trailhook.api.schemas import AddSource, ChangeSource
from trailhook.app import Parts
from trailhook.clock import rfc3339
from trailhook.delivery import breaker
from trailhook.errors import Conflict, NotFound
from trailhook.intake.held import release
from trailhook.model import Job, Lane, NewBatch, Source
from trailhook.security.secrets import new_signing_secret, shown_once
from trailhook.silence import heard

SIGNING_SECRETS_MAX = 5
"""Each one that signs adds a signature to every request."""

router = APIRouter(tags=["sources"])
Status = Literal[
    "active",
    "paused",
    "credentials_expired",
    "credentials_invalid",
    "access_denied",
    "clock_skewed",
    "misconfigured",
    "needs_attention",
    "delivery_failing",
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="The same key with the same body within 24 hours registers once and gets the same answer.",
    ),
]


Verify = Annotated[
    bool,
    Query(description="Try everything that the source needs first, and refuse what does not work."),
]


@router.post(
    "/add-source",
    operation_id="addSource",
    summary="Register a source",
    status_code=201,
    dependencies=[WRITE],
    responses=problems.documented(409, 413, 415),
    openapi_extra=bodies.documented(AddSource),
)
async def add_source(
    request: Request,
    response: Response,
    parts: PartsOf,
    idempotency_key: IdempotencyKey = None,
    verify: Verify = False,
) -> SourceAdded:
    """Registers a source and starts fetching at once. The signing secret is shown in this answer only.

    With `verify` nothing is registered unless every check of `POST /sources/{id}/test` is ok: the refusal's `errors`
    name the fields to look at. What the checks could not try is told in `warnings`.
    """
    given = await bodies.read(request, parts, AddSource)
    added, repeated = await register(parts, given, await request.body(), key=idempotency_key, verify=verify)
    if repeated:
        response.headers["idempotent-replayed"] = "true"
    response.headers["location"] = f"/sources/{added.id}"
    return added


async def register(
    parts: Parts, given: AddSource, document: bytes, *, key: str | None, verify: bool
) -> tuple[SourceAdded, bool]:
    """Register what was given as `document`; the answer, and whether it only repeats an earlier one with that key."""
    warnings: list[str] = []
    repeated = False
    seed = new_seed(parts.clock.now())
    source = new_source(given, seed, parts.secrets)
    if key is None:
        warnings += await verified(parts, source) if verify else []
        await parts.store.add_source(source)
    else:
        registrations = Registrations(parts.store, parts.vault, parts.clock)
        claim = await registrations.claim(key, bodies.canonical_sha256(document), seed)
        seed, source = claim.seed, new_source(given, claim.seed, parts.secrets)
        if verify and not (claim.done or await _is_there(parts, source)):
            warnings += await verified(parts, source)
        repeated = claim.done or not await _added(parts, source)
        await registrations.done(claim)
    await parts.queue.hint(Job(kind="poll", source_id=source.id))
    warnings += await _warnings(parts, source)
    shown = shown_once(seed.signing)
    return SourceAdded.of(source, Lane(key=source.lane), signing_secret=shown, warnings=warnings), repeated


async def _is_there(parts: Parts, source: Source) -> bool:
    """Whether an earlier request with the same seed registered it, though it was cut short after that."""
    try:
        await parts.store.source(source.id)
    except NotFound:
        return False
    return True


async def _added(parts: Parts, source: Source) -> bool:
    """Add it; False if an earlier request with the same seed came as far as that."""
    try:
        await parts.store.add_source(source)
    except Conflict:
        return False
    return True


async def _warnings(parts: Parts, source: Source) -> list[str]:
    twins = [
        other.id
        for other in await parts.store.sources()
        if other.id != source.id and source.bucket is not None and _goes(other) == _goes(source)
    ]
    return [f"Source {twin} has the same bucket, prefix and callback: events arrive from both." for twin in twins]


def _goes(source: Source) -> tuple[str | None, str, str]:
    return source.bucket, source.prefix, source.callback_url


@router.get(
    "/sources",
    operation_id="listSources",
    summary="List sources",
    dependencies=[READ],
    responses=problems.documented(),
)
async def list_sources(
    parts: PartsOf, page: PageOf, status: Annotated[Status | None, Query(description="Only these.")] = None
) -> SourceList:
    """Every registered source, those at work first; a broken one is never left out."""
    lanes: dict[str, Lane] = {}
    ranked: list[tuple[tuple[bool, float, str], Source]] = []
    for source in await parts.store.sources():
        if source.lane not in lanes:
            lanes[source.lane] = await parts.store.lane(source.lane)
        overall = conditions.overall(source, lanes[source.lane])
        if status in (None, overall):
            ranked.append(((overall != conditions.ACTIVE, source.created_at, source.id), source))
    begin = placed(page, tuple[bool, float, str])
    found = sorted((each for each in ranked if begin is None or each[0] > begin), key=lambda each: each[0])
    shown = found[: page.limit]
    return SourceList(
        sources=[SourceView.of(source, lanes[source.lane]) for _, source in shown],
        next=cursor_of(shown[-1][0]) if len(found) > page.limit else None,
    )


@router.get(
    "/sources/{id}",
    operation_id="getSource",
    summary="One source",
    dependencies=[READ],
    responses=problems.documented(404),
)
async def get_source(parts: PartsOf, source_id: Id) -> SourceView:
    """What it was given and how it is; secrets are never shown."""
    return await _view(parts, await parts.store.source(source_id))


@router.patch(
    "/sources/{id}",
    operation_id="changeSource",
    summary="Change a source",
    dependencies=[WRITE],
    responses=problems.documented(404, 413, 415),
    openapi_extra=bodies.documented(ChangeSource),
)
async def change_source(request: Request, parts: PartsOf, source_id: Id) -> SourceView:
    """What is left out stays, null clears. Credentials are replaced as a whole (their region may be changed alone).

    Another callback host clears `delivery.headers` unless they are given too. What waits keeps its bytes.
    """
    await parts.store.source(source_id)
    return await apply_change(parts, source_id, await bodies.read(request, parts, ChangeSource))


async def apply_change(parts: Parts, source_id: str, given: ChangeSource) -> SourceView:
    """Make a change, let it be looked at soon, and return how the source is then. Raises `NotFound`, `BadRequest`."""
    before = await parts.store.source(source_id)
    now = parts.clock.now()
    source = await _change(parts, source_id, lambda source: changed_source(source, given, parts.secrets, now))
    if source.lane != before.lane:
        source = await _carry_over(parts, source_id, before.lane, source.lane)
    if before.hold_until_verified and not source.hold_until_verified:
        await release(parts.store, source_id)
    await _hint(parts, source)
    return await _view(parts, source)


@router.delete(
    "/remove-source/{id}",
    operation_id="removeSource",
    summary="Remove a source",
    dependencies=[WRITE],
    responses=problems.documented(404),
)
async def remove_source(parts: PartsOf, source_id: Id) -> SourceRemoved:
    """Erases its credentials, stops its jobs and discards what was not delivered yet, counted in the answer."""
    removed = await parts.store.remove_source(source_id)
    parts.metrics.forget(source_id)
    return SourceRemoved.of(source_id, removed)


@router.post(
    "/sources/{id}/fetch",
    operation_id="fetchSource",
    summary="Look for logs now",
    status_code=202,
    dependencies=[WRITE],
    responses=problems.documented(404, 409),
)
async def fetch_source(parts: PartsOf, source_id: Id) -> SourceView:
    """The next look is due at once. 409 while the source is paused."""
    now = parts.clock.now()

    def change(source: Source) -> Source:
        if source.paused_at is not None:
            raise Conflict("The source is paused: resume it first.")
        return source.but(next_fetch_at=now)

    source = await _change(parts, source_id, change)
    await _hint(parts, source)
    return await _view(parts, source)


@router.post(
    "/sources/{id}/pause",
    operation_id="pauseSource",
    summary="Pause a source",
    dependencies=[WRITE],
    responses=problems.documented(404),
)
async def pause_source(parts: PartsOf, source_id: Id) -> SourceView:
    """It neither fetches nor delivers until it is resumed; nothing is lost."""
    now = parts.clock.now()

    def change(source: Source) -> Source:
        return source if source.paused_at is not None else source.but(paused_at=now)

    return await _view(parts, await _change(parts, source_id, change))


@router.post(
    "/sources/{id}/resume",
    operation_id="resumeSource",
    summary="Resume a source",
    dependencies=[WRITE],
    responses=problems.documented(404),
)
async def resume_source(parts: PartsOf, source_id: Id) -> SourceView:
    """It fetches and delivers again at once; a callback that failed is tried without waiting for its next turn."""
    now = parts.clock.now()

    def change(source: Source) -> Source:
        if source.paused_at is None:
            return source.but(next_fetch_at=min(source.next_fetch_at, now))
        paused_s = source.paused_total_s + max(0.0, now - source.paused_at)
        return source.but(paused_at=None, paused_total_s=paused_s, next_fetch_at=now)

    source = await _change(parts, source_id, change)
    await parts.store.change_lane(source.lane, lambda lane: breaker.probe_soon(lane, now))
    await _hint(parts, source)
    return await _view(parts, source)


@router.post(
    "/sources/{id}/rotate-secret",
    operation_id="rotateSecret",
    summary="Rotate the signing secret",
    dependencies=[WRITE],
    responses=problems.documented(404, 409),
)
async def rotate_secret(parts: PartsOf, source_id: Id) -> SecretRotated:
    """A new signing secret, shown in this answer only. The former signs beside it until the overlap ends."""
    now = parts.clock.now()
    until_at = now + parts.settings.secret_overlap_s
    new = new_signing_secret()

    def change(source: Source) -> Source:
        former = [
            each.but(until_at=until_at) if each.until_at is None else each
            for each in parts.secrets.all_signing(source)
            if each.until_at is None or each.until_at > now
        ]
        if len(former) >= SIGNING_SECRETS_MAX:
            raise Conflict("Too many former secrets still sign: wait until the overlap of one has ended.")
        signing = parts.secrets.seal_signing(source.id, [new, *former])
        return source.but(sealed={**source.sealed, "signing": signing})

    source = await _change(parts, source_id, change)
    lane = await parts.store.lane(source.lane)
    return SecretRotated.of(source, lane, signing_secret=shown_once(new), previous_until=rfc3339(until_at))


@router.get(
    "/sources/{id}/status",
    operation_id="getSourceStatus",
    summary="How a source is doing",
    dependencies=[READ],
    responses=problems.documented(404),
)
async def source_status(parts: PartsOf, source_id: Id) -> SourceStatus:
    """Counts of records that add up, what waits, what was given up, and how far behind it is."""
    source = await parts.store.source(source_id)
    totals = await parts.store.totals(source_id)
    now = parts.clock.now()
    places = heard(source, await parts.store.watermarks(source_id))
    silence = SilenceView.of_source(source, places, now, parts.settings.silence_after_s)
    return SourceStatus.of(source, await parts.store.lane(source.lane), totals, silence, now)


# --------------------------------------------------------------------------------------------------- shared steps


async def _change(parts: Parts, source_id: str, change: Callable[[Source], Source]) -> Source:
    """Change a source without a notice: notices are for what happens by itself."""

    def whole(source: Source) -> tuple[Source, Sequence[NewBatch]]:
        return change(source), ()

    return await parts.store.change_source(source_id, whole)


async def _carry_over(parts: Parts, source_id: str, before: str, after: str) -> Source:
    """What was held behind the former lane stays held: the new one knows nothing of it, and it is no batch's age."""
    now = parts.clock.now()
    held_s = breaker.held_s(await parts.store.lane(before), now) - breaker.held_s(await parts.store.lane(after), now)
    return await _change(
        parts, source_id, lambda source: source.but(paused_total_s=source.paused_total_s + held_s) if held_s else source
    )


async def _hint(parts: Parts, source: Source) -> None:
    """Let it be looked at soon."""
    for kind in ("poll", "intake", "deliver"):
        await parts.queue.hint(Job(kind=kind, source_id=source.id))


async def _view(parts: Parts, source: Source) -> SourceView:
    return SourceView.of(source, await parts.store.lane(source.lane))
