"""What sending asks of the store: leases, settlements, lanes, and all of that in one go."""

from collections.abc import Sequence

import msgspec
from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from trailhook.errors import LeaseLost, NotFound
from trailhook.model import Attempt, Batch, BatchState, Lane, Source
from trailhook.store.base import Plan, Settlement, Turn
from trailhook.store.counting import add
from trailhook.store.mongo.batches import ENDED, Kept, as_kept, freeze_children, in_state, moved
from trailhook.store.mongo.engine import Database, Row, Transaction
from trailhook.store.mongo.rows import Due, outbox_of, source_num, tally

Settlements = Sequence[tuple[Batch, Settlement]]


async def settle_and_lease(
    tx: Transaction,
    source_id: str,
    settlements: Settlements,
    plan: Plan,
    lease_s: float,
    due: Due,
    *,
    keep_bodies: bool,
) -> tuple[Turn, list[Row]]:
    """See `store.base.Outbox`. The bodies of the rows are still to be read."""
    row = await tx.db.sources.find_one({"id": source_id, "removed": False}, {"doc": 1}, session=tx.session)
    if row is None:
        raise NotFound("no such source")
    source = msgspec.json.decode(row["doc"], type=Source)
    lost = await _settle_all(tx, settlements, due.now, keep_bodies=keep_bodies)
    before = await lane_of(tx.db, source.lane, tx.session)
    lane, limit = plan(source, before)
    if lane is not before:
        lane = lane.but(revision=before.revision + 1)
        await tx.db.lanes.replace_one({"_id": lane.key}, _lane_row(lane), upsert=True, session=tx.session)
    ordered = source.delivery.ordered
    leased = await _lease(tx, row["_id"], limit, lease_s, due, ordered=ordered) if limit > 0 else []
    return Turn(source=source, lane=lane, batches=(), lost=lost), leased


# -------------------------------------------------------------------------------------------------------- lease


async def lease_batches(
    tx: Transaction, source_id: str, limit: int, lease_s: float, due: Due, *, ordered: bool
) -> list[Row]:
    """See `store.base.Outbox`. The bodies of the rows are still to be read."""
    return await _lease(tx, await source_num(tx.db, source_id), limit, lease_s, due, ordered=ordered)


async def _lease(
    tx: Transaction, source: int | None, limit: int, lease_s: float, due: Due, *, ordered: bool
) -> list[Row]:
    rows = await _next(tx, {"source": source, "state": "waiting"}, limit, due, ordered=ordered)
    if not rows:
        return []
    changes = []
    for row, token in zip(rows, await tx.engine.next_numbers("token", len(rows)), strict=True):
        lease = {"token": token, "uncertain": row["uncertain"] or row["token"] != 0}
        changes.append(UpdateOne({"_id": row["_id"]}, {"$set": {**lease, "available_at": due.now + lease_s}}))
        row.update(lease)
    await tx.db.batches.bulk_write(changes, session=tx.session)
    return rows


async def _next(tx: Transaction, waiting: Row, limit: int, due: Due, *, ordered: bool) -> list[Row]:
    """The first batches of the order that are due; ordered, the very first if it is."""
    if not ordered:
        waiting |= due.either("available_at")
    found = tx.db.batches.find(
        waiting, sort=[("place", 1)], limit=1 if ordered else limit, hint="next", session=tx.session
    )
    rows = await found.to_list()
    return [row for row in rows if row["available_at"] <= due.now or row["available_at"] > due.horizon]


# ------------------------------------------------------------------------------------------------------- settle


async def settle(tx: Transaction, batch: Batch, settlement: Settlement, now: float, *, keep_bodies: bool) -> None:
    """See `store.base.Outbox`."""
    try:
        lost = await _settle_all(tx, [(batch, settlement)], now, keep_bodies=keep_bodies)
    except NotFound as error:
        raise LeaseLost("the source was removed") from error
    if lost:
        raise LeaseLost("somebody else holds this delivery now, or it has ended")


async def _settle_all(tx: Transaction, settlements: Settlements, now: float, *, keep_bodies: bool) -> set[str]:
    """Settle batches of one source. Returns the ids of those that were not held any more: they are as they were.

    Raises `NotFound` if the source was removed.
    """
    ended = [(await _end_lease(tx, batch, settlement, now), settlement) for batch, settlement in settlements]
    held = [(row, settlement) for row, settlement in ended if row is not None]
    if held:
        await _keep_attempts(tx, held)
        if emptied := [] if keep_bodies else [row.num for row, settlement in held if settlement.state in ENDED]:
            await tx.db.bodies.delete_many({"_id": {"$in": emptied}}, session=tx.session)
        await _count(tx, held)
    for row, settlement in held:
        if settlement.state is BatchState.SPLIT:
            await freeze_children(tx, row, settlement.children, now)
    return {batch.id for (batch, _), (row, _) in zip(settlements, ended, strict=True) if row is None}


async def _keep_attempts(tx: Transaction, held: Sequence[tuple[Kept, Settlement]]) -> None:
    attempts: list[Row] = [
        {"_id": {"batch": row.num, "number": row.attempts_kept}, "doc": msgspec.json.encode(settlement.attempt)}
        for row, settlement in held
        if settlement.attempt is not None
    ]
    if attempts:
        await tx.db.attempts.insert_many(attempts, session=tx.session)


async def _count(tx: Transaction, held: Sequence[tuple[Kept, Settlement]]) -> None:
    """Move the counts of the source as its batches have moved. Raises `NotFound` if it was removed."""
    changes: dict[str, int] = {}
    newest = 0.0
    for row, settlement in held:
        add(changes, moved(row, settlement.state, settlement.children))
        if settlement.state is BatchState.DELIVERED:
            newest = max(newest, row.last_event_at)
    first, _ = held[0]
    sent = {"last_sent_event_at": newest} if newest > 0 else {}
    await tally(tx, first.source, outbox_of(first.num), changes, sent)


async def _end_lease(tx: Transaction, batch: Batch, settlement: Settlement, now: float) -> Kept | None:
    """Bring the batch's own row into its new state, and return what it was; None if it is not held any more."""
    if not batch.token:
        return None
    due_at: Row = {"$literal": settlement.due_at}
    changes: Row = {name: {"$literal": value} for name, value in in_state(settlement.state, now).items()}
    if settlement.attempt is None:
        due_at = {"$max": [due_at, "$due_at"]}
    else:
        changes |= _after(settlement, settlement.attempt)
    changes |= {"due_at": due_at, "available_at": due_at}
    held = {"_id": batch.num, "id": batch.id, "token": batch.token}
    row = await tx.db.batches.find_one_and_update(held, [{"$set": changes}], session=tx.session)
    return None if row is None else as_kept(row)


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


# -------------------------------------------------------------------------------------------------------- lanes


async def lane_of(db: Database, key: str, session: AsyncClientSession | None = None) -> Lane:
    """The lane, or a new one."""
    row = await db.lanes.find_one({"_id": key}, session=session)
    return Lane(key=key) if row is None else msgspec.json.decode(row["doc"], type=Lane)


async def replace_lane(db: Database, old: Lane, new: Lane) -> bool:
    """Whether `new` has taken the place of `old`: False if it was no longer there."""
    row = _lane_row(new)
    if old.revision:
        return (await db.lanes.replace_one({"_id": old.key, "revision": old.revision}, row)).matched_count == 1
    try:
        await db.lanes.insert_one(row)
    except DuplicateKeyError:
        return False
    return True


def _lane_row(lane: Lane) -> Row:
    return {
        "_id": lane.key,
        "revision": lane.revision,
        "doc": msgspec.json.encode(lane),
        "waits_until_at": lane.waits_until_at,
    }
