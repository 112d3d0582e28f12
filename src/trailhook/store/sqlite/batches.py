"""How batches come to be and change state: the rows and the counts together."""

from collections.abc import Iterator, Sequence

import apsw
import msgspec

from trailhook.errors import NotFound
from trailhook.model import Batch, BatchKind, BatchState, NewBatch
from trailhook.store.counting import add, weight
from trailhook.store.sqlite.rows import Due, rows, structs, tally, value

ENDED = frozenset({BatchState.DELIVERED, BatchState.DISCARDED, BatchState.SPLIT})


class Kept(msgspec.Struct, frozen=True):
    """What of a batch's row its next step depends on."""

    num: int
    source: int
    state: BatchState
    kind: BatchKind
    count: int
    body_bytes: int
    place: bytes
    frozen_at: float
    due_at: float
    last_event_at: float


def kept(db: apsw.Connection, batch_id: str) -> Kept:
    """Raises `NotFound`."""
    found = rows(
        db,
        """SELECT num, source, state, kind, count, body_bytes, place, frozen_at, due_at, last_event_at
        FROM batches WHERE id = ?""",
        (batch_id,),
    )
    if not found:
        raise NotFound("no such delivery")
    return structs(Kept, found)[0]


def freeze(db: apsw.Connection, source: int, batches: Sequence[NewBatch], now: float) -> None:
    """Keep new batches, waiting and due at once, at the end of the order."""
    _insert(db, source, batches, _places(db, len(batches)), frozen_at=now, due_at=now)


def freeze_children(db: apsw.Connection, parent: Kept, children: Sequence[NewBatch], now: float) -> None:
    """Keep the parts of a batch in its place of the order, as old as it is: their keys were seen then."""
    numbers = (num for num, _ in _places(db, len(children)))
    places = ((num, parent.place + index.to_bytes(2, "big")) for index, num in enumerate(numbers))
    _insert(db, parent.source, children, places, frozen_at=parent.frozen_at, due_at=now)


def _places(db: apsw.Connection, number: int) -> Iterator[tuple[int, bytes]]:
    last = int(value(db, "UPDATE state SET batch = batch + ? RETURNING batch", (number,)))
    return ((num, num.to_bytes(8, "big")) for num in range(last - number + 1, last + 1))


def _insert(
    db: apsw.Connection,
    source: int,
    batches: Sequence[NewBatch],
    places: Iterator[tuple[int, bytes]],
    *,
    frozen_at: float,
    due_at: float,
) -> None:
    if not batches:
        return
    numbered = [(num, place, batch) for batch, (num, place) in zip(batches, places, strict=True)]
    db.executemany(
        """INSERT INTO batches (num, id, source, place, kind, type, sha256, body_bytes, wire_bytes, content_type,
            content_encoding, count, first_event_at, last_event_at, parent, refusals, backfill, state, frozen_at,
            due_at, available_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?, ?)""",
        [
            (
                *(num, batch.id, source, place, batch.kind, batch.type, batch.sha256, len(batch.body)),
                *(batch.wire_bytes, batch.content_type, batch.content_encoding, batch.count),
                *(batch.first_event_at, batch.last_event_at, batch.parent, batch.refusals, batch.backfill),
                *(frozen_at, due_at, due_at),
            )
            for num, place, batch in numbered
        ],
    )
    db.executemany("INSERT INTO bodies (batch, body) VALUES (?, ?)", [(num, batch.body) for num, _, batch in numbered])
    db.executemany(
        "INSERT INTO columns (batch, columns) VALUES (?, ?)", [(num, batch.columns) for num, _, batch in numbered]
    )
    changes: dict[str, int] = {}
    for batch in batches:
        add(changes, weight(BatchState.WAITING, batch.kind, batch.count, len(batch.body)))
    tally(db, source, changes)


def move(db: apsw.Connection, batch: Kept, state: BatchState, *, due_at: float, now: float) -> None:
    """Bring a batch into `state` (or back into the same), free of any lease, and its counts with it."""
    settled_at = None if state is BatchState.WAITING else now
    db.execute(
        "UPDATE batches SET state = ?, due_at = ?, available_at = ?, settled_at = ?, token = 0 WHERE num = ?",
        (state, due_at, due_at, settled_at, batch.num),
    )
    if changes := moved(batch, state):
        tally(db, batch.source, changes)


def moved(batch: Kept, state: BatchState) -> dict[str, int]:
    """What changes in the totals when a batch comes into `state`."""
    if state is batch.state:
        return {}
    before = weight(batch.state, batch.kind, batch.count, batch.body_bytes)
    after = weight(state, batch.kind, batch.count, batch.body_bytes)
    return add(after, {name: -number for name, number in before.items()})


def listed(db: apsw.Connection, num: int) -> Batch:
    """A batch without body and columns."""
    (found,) = rows(db, "SELECT *, x'' AS body FROM batch_rows WHERE num = ?", (num,))
    return structs(Batch, [found])[0]


def whole(db: apsw.Connection, num: int) -> Batch:
    """A batch with what is left of its body and columns."""
    found = rows(
        db,
        """SELECT r.*, coalesce(b.body, x'') AS body, coalesce(c.columns, x'') AS columns FROM batch_rows r
        LEFT JOIN bodies b ON b.batch = r.num LEFT JOIN columns c ON c.batch = r.num WHERE r.num = ?""",
        (num,),
    )
    return structs(Batch, found)[0]


def body_of(db: apsw.Connection, num: int) -> bytes:
    """What is left of a batch's body."""
    body: bytes | None = value(db, "SELECT body FROM bodies WHERE batch = ?", (num,))
    return body or b""


def due_nums(db: apsw.Connection, source: int, limit: int, due: Due) -> list[int]:
    """The first batches of the order that wait and are due."""
    found = db.execute(
        """SELECT num FROM batches INDEXED BY batches_next
        WHERE source = ? AND state = 'waiting' AND (available_at <= ? OR available_at > ?) ORDER BY place LIMIT ?""",
        (source, due.now, due.horizon, limit),
    )
    return [num for (num,) in found]


def first_num(db: apsw.Connection, source: int, due: Due) -> list[int]:
    """The first batch of the order that waits, if it is due."""
    found = db.execute(
        """SELECT num, available_at FROM batches INDEXED BY batches_next
        WHERE source = ? AND state = 'waiting' ORDER BY place LIMIT 1""",
        (source,),
    )
    return [num for num, available_at in found if available_at <= due.now or available_at > due.horizon]
