"""The way out: batches and their lanes. What sending asks for is in `sending`."""

from collections.abc import Callable, Mapping, Sequence

import apsw
import msgspec

from trailhook.errors import Conflict
from trailhook.model import Attempt, Batch, BatchState, Lane
from trailhook.store.base import Held, Plan, Replayed, Settlement, Turn, nothing_held
from trailhook.store.replays import copied, replayed
from trailhook.store.sqlite.batches import freeze, kept, listed, move, whole
from trailhook.store.sqlite.rows import Part, source_num, tuples, value
from trailhook.store.sqlite.sending import change_lane, lane_of, lease_batches, settle, settle_and_lease


class SqliteOutbox(Part):
    """See `store.base.Outbox`."""

    async def lease_batches(
        self, source_id: str, *, limit: int, lease_s: float, ordered: bool = False
    ) -> Sequence[Batch]:
        return await self._lease(lease_batches, source_id, limit, lease_s, self._due(), ordered=ordered)

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
        ask = self._write if settlements else self._lease
        keep_bodies = self._limits.keep_bodies
        return await ask(
            settle_and_lease, source_id, settlements, plan, lease_s, self._due(), held, keep_bodies=keep_bodies
        )

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
        return await self._write(change_lane, key, change)


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
    if not keep_bodies:
        db.execute("DELETE FROM bodies WHERE batch = ?", (row.num,))
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
