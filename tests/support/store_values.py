"""Small honest values for tests of stores: what is not said is not what the test is about."""

import hashlib
import itertools
from collections.abc import Sequence

from support.clock import START_AT
from trailhook.model import (
    Attempt,
    BatchKind,
    BatchState,
    Counts,
    FoundUnit,
    Job,
    NewBatch,
    NewQuarantined,
    Source,
    Unit,
    UnitEnd,
    UnitState,
)
from trailhook.store.base import Commit, Settlement, Store

_numbers = itertools.count(1)

PLENTY = 10**9
DAY_S = 86_400.0


def a_source(source_id: str = "s1", *, paused_at: float | None = None, next_fetch_at: float = 0.0) -> Source:
    return Source(
        id=source_id,
        name=source_id,
        created_at=START_AT,
        intakes=("s3",),
        region="us-east-1",
        callback_url="https://example.com/webhook",
        lane="https://example.com",
        sealed={"credentials": b"sealed credentials of " + source_id.encode()},
        paused_at=paused_at,
        next_fetch_at=next_fetch_at,
    )


def a_unit(name: str, *, labelled_at: float = START_AT, size_bytes: int = 100, ignored: str | None = None) -> FoundUnit:
    return FoundUnit(
        intake="s3",
        place="bucket",
        name=name,
        version="etag",
        region="us-east-1",
        size_bytes=size_bytes,
        labelled_at=labelled_at,
        modified_at=labelled_at,
        ignored=ignored,
    )


def a_batch(
    batch_id: str | None = None,
    *,
    count: int = 1,
    kind: BatchKind = BatchKind.EVENTS,
    body: bytes = b"a gzip body",
    at: float = START_AT,
    parent: str | None = None,
) -> NewBatch:
    return NewBatch(
        id=batch_id or f"msg_{next(_numbers)}",
        kind=kind,
        body=body,
        sha256=hashlib.sha256(body).digest(),
        wire_bytes=len(body) * 7,
        content_type="application/json",
        count=count,
        columns=b"packed columns",
        first_event_at=at,
        last_event_at=at,
        parent=parent,
    )


def a_key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def some_keys(start: int, number: int) -> list[bytes]:
    return [a_key(each) for each in range(start, start + number)]


def a_bad_record(unit: Unit, position: int = 0) -> NewQuarantined:
    return NewQuarantined(
        unit_id=unit.id, position=position, reason="bad_json", detail="column 7", body=b'{"not": json\xff'
    )


def an_attempt(number: int = 1, *, at: float = START_AT, outcome: str = "transient", status: int = 500) -> Attempt:
    return Attempt(number=number, started_at=at, took_s=0.25, outcome=outcome, status=status, error="HTTP 500")


def settled_as(state: BatchState, *, at: float = START_AT, **fields: object) -> Settlement:
    return Settlement(state=state, attempt=an_attempt(at=at)).but(**fields)


DELIVERED = settled_as(BatchState.DELIVERED)
DEAD = settled_as(BatchState.DEAD)

POLL = Job(kind="poll", source_id="s1")
INTAKE = Job(kind="intake", source_id="s1")
DELIVER = Job(kind="deliver", source_id="s1")


async def leased_units(store: Store, source_id: str = "s1", *, limit: int = 10, lease_s: float = 60.0) -> list[Unit]:
    return list(await store.lease_units(source_id, limit=limit, bytes_max=PLENTY, lease_s=lease_s))


async def with_units(store: Store, *names: str) -> list[Unit]:
    """The source `s1` with some units, leased."""
    await store.add_source(a_source())
    await store.add_units("s1", [a_unit(name) for name in names])
    return await leased_units(store, limit=len(names))


async def freeze(store: Store, *batches: NewBatch, source_id: str = "s1", keys: Sequence[bytes] = ()) -> None:
    """Put batches into the outbox by way of intake."""
    counts = Counts(read=sum(each.count for each in batches if each.kind is BatchKind.EVENTS))
    await store.commit(Commit(source_id=source_id, token=0, keys=keys, batches=batches, counts=counts))


async def with_batches(store: Store, *batches: NewBatch) -> None:
    """The source `s1` with some batches waiting."""
    await store.add_source(a_source())
    await freeze(store, *batches)


def done(unit: Unit, records: int = 1) -> UnitEnd:
    return UnitEnd(unit_id=unit.id, state=UnitState.DONE, records=records)


def unreadable(unit: Unit) -> UnitEnd:
    return UnitEnd(unit_id=unit.id, state=UnitState.QUARANTINED, reason="truncated", detail="ends at byte 7")
