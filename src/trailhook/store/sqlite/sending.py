"""What sending asks of the store: leases, settlements, lanes, and all of that in one go."""

from collections.abc import Callable, Sequence
from typing import Any

import apsw
import msgspec

from trailhook.errors import LeaseLost
from trailhook.model import Batch, BatchState, Lane
from trailhook.store.base import Held, Plan, Settlement, Turn
from trailhook.store.counting import add
from trailhook.store.sqlite.batches import (
    ENDED,
    Kept,
    body_of,
    due_nums,
    first_num,
    freeze_children,
    listed,
    moved,
    whole,
)
from trailhook.store.sqlite.rows import Due, next_tokens, rows, structs, tally, value
from trailhook.store.sqlite.sources import numbered

Settlements = Sequence[tuple[Batch, Settlement]]


def settle_and_lease(
    db: apsw.Connection,
    source_id: str,
    settlements: Settlements,
    plan: Plan,
    lease_s: float,
    due: Due,
    held: Held,
    *,
    keep_bodies: bool,
) -> Turn:
    """See `store.base.Outbox`."""
    num, source = numbered(db, source_id)
    lost = settle_all(db, settlements, due.now, keep_bodies=keep_bodies)
    before = lane_of(db, source.lane)
    after, limit = plan(source, before)
    lane = replace_lane(db, before, after)
    nums = lease(db, num, limit, lease_s, due, ordered=source.delivery.ordered) if limit > 0 else []
    return Turn(source=source, lane=lane, batches=[_to_send(db, each, held) for each in nums], lost=lost)


def _to_send(db: apsw.Connection, num: int, held: Held) -> Batch:
    batch = listed(db, num)
    return batch if held(batch.sha256) else batch.but(body=body_of(db, num))


# -------------------------------------------------------------------------------------------------------- lease


def lease_batches(
    db: apsw.Connection, source_id: str, limit: int, lease_s: float, due: Due, *, ordered: bool
) -> list[Batch]:
    """See `store.base.Outbox`."""
    num = value(db, "SELECT num FROM sources WHERE id = ?", (source_id,))
    return [whole(db, each) for each in lease(db, num, limit, lease_s, due, ordered=ordered)]


def lease(db: apsw.Connection, source: int, limit: int, lease_s: float, due: Due, *, ordered: bool) -> list[int]:
    """The numbers of up to `limit` batches that are due, each leased under a token of its own."""
    nums = first_num(db, source, due) if ordered else due_nums(db, source, limit, due)
    if not nums:
        return []
    db.executemany(
        """UPDATE batches SET uncertain = max(uncertain, token <> 0), token = ?, available_at = ? WHERE num = ?""",
        [(token, due.now + lease_s, num) for token, num in zip(next_tokens(db, len(nums)), nums, strict=True)],
    )
    return nums


# ------------------------------------------------------------------------------------------------------- settle

_HELD = """
    WHERE num = :num AND id = :id AND token = :token
    RETURNING num, source, 'waiting' AS state, kind, count, body_bytes, place, frozen_at, due_at, last_event_at"""
UNTRIED = f"""
    UPDATE batches SET state = :state, due_at = max(due_at, :due_at), available_at = max(due_at, :due_at),
        settled_at = :settled_at, token = 0
    {_HELD}"""  # noqa: S608 - both parts are literals of ours
TRIED = f"""
    UPDATE batches SET state = :state, due_at = :due_at, available_at = :due_at, settled_at = :settled_at, token = 0,
        attempts = attempts + 1, refusals = :refusals, uncertain = max(uncertain, :uncertain),
        held_mark_s = iif(first_attempt_at IS NULL, :held_mark_s, held_mark_s),
        first_attempt_at = coalesce(first_attempt_at, :started_at), last_class = :outcome, last_error = :error
    {_HELD}"""  # noqa: S608


def settle(db: apsw.Connection, batch: Batch, settlement: Settlement, now: float, *, keep_bodies: bool) -> None:
    """See `store.base.Outbox`."""
    if settle_all(db, [(batch, settlement)], now, keep_bodies=keep_bodies):
        raise LeaseLost("somebody else holds this delivery now, or it has ended")


def settle_all(db: apsw.Connection, settlements: Settlements, now: float, *, keep_bodies: bool) -> set[str]:
    """Settle batches of one source. Returns the ids of those that were not held any more: they are as they were."""
    ended = [(_end_lease(db, batch, settlement, now), settlement) for batch, settlement in settlements]
    held = [(row, settlement) for row, settlement in ended if row is not None]
    for row, settlement in held:
        if settlement.state is BatchState.SPLIT:
            freeze_children(db, row, settlement.children, now)
        if settlement.state in ENDED and not keep_bodies:
            db.execute("DELETE FROM bodies WHERE batch = ?", (row.num,))
    db.executemany(
        "INSERT INTO attempts (batch, doc) VALUES (?, ?)",
        [(row.num, msgspec.json.encode(each.attempt)) for row, each in held if each.attempt is not None],
    )
    _count(db, [(row, settlement.state) for row, settlement in held])
    return {batch.id for (batch, _), (row, _) in zip(settlements, ended, strict=True) if row is None}


def _end_lease(db: apsw.Connection, batch: Batch, settlement: Settlement, now: float) -> Kept | None:
    """Bring the batch's own row into its new state, and return what it was; None if it is not held any more."""
    if not batch.token:
        return None
    changes: dict[str, Any] = {
        "num": batch.num,
        "id": batch.id,
        "token": batch.token,
        "state": settlement.state,
        "due_at": settlement.due_at,
        "settled_at": None if settlement.state is BatchState.WAITING else now,
    }
    if attempt := settlement.attempt:
        changes |= {
            "refusals": settlement.refusals,
            "uncertain": settlement.uncertain,
            "held_mark_s": settlement.held_mark_s,
            "started_at": attempt.started_at,
            "outcome": attempt.outcome,
            "error": attempt.error,
        }
    found = structs(Kept, rows(db, TRIED if attempt else UNTRIED, changes))
    return found[0] if found else None


def _count(db: apsw.Connection, ended: Sequence[tuple[Kept, BatchState]]) -> None:
    """Move the counts of a source as its batches have moved."""
    changes: dict[str, int] = {}
    for row, state in ended:
        add(changes, moved(row, state))
    if changes:
        tally(db, ended[0][0].source, changes)
    newest = max((row.last_event_at for row, state in ended if state is BatchState.DELIVERED), default=0.0)
    if newest > 0:
        db.execute(
            "UPDATE totals SET last_sent_event_at = max(coalesce(last_sent_event_at, ?1), ?1) WHERE source = ?2",
            (newest, ended[0][0].source),
        )


# -------------------------------------------------------------------------------------------------------- lanes


def lane_of(db: apsw.Connection, key: str) -> Lane:
    """The lane, or a new one."""
    doc = value(db, "SELECT doc FROM lanes WHERE key = ?", (key,))
    return Lane(key=key) if doc is None else msgspec.json.decode(doc, type=Lane)


def change_lane(db: apsw.Connection, key: str, change: Callable[[Lane], Lane]) -> Lane:
    """See `store.base.Outbox`."""
    old = lane_of(db, key)
    return replace_lane(db, old, change(old))


def replace_lane(db: apsw.Connection, old: Lane, new: Lane) -> Lane:
    """Keep `new` in the place of `old`, unless it is the very same."""
    if new is old:
        return old
    new = new.but(revision=old.revision + 1)
    db.execute(
        """INSERT INTO lanes (key, doc, waits_until_at) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET doc = excluded.doc, waits_until_at = excluded.waits_until_at""",
        (new.key, msgspec.json.encode(new), new.waits_until_at),
    )
    return new
