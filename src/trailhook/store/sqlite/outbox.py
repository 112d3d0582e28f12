"""The way out: leasing and settling batches, listing them, and the lanes they go by."""

from collections.abc import Callable, Mapping, Sequence

import apsw
import msgspec

from trailhook.errors import Conflict, LeaseLost
from trailhook.model import Attempt, Batch, BatchState, Lane
from trailhook.store.base import Replayed, Settlement
from trailhook.store.replays import copied, replayed
from trailhook.store.sqlite.batches import (
    Kept,
    due_nums,
    first_num,
    freeze,
    freeze_children,
    kept,
    listed,
    move,
    whole,
)
from trailhook.store.sqlite.rows import Due, Part, next_tokens, source_num, tuples, value


class SqliteOutbox(Part):
    """See `store.base.Outbox`."""

    async def lease_batches(
        self, source_id: str, *, limit: int, lease_s: float, ordered: bool = False
    ) -> Sequence[Batch]:
        return await self._lease(_lease_batches, source_id, limit, lease_s, ordered, self._due())

    async def settle(self, batch: Batch, settlement: Settlement) -> None:
        await self._write(_settle, batch, settlement, self._clock.now(), keep_bodies=self._limits.keep_bodies)

    async def batch(self, batch_id: str) -> Batch:
        return await self._read(_batch, batch_id)

    async def attempts(self, batch_id: str) -> Sequence[Attempt]:
        return await self._read(_attempts, batch_id)

    async def retry_batch(self, batch_id: str) -> Batch:
        return await self._write(_retry, batch_id, self._clock.now())

    async def discard_batch(self, batch_id: str) -> Batch:
        return await self._write(_discard, batch_id, self._clock.now(), keep_bodies=self._limits.keep_bodies)

    async def replayable(
        self, source_id: str, *, from_at: float, to_at: float, after: int = 0, limit: int = 50
    ) -> Sequence[Batch]:
        return await self._read(_replayable, source_id, from_at, to_at, after, limit)

    async def replay(self, source_id: str, copies: Mapping[str, str]) -> Replayed:
        return await self._write(_replay, source_id, copies, self._clock.now())

    async def lane(self, key: str) -> Lane:
        return await self._read(lane_of, key)

    async def change_lane(self, key: str, change: Callable[[Lane], Lane]) -> Lane:
        return await self._write(_change_lane, key, change)


def _lease_batches(
    db: apsw.Connection, source_id: str, limit: int, lease_s: float, ordered: bool, due: Due
) -> list[Batch]:
    source = value(db, "SELECT num FROM sources WHERE id = ?", (source_id,))
    nums = first_num(db, source, due) if ordered else due_nums(db, source, limit, due)
    if not nums:
        return []
    db.executemany(
        """UPDATE batches SET uncertain = max(uncertain, token <> 0), token = ?, available_at = ? WHERE num = ?""",
        [(token, due.now + lease_s, num) for token, num in zip(next_tokens(db, len(nums)), nums, strict=True)],
    )
    return [whole(db, num) for num in nums]


def _settle(db: apsw.Connection, batch: Batch, settlement: Settlement, now: float, *, keep_bodies: bool) -> None:
    held = value(db, "SELECT 1 FROM batches WHERE num = ? AND id = ? AND token = ?", (batch.num, batch.id, batch.token))
    if held is None or batch.token == 0:
        raise LeaseLost("somebody else holds this delivery now, or it has ended")
    row = kept(db, batch.id)
    due_at = settlement.due_at
    if settlement.attempt is None:
        due_at = max(due_at, row.due_at)
    else:
        _record_attempt(db, row, settlement, settlement.attempt)
    move(db, row, settlement.state, due_at=due_at, now=now)
    if settlement.state is BatchState.SPLIT:
        freeze_children(db, row, settlement.children, now)
        _drop_body(db, row, keep_bodies=keep_bodies)
    elif settlement.state is BatchState.DELIVERED:
        _delivered(db, row, keep_bodies=keep_bodies)


def _record_attempt(db: apsw.Connection, row: Kept, settlement: Settlement, attempt: Attempt) -> None:
    db.execute("INSERT INTO attempts (batch, doc) VALUES (?, ?)", (row.num, msgspec.json.encode(attempt)))
    db.execute(
        """UPDATE batches SET attempts = attempts + 1, refusals = ?, uncertain = max(uncertain, ?),
            held_mark_s = iif(first_attempt_at IS NULL, ?, held_mark_s),
            first_attempt_at = coalesce(first_attempt_at, ?), last_class = ?, last_error = ?
        WHERE num = ?""",
        (
            *(settlement.refusals, settlement.uncertain, settlement.held_mark_s),
            *(attempt.started_at, attempt.outcome, attempt.error, row.num),
        ),
    )


def _drop_body(db: apsw.Connection, row: Kept, *, keep_bodies: bool) -> None:
    if not keep_bodies:
        db.execute("DELETE FROM bodies WHERE batch = ?", (row.num,))


def _delivered(db: apsw.Connection, row: Kept, *, keep_bodies: bool) -> None:
    _drop_body(db, row, keep_bodies=keep_bodies)
    if row.last_event_at > 0:
        db.execute(
            "UPDATE totals SET last_sent_event_at = max(coalesce(last_sent_event_at, ?1), ?1) WHERE source = ?2",
            (row.last_event_at, row.source),
        )


def _batch(db: apsw.Connection, batch_id: str) -> Batch:
    return whole(db, kept(db, batch_id).num)


def _attempts(db: apsw.Connection, batch_id: str) -> list[Attempt]:
    num = kept(db, batch_id).num
    docs = db.execute("SELECT doc FROM attempts WHERE batch = ? ORDER BY num", (num,))
    return [msgspec.json.decode(doc, type=Attempt) for (doc,) in docs]


def _retry(db: apsw.Connection, batch_id: str, now: float) -> Batch:
    row = kept(db, batch_id)
    match row.state:
        case BatchState.WAITING:
            db.execute(
                "UPDATE batches SET due_at = ?1, available_at = iif(token = 0, ?1, available_at) WHERE num = ?2",
                (now, row.num),
            )
        case BatchState.DEAD:
            move(db, row, BatchState.WAITING, due_at=now, now=now)
            db.execute(
                "UPDATE batches SET attempts = 0, first_attempt_at = NULL, held_mark_s = 0, refusals = 0 WHERE num = ?",
                (row.num,),
            )
        case _:
            raise Conflict(f"only a delivery that waits or is a dead letter can be retried, this one is {row.state}")
    return listed(db, row.num)


def _discard(db: apsw.Connection, batch_id: str, now: float, *, keep_bodies: bool) -> Batch:
    row = kept(db, batch_id)
    if row.state not in (BatchState.WAITING, BatchState.DEAD):
        raise Conflict(f"only a delivery that waits or is a dead letter can be discarded, this one is {row.state}")
    move(db, row, BatchState.DISCARDED, due_at=row.due_at, now=now)
    _drop_body(db, row, keep_bodies=keep_bodies)
    return listed(db, row.num)


REPLAYABLE = """
    SELECT num FROM batches INDEXED BY batches_source
    WHERE source = ? AND state = 'delivered' AND num > ? AND kind = 'events' AND last_event_at >= ?
    AND first_event_at <= ? ORDER BY num LIMIT ?"""


def _replayable(
    db: apsw.Connection, source_id: str, from_at: float, to_at: float, after: int, limit: int
) -> list[Batch]:
    source = value(db, "SELECT num FROM sources WHERE id = ?", (source_id,))
    return [listed(db, num) for (num,) in tuples(db, REPLAYABLE, (source, after, from_at, to_at, limit))]


def _replay(db: apsw.Connection, source_id: str, copies: Mapping[str, str], now: float) -> Replayed:
    source = source_num(db, source_id)
    found = sorted((_batch(db, batch_id) for batch_id in copies), key=lambda batch: batch.num)
    new = copied(source_id, found, copies)
    freeze(db, source, new, now)
    return replayed(found, new)


def lane_of(db: apsw.Connection, key: str) -> Lane:
    """The lane, or a new one."""
    doc = value(db, "SELECT doc FROM lanes WHERE key = ?", (key,))
    return Lane(key=key) if doc is None else msgspec.json.decode(doc, type=Lane)


def _change_lane(db: apsw.Connection, key: str, change: Callable[[Lane], Lane]) -> Lane:
    old = lane_of(db, key)
    new = change(old)
    if new is old:
        return old
    new = new.but(revision=old.revision + 1)
    db.execute(
        """INSERT INTO lanes (key, doc, waits_until_at) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET doc = excluded.doc, waits_until_at = excluded.waits_until_at""",
        (key, msgspec.json.encode(new), new.waits_until_at),
    )
    return new
