"""The way out: leasing and settling batches, listing them, and the lanes they go by."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from trailhook.errors import Conflict, LeaseLost, NotFound
from trailhook.model import Attempt, Batch, BatchState, Lane
from trailhook.store.base import Replayed, Settlement
from trailhook.store.mongo.batches import (
    ENDED,
    KEPT,
    Kept,
    as_kept,
    freeze,
    freeze_children,
    in_state,
    kept,
    listed,
    move,
    moved,
    weights,
    whole,
)
from trailhook.store.mongo.engine import Database, Row, Transaction
from trailhook.store.mongo.rows import OUTBOX, Due, Part, gone, live_num, outbox_of, source_num, tally
from trailhook.store.replays import copied, replayed


class MongoOutbox(Part):
    """See `store.base.Outbox`."""

    async def lease_batches(
        self, source_id: str, *, limit: int, lease_s: float, ordered: bool = False
    ) -> Sequence[Batch]:
        leased = await self._write(_lease_batches, source_id, limit, lease_s, ordered, self._due())
        found = await self._ask(whole, leased) if leased else []
        return [batch for batch in found if batch.body]  # without: the source was removed meanwhile

    async def settle(self, batch: Batch, settlement: Settlement) -> None:
        await self._write(_settle, batch, settlement, self._clock.now(), keep_bodies=self._limits.keep_bodies)

    async def batch(self, batch_id: str) -> Batch:
        return await self._ask(_batch, batch_id)

    async def attempts(self, batch_id: str) -> Sequence[Attempt]:
        return await self._ask(_attempts, batch_id)

    async def retry_batch(self, batch_id: str) -> Batch:
        return await self._write(_retry, batch_id, self._clock.now())

    async def discard_batch(self, batch_id: str) -> Batch:
        return await self._write(_discard, batch_id, self._clock.now(), keep_bodies=self._limits.keep_bodies)

    async def replayable(
        self, source_id: str, *, from_at: float, to_at: float, after: int = 0, limit: int = 50
    ) -> Sequence[Batch]:
        return await self._ask(_replayable, source_id, from_at, to_at, after, limit)

    async def replay(self, source_id: str, copies: Mapping[str, str]) -> Replayed:
        return await self._write(_replay, source_id, copies, self._clock.now())

    async def lane(self, key: str) -> Lane:
        return await self._ask(_lane, key)

    async def change_lane(self, key: str, change: Callable[[Lane], Lane]) -> Lane:
        while True:
            old = await self._ask(_lane, key)
            new = change(old)
            if new is old:
                return old
            new = new.but(revision=old.revision + 1)
            if await self._ask(_replace_lane, old, new):
                return new


async def _lease_batches(
    tx: Transaction, source_id: str, limit: int, lease_s: float, ordered: bool, due: Due
) -> list[Row]:
    source = await source_num(tx.db, source_id)
    rows = await _next(tx, {"source": source, "state": "waiting"}, limit, ordered, due)
    if not rows:
        return []
    changes = []
    for row, token in zip(rows, await tx.engine.next_numbers("token", len(rows)), strict=True):
        lease = {"token": token, "uncertain": row["uncertain"] or row["token"] != 0}
        changes.append(UpdateOne({"_id": row["_id"]}, {"$set": {**lease, "available_at": due.now + lease_s}}))
        row.update(lease)
    await tx.db.batches.bulk_write(changes, session=tx.session)
    return rows


async def _next(tx: Transaction, waiting: Row, limit: int, ordered: bool, due: Due) -> list[Row]:
    """The first batches of the order that are due; ordered, the very first if it is."""
    if not ordered:
        waiting |= due.either("available_at")
    found = tx.db.batches.find(
        waiting, sort=[("place", 1)], limit=1 if ordered else limit, hint="next", session=tx.session
    )
    rows = await found.to_list()
    return [row for row in rows if row["available_at"] <= due.now or row["available_at"] > due.horizon]


async def _settle(tx: Transaction, batch: Batch, settlement: Settlement, now: float, *, keep_bodies: bool) -> None:
    row = await _end_lease(tx, batch, settlement, now)
    if settlement.attempt is not None:
        attempt_id = {"batch": row.num, "number": row.attempts_kept}
        doc = msgspec.json.encode(settlement.attempt)
        await tx.db.attempts.insert_one({"_id": attempt_id, "doc": doc}, session=tx.session)
    if settlement.state in ENDED and not keep_bodies:
        await tx.db.bodies.delete_one({"_id": row.num}, session=tx.session)
    delivered = settlement.state is BatchState.DELIVERED
    newest = {"last_sent_event_at": row.last_event_at} if delivered and row.last_event_at > 0 else {}
    try:
        await tally(tx, row.source, outbox_of(row.num), moved(row, settlement.state, settlement.children), newest)
    except NotFound as error:
        raise LeaseLost("the source was removed") from error
    if settlement.state is BatchState.SPLIT:
        await freeze_children(tx, row, settlement.children, now)


async def _end_lease(tx: Transaction, batch: Batch, settlement: Settlement, now: float) -> Kept:
    """Settle the batch's own row and return what it was. Raises `LeaseLost`."""
    due_at: Row = {"$literal": settlement.due_at}
    changes: Row = {name: {"$literal": value} for name, value in in_state(settlement.state, now).items()}
    if settlement.attempt is None:
        due_at = {"$max": [due_at, "$due_at"]}
    else:
        changes |= _after(settlement, settlement.attempt)
    held = {"_id": batch.num, "id": batch.id, "token": batch.token}
    row = None
    if batch.token:
        changes |= {"due_at": due_at, "available_at": due_at}
        row = await tx.db.batches.find_one_and_update(held, [{"$set": changes}], session=tx.session)
    if row is None:
        raise LeaseLost("somebody else holds this delivery now, or it has ended")
    return as_kept(row)


def _after(settlement: Settlement, attempt: Attempt) -> Row:
    """What an attempt changes in its batch."""
    first = {"$eq": ["$first_attempt_at", None]}
    return {
        "attempts": {"$add": ["$attempts", 1]},
        "attempts_kept": {"$add": ["$attempts_kept", 1]},
        "refusals": settlement.refusals,
        "uncertain": {"$or": ["$uncertain", settlement.uncertain]},
        "held_mark_s": {"$cond": [first, settlement.held_mark_s, "$held_mark_s"]},
        "first_attempt_at": {"$cond": [first, attempt.started_at, "$first_attempt_at"]},
        "last_class": {"$literal": attempt.outcome},
        "last_error": {"$literal": attempt.error},
    }


async def _visible(db: Database, batch_id: str) -> Row:
    """Raises `NotFound`, as for what went with its source."""
    row = await db.batches.find_one({"id": batch_id})
    if row is None or (row["state"] in KEPT and row["source"] in await gone(db)):
        raise NotFound("no such delivery")
    return row


async def _batch(db: Database, batch_id: str) -> Batch:
    (batch,) = await whole(db, [await _visible(db, batch_id)])
    return batch


async def _attempts(db: Database, batch_id: str) -> list[Attempt]:
    num = (await _visible(db, batch_id))["_id"]
    found = db.attempts.find({"_id": {"$gte": {"batch": num}, "$lt": {"batch": num + 1}}}).sort("_id")
    return [msgspec.json.decode(row["doc"], type=Attempt) async for row in found]


async def _retry(tx: Transaction, batch_id: str, now: float) -> Batch:
    row = await kept(tx, batch_id)
    due: Row = {"due_at": now, "available_at": now}
    match row.state:
        case BatchState.WAITING if row.token:  # in flight: due once its lease ends
            changes: Row = {"due_at": now}
        case BatchState.WAITING:
            changes = due
        case BatchState.DEAD:
            again = {"attempts": 0, "first_attempt_at": None, "held_mark_s": 0.0, "refusals": 0}
            changes = {**due, **again, **in_state(BatchState.WAITING, now)}
        case _:
            raise Conflict(f"only a delivery that waits or is a dead letter can be retried, this one is {row.state}")
    return await move(tx, row, changes, BatchState.WAITING)


async def _discard(tx: Transaction, batch_id: str, now: float, *, keep_bodies: bool) -> Batch:
    row = await kept(tx, batch_id)
    if row.state not in KEPT:
        raise Conflict(f"only a delivery that waits or is a dead letter can be discarded, this one is {row.state}")
    if not keep_bodies:
        await tx.db.bodies.delete_one({"_id": row.num}, session=tx.session)
    return await move(tx, row, in_state(BatchState.DISCARDED, now), BatchState.DISCARDED)


async def _replayable(
    db: Database, source_id: str, from_at: float, to_at: float, after: int, limit: int
) -> list[Batch]:
    wanted = {
        "source": await source_num(db, source_id),
        "state": "delivered",
        "_id": {"$gt": after},
        "kind": "events",
        "last_event_at": {"$gte": from_at},
        "first_event_at": {"$lte": to_at},
    }
    found = db.batches.find(wanted, sort=[("_id", 1)], limit=limit, hint="source")
    return [listed(row) async for row in found]


async def _replay(tx: Transaction, source_id: str, copies: Mapping[str, str], now: float) -> Replayed:
    source = await live_num(tx, source_id)
    rows = await tx.db.batches.find({"id": {"$in": list(copies)}}, sort=[("_id", 1)], session=tx.session).to_list()
    if len(rows) < len(copies):
        raise NotFound("no such delivery")
    found = await whole(tx.db, rows)
    new = copied(source_id, found, copies)
    await tally(tx, source, OUTBOX, weights(new))
    await freeze(tx, source, source_id, new, now)
    return replayed(found, new)


async def _lane(db: Database, key: str) -> Lane:
    row = await db.lanes.find_one({"_id": key})
    return Lane(key=key) if row is None else msgspec.json.decode(row["doc"], type=Lane)


async def _replace_lane(db: Database, old: Lane, new: Lane) -> bool:
    """Whether `new` has taken the place of `old`: False if it was no longer there."""
    row = {
        "_id": new.key,
        "revision": new.revision,
        "doc": msgspec.json.encode(new),
        "waits_until_at": new.waits_until_at,
    }
    if old.revision:
        return (await db.lanes.replace_one({"_id": old.key, "revision": old.revision}, row)).matched_count == 1
    try:
        await db.lanes.insert_one(row)
    except DuplicateKeyError:
        return False
    return True
