"""Backfills: spans of the past fetched on a user's word. Here they are planned and steered; `backfilling` does them.

How far each has come is a document of the store, so that any worker can go on with it.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import msgspec

from trailhook.clock import Clock
from trailhook.errors import Conflict, NeedsAttention, NotFound, StoreUnavailable, Transient
from trailhook.model import Source, Value
from trailhook.sources.base import Access, History, Span, Stretch, Survey
from trailhook.store.base import Store

BACKFILLS, STRETCHES = "backfills", "backfill-stretches"
"""Kinds of documents: all backfills of a source by its id, and the stretches of one that is not over by its own."""
KEPT_MAX = 20
"""Backfills of one source that are remembered."""
LIST_DOLLARS, GET_DOLLARS = 0.005 / 1_000, 0.0004 / 1_000
"""A request to S3 Standard in us-east-1: https://aws.amazon.com/s3/pricing/"""


class BackfillState(StrEnum):
    """Where a backfill stands."""

    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"


class Estimate(Value, frozen=True, kw_only=True):
    """What a backfill may take, judged beforehand by few requests."""

    objects: int
    list_requests: int
    get_requests: int
    lookup_requests: int
    dollars: float
    basis: str


class Backfill(Value, frozen=True, kw_only=True):
    """One backfill, and how far it has come."""

    id: str
    source_id: str
    state: BackfillState = BackfillState.RUNNING
    from_at: float
    to_at: float
    created_at: float
    ended_at: float | None = None
    estimate: Estimate
    stretches: int
    walked: int = 0
    """Stretches that were walked to their end."""
    after: str = ""
    """Where to go on in the next."""
    reached_at: float = 0.0
    """How far that is."""
    found: int = 0
    known: int = 0
    """Of those found: what was known before."""
    failures: int = 0
    """In a row."""
    retry_at: float = 0.0
    detail: str = ""
    """What keeps it from going on, if anything does."""
    token: int = 0
    """Whoever holds it under a later one may write."""

    @property
    def listed(self) -> bool:
        """Whether there is nothing more to find."""
        return self.walked >= self.stretches

    def span(self) -> Span:
        return Span(id=self.id, from_at=self.from_at, to_at=self.to_at)

    def progress(self, left: int) -> float:
        """From 0 to 1: the share that was walked, of which `left` units are still to be read."""
        if self.state is BackfillState.DONE:
            return 1.0
        part = (self.reached_at - self.from_at) / max(1.0, self.to_at - self.from_at) if self.after else 0.0
        walked = min(1.0, (self.walked + part) / max(1, self.stretches))
        return walked * max(0.0, 1.0 - left / max(1, left, self.found - self.known))


class Plan(Value, frozen=True, kw_only=True):
    """A backfill that has not begun, and what it would walk through."""

    backfill: Backfill
    stretches: Sequence[Stretch]


class Backfills:
    """The backfills of all sources: planned, begun, looked at, stopped."""

    def __init__(
        self,
        *,
        store: Store,
        histories: Mapping[str, History],
        access: Callable[[Source], Access],
        within_s: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._histories = histories
        self._access = access
        self._within_s = within_s
        self._clock = clock

    async def plan(self, source: Source, *, from_at: float, to_at: float) -> Plan:
        """What a backfill would take; nothing of it is kept. What lies ahead is left out.

        Raises `Conflict` with the reason where it cannot be found out, or not within `within_s`.
        """
        now = self._clock.now()
        span = Span(id=str(uuid.uuid4()), from_at=from_at, to_at=min(to_at, now))
        try:
            async with asyncio.timeout(self._within_s):
                stretches, surveys = await self._survey(source, span)
        except NeedsAttention as error:
            raise Conflict(f"{error.reason} {error.remedy}") from error
        except StoreUnavailable:
            raise
        except Transient as error:
            raise Conflict(f"AWS does not answer just now: {error}. Try again.") from error
        except TimeoutError as error:
            raise Conflict(f"It could not be judged within {self._within_s:g} seconds. Try again.") from error
        backfill = Backfill(
            id=span.id,
            source_id=source.id,
            from_at=span.from_at,
            to_at=span.to_at,
            created_at=now,
            estimate=_estimated(surveys),
            stretches=len(stretches),
        )
        return Plan(backfill=backfill, stretches=stretches)

    async def _survey(self, source: Source, span: Span) -> tuple[Sequence[Stretch], Sequence[Survey]]:
        access = self._access(source)
        stretches: list[Stretch] = []
        surveys: list[Survey] = []
        for history in (self._histories[intake] for intake in _intakes(source)):
            found = await history.stretches(access, span)
            stretches += found
            surveys.append(await history.survey(access, span, found))
        return stretches, surveys

    async def begin(self, plan: Plan) -> Backfill:
        """Keep it, running. Raises `Conflict` while another of the source runs."""
        new = plan.backfill

        def put(present: Sequence[Backfill]) -> Sequence[Backfill]:
            _refuse_second(present, new.id)
            return [*present[1 - KEPT_MAX :], new]

        forgotten = (await self.of(new.source_id))[KEPT_MAX - 1 :]
        content = msgspec.json.encode(plan.stretches)
        await self._store.change_document(STRETCHES, new.id, lambda _: content)
        try:
            await change_all(self._store, new.source_id, put)
        except Conflict:
            await self._store.change_document(STRETCHES, new.id, lambda _: None)
            raise
        for each in forgotten:
            await self._store.change_document(STRETCHES, each.id, lambda _: None)
        return new

    async def of(self, source_id: str) -> Sequence[Backfill]:
        """Those of a source, newest first."""
        return list(reversed(decoded(await self._store.document(BACKFILLS, source_id))))

    async def one(self, source_id: str, backfill_id: str) -> Backfill:
        """Raises `NotFound`."""
        return _one(await self.of(source_id), backfill_id)

    async def stop(self, source_id: str, backfill_id: str) -> Backfill:
        """Neither find nor read any more, until it is resumed. Raises `NotFound`, `Conflict` if it is over."""

        def change(present: Backfill) -> Backfill:
            if present.state is BackfillState.DONE:
                raise Conflict("The backfill is done.")
            return present.but(state=BackfillState.STOPPED)

        return await change_one(self._store, source_id, backfill_id, change)

    async def resume(self, source_id: str, backfill_id: str) -> Backfill:
        """Go on where it stopped, at once. Raises `NotFound`, `Conflict` if it is over or another one runs."""

        def change(present: Sequence[Backfill]) -> Sequence[Backfill]:
            one = _one(present, backfill_id)
            if one.state is BackfillState.DONE:
                raise Conflict("The backfill is done.")
            _refuse_second(present, backfill_id)
            again = one.but(state=BackfillState.RUNNING, retry_at=0.0, failures=0, detail="")
            return [again if each.id == backfill_id else each for each in present]

        return _one(await change_all(self._store, source_id, change), backfill_id)


# --------------------------------------------------------------------------------------------------- as documents


def _intakes(source: Source) -> Sequence[str]:
    """The ways in that have a past: a bucket whose objects are announced can be listed as well."""
    return [*(["s3"] if source.bucket else []), *(["lookup"] if "lookup" in source.intakes else [])]


def _estimated(surveys: Sequence[Survey]) -> Estimate:
    objects = sum(each.objects for each in surveys)
    list_requests = sum(each.list_requests for each in surveys)
    return Estimate(
        objects=objects,
        list_requests=list_requests,
        get_requests=objects,
        lookup_requests=sum(each.lookup_requests for each in surveys),
        dollars=list_requests * LIST_DOLLARS + objects * GET_DOLLARS,
        basis=" ".join(
            [
                *(each.basis for each in surveys),
                "Prices are those of S3 Standard in us-east-1, without transfer and KMS.",
            ]
        ),
    )


def decoded(content: bytes | None) -> list[Backfill]:
    return msgspec.json.decode(content, type=list[Backfill]) if content else []


def running(backfills: Sequence[Backfill]) -> Backfill | None:
    return next((each for each in backfills if each.state is BackfillState.RUNNING), None)


def _one(backfills: Sequence[Backfill], backfill_id: str) -> Backfill:
    for each in backfills:
        if each.id == backfill_id:
            return each
    raise NotFound("no such backfill")


def _refuse_second(backfills: Sequence[Backfill], backfill_id: str) -> None:
    other = running(backfills)
    if other is not None and other.id != backfill_id:
        raise Conflict(f"The backfill {other.id} of this source runs: stop it first, or wait until it is done.")


async def change_all(
    store: Store, source_id: str, change: Callable[[Sequence[Backfill]], Sequence[Backfill]]
) -> Sequence[Backfill]:
    def changed(content: bytes | None) -> bytes:
        return msgspec.json.encode(change(decoded(content)))

    return decoded(await store.change_document(BACKFILLS, source_id, changed))


async def change_one(
    store: Store, source_id: str, backfill_id: str, change: Callable[[Backfill], Backfill]
) -> Backfill:
    """Raises `NotFound`, and what `change` raises."""

    def change_in(present: Sequence[Backfill]) -> Sequence[Backfill]:
        new = change(_one(present, backfill_id))
        return [new if each.id == backfill_id else each for each in present]

    return _one(await change_all(store, source_id, change_in), backfill_id)
