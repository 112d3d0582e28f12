"""The way out: batches and their lanes. What sending asks for is in `sending`."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from trailhook.errors import Conflict, NotFound
from trailhook.model import Attempt, Batch, BatchState, Lane
from trailhook.store.base import Held, Plan, Replayed, Settlement, Turn, nothing_held
from trailhook.store.mongo.batches import KEPT, bodies_of, freeze, in_state, kept, listed, move, weights, whole
from trailhook.store.mongo.engine import Database, Row, Transaction
from trailhook.store.mongo.rows import OUTBOX, Part, gone, live_num, source_num, tally
from trailhook.store.mongo.sending import lane_of, lease_batches, replace_lane, settle, settle_and_lease
from trailhook.store.replays import copied, replayed


class MongoOutbox(Part):
    """See `store.base.Outbox`."""

    async def lease_batches(
        self, source_id: str, *, limit: int, lease_s: float, ordered: bool = False
    ) -> Sequence[Batch]:
        leased = await self._write(lease_batches, source_id, limit, lease_s, self._due(), ordered=ordered)
        return await self._ask(whole, leased) if leased else []

    async def settle(self, batch: Batch, settlement: Settlement) -> None:
        await self._write(settle, batch, settlement, self._clock.now(), keep_bodies=self._limits.keep_bodies)

    async def settle_and_lease(
        self,
        source_id: str,
        settlements: Sequence[tuple[Batch, Settlement]],
        plan: Plan,
        *,
        lease_s: float,
        held: Held = nothing_held,
    ) -> Turn:
        keep_bodies = self._limits.keep_bodies
        turn, leased = await self._write(
            settle_and_lease, source_id, settlements, plan, lease_s, self._due(), keep_bodies=keep_bodies
        )
        return turn.but(batches=await self._ask(_to_send, leased, held))

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
        return await self._ask(lane_of, key)

    async def change_lane(self, key: str, change: Callable[[Lane], Lane]) -> Lane:
        while True:
            old = await self._ask(lane_of, key)
            new = change(old)
            if new is old:
                return old
            new = new.but(revision=old.revision + 1)
            if await self._ask(replace_lane, old, new):
                return new


async def _to_send(db: Database, leased: Sequence[Row], held: Held) -> list[Batch]:
    batches = [listed(row) for row in leased]
    unread = [batch.num for batch in batches if not held(batch.sha256)]
    bodies = await bodies_of(db, unread) if unread else {}
    gone = set(unread).difference(bodies)  # with its source, which was removed meanwhile
    return [batch.but(body=bodies.get(batch.num, b"")) for batch in batches if batch.num not in gone]


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
