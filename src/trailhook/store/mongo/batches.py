"""How batches come to be and change state: the rows and the counts together."""

from collections.abc import Iterator, Sequence

import msgspec
from pymongo import ReturnDocument

from trailhook.errors import NotFound
from trailhook.model import Batch, BatchKind, BatchState, NewBatch
from trailhook.store.counting import add, weight
from trailhook.store.mongo.engine import Database, Row, Transaction
from trailhook.store.mongo.rows import outbox_of, struct, tally

DOCUMENT_BYTES_MAX = 16 * 1024 * 1024 - 16 * 1024
"""MongoDB's limit for one document, with room for its other fields. Batches are a third smaller by their settings."""

ENDED = frozenset({BatchState.DELIVERED, BatchState.DISCARDED, BatchState.SPLIT})
KEPT = (BatchState.WAITING, BatchState.DEAD)
"""What goes when its source is removed."""


class Kept(msgspec.Struct, frozen=True):
    """What of a batch's row its next step depends on."""

    num: int
    source: int
    source_id: str
    state: BatchState
    kind: BatchKind
    count: int
    body_bytes: int
    place: str
    frozen_at: float
    due_at: float
    last_event_at: float
    attempts_kept: int
    token: int


def as_kept(row: Row) -> Kept:
    return struct(Kept, row, num=row["_id"])


async def kept(tx: Transaction, batch_id: str) -> Kept:
    """Raises `NotFound`."""
    row = await tx.db.batches.find_one({"id": batch_id}, session=tx.session)
    if row is None:
        raise NotFound("no such delivery")
    return as_kept(row)


async def freeze(tx: Transaction, source: int, source_id: str, batches: Sequence[NewBatch], now: float) -> None:
    """Keep new batches, waiting and due at once, at the end of the order.

    Their `weights` must have been tallied before: then no other transaction that adds to the same totals can come
    between the numbers and the end of this one, and they grow in the order in which batches can be seen.
    """
    if not batches:
        return
    numbers = await tx.engine.next_numbers("batch", len(batches))
    places = ((num, f"{num:016x}") for num in numbers)
    await _insert(tx, source, source_id, batches, places, frozen_at=now, due_at=now)


async def freeze_children(tx: Transaction, parent: Kept, children: Sequence[NewBatch], now: float) -> None:
    """Keep the parts of a batch in its place of the order, as old as it is: their keys were seen then."""
    numbers = await tx.engine.next_numbers("batch", len(children))
    places = ((num, f"{parent.place}{index:04x}") for index, num in enumerate(numbers))
    await _insert(tx, parent.source, parent.source_id, children, places, frozen_at=parent.frozen_at, due_at=now)


async def _insert(
    tx: Transaction,
    source: int,
    source_id: str,
    batches: Sequence[NewBatch],
    places: Iterator[tuple[int, str]],
    *,
    frozen_at: float,
    due_at: float,
) -> None:
    rows, bodies, columns = [], [], []
    for batch, (num, place) in zip(batches, places, strict=True):
        if max(len(batch.body), len(batch.columns)) > DOCUMENT_BYTES_MAX:
            raise ValueError(f"a batch of {len(batch.body)} bytes is more than MongoDB keeps in a document")
        rows.append(_row(batch, num, source, source_id, place, frozen_at, due_at))
        bodies.append({"_id": num, "body": batch.body})
        columns.append({"_id": num, "columns": batch.columns})
    await tx.db.batches.insert_many(rows, session=tx.session)
    await tx.db.bodies.insert_many(bodies, session=tx.session)
    await tx.db.columns.insert_many(columns, session=tx.session)


def _row(batch: NewBatch, num: int, source: int, source_id: str, place: str, frozen_at: float, due_at: float) -> Row:
    return {
        "_id": num,
        "id": batch.id,
        "source": source,
        "source_id": source_id,
        "place": place,
        "kind": batch.kind.value,
        "type": batch.type,
        "sha256": batch.sha256,
        "body_bytes": len(batch.body),
        "wire_bytes": batch.wire_bytes,
        "content_type": batch.content_type,
        "content_encoding": batch.content_encoding,
        "count": batch.count,
        "first_event_at": batch.first_event_at,
        "last_event_at": batch.last_event_at,
        "backfill": batch.backfill,
        "known_at": batch.first_event_at if batch.first_event_at > 0 and not batch.backfill else frozen_at,
        "parent": batch.parent,
        "refusals": batch.refusals,
        "state": BatchState.WAITING.value,
        "kept": True,
        "frozen_at": frozen_at,
        "due_at": due_at,
        "available_at": due_at,
        "attempts": 0,
        "attempts_kept": 0,
        "first_attempt_at": None,
        "held_mark_s": 0.0,
        "uncertain": False,
        "last_class": "",
        "last_error": "",
        "settled_at": None,
        "token": 0,
    }


def in_state(state: BatchState, now: float) -> Row:
    """The fields of a batch that comes into `state` and is free of any lease."""
    return {
        "state": state.value,
        "kept": state in KEPT,
        "settled_at": None if state is BatchState.WAITING else now,
        "ended_at": now if state in ENDED else None,
        "token": 0,
    }


def weights(batches: Sequence[NewBatch]) -> dict[str, int]:
    """What new batches add to the totals."""
    total: dict[str, int] = {}
    for batch in batches:
        add(total, weight(BatchState.WAITING, batch.kind, batch.count, len(batch.body)))
    return total


def moved(batch: Kept, state: BatchState, children: Sequence[NewBatch] = ()) -> dict[str, int]:
    """What changes in the totals when a batch comes into `state` and its children take its place."""
    changes = add(weights(children), weight(state, batch.kind, batch.count, batch.body_bytes))
    before = weight(batch.state, batch.kind, batch.count, batch.body_bytes)
    return add(changes, {name: -number for name, number in before.items()})


async def move(tx: Transaction, batch: Kept, changes: Row, state: BatchState) -> Batch:
    """Make `changes`, which bring a batch into `state`, and move its counts. Returns it as listed.

    Raises `NotFound` if the source was removed.
    """
    row = await tx.db.batches.find_one_and_update(
        {"_id": batch.num}, {"$set": changes}, return_document=ReturnDocument.AFTER, session=tx.session
    )
    await tally(tx, batch.source, outbox_of(batch.num), moved(batch, state))
    if row is None:
        raise NotFound("no such delivery")
    return listed(row)


def listed(row: Row) -> Batch:
    """A batch without body and columns."""
    return struct(Batch, row, num=row["_id"], body=b"", columns=b"")


async def whole(db: Database, rows: Sequence[Row]) -> list[Batch]:
    """Batches with what is left of their bodies and columns."""
    nums = [row["_id"] for row in rows]
    bodies = await bodies_of(db, nums)
    columns = {each["_id"]: each["columns"] async for each in db.columns.find({"_id": {"$in": nums}})}
    return [listed(row).but(body=bodies.get(row["_id"], b""), columns=columns.get(row["_id"], b"")) for row in rows]


async def bodies_of(db: Database, nums: Sequence[int]) -> dict[int, bytes]:
    """The bodies of batches, by their numbers: of those that have one."""
    return {each["_id"]: each["body"] async for each in db.bodies.find({"_id": {"$in": nums}})}
