"""Batches as lists: page by page, counted, grouped by how they ended."""

from collections.abc import Sequence
from typing import Any

import apsw

from trailhook.model import Batch, BatchState
from trailhook.store.lists import BatchQuery, DeadGroup
from trailhook.store.sqlite.batches import listed
from trailhook.store.sqlite.rows import Part, rows, structs, tuples, value

LAST = 2**63 - 1


class SqliteListing(Part):
    """See `store.base.Outbox`."""

    async def batches(self, query: BatchQuery) -> Sequence[Batch]:
        return await self._read(_batches, query)

    async def batch_count(self, query: BatchQuery) -> int:
        return await self._read(_batch_count, query)

    async def children(self, batch_id: str) -> Sequence[Batch]:
        return await self._read(_children, batch_id)

    async def dead_groups(self, *, limit: int) -> Sequence[DeadGroup]:
        return await self._read(_dead_groups, limit)


def _batches(db: apsw.Connection, query: BatchQuery) -> list[Batch]:
    """A page, from one page per state: each of those is a short walk along an index."""
    wanted = _wanted(db, query)
    nums = [
        num
        for state in query.listed_states
        for (num,) in db.execute(f"SELECT num {_found(query, state)} ORDER BY num DESC LIMIT :limit", wanted)
    ]
    return [listed(db, num) for num in sorted(nums, reverse=True)[: query.limit]]


def _batch_count(db: apsw.Connection, query: BatchQuery) -> int:
    """From indexes alone."""
    wanted = _wanted(db, query.but(before=None))
    return sum(int(value(db, f"SELECT count(*) {_found(query, state)}", wanted)) for state in query.listed_states)


def _wanted(db: apsw.Connection, query: BatchQuery) -> dict[str, Any]:
    source = value(db, "SELECT num FROM sources WHERE id = ?", (query.source_id,)) if query.source_id else None
    outcome, error = query.ended or ("", "")
    return {
        "source": source,
        "before": LAST if query.before is None else query.before,
        "from_at": query.frozen_from_at,
        "to_at": query.frozen_to_at,
        "outcome": outcome,
        "error": error,
        "limit": query.limit,
    }


def _found(query: BatchQuery, state: BatchState) -> str:
    """Where the batches of one state are, and which of them are meant. (A partial index is found by a literal.)"""
    conditions = [f"state = '{state}'", "num < :before", "frozen_at >= :from_at", "frozen_at < :to_at"]
    index = "batches_state"
    if query.source_id is not None:
        conditions.append("source = :source")
        index = "batches_dead" if query.ended else "batches_source"
    if query.ended:
        conditions.append("last_class = :outcome AND last_error = :error")
    return f"FROM batches INDEXED BY {index} WHERE {' AND '.join(conditions)}"


def _children(db: apsw.Connection, batch_id: str) -> list[Batch]:
    nums = tuples(db, "SELECT num FROM batches WHERE parent = ? ORDER BY num", (batch_id,))
    return [listed(db, num) for (num,) in nums]


DEAD_GROUPS = """
    SELECT s.id AS source_id, g.* FROM (
        SELECT source, last_class AS outcome, last_error AS error, count(*) AS batches, sum(count) AS events,
            min(settled_at) AS first_at, max(settled_at) AS last_at
        FROM batches INDEXED BY batches_dead WHERE state = 'dead' GROUP BY source, last_class, last_error
    ) g JOIN sources s ON s.num = g.source ORDER BY g.batches DESC, g.last_at DESC LIMIT ?"""


def _dead_groups(db: apsw.Connection, limit: int) -> list[DeadGroup]:
    return structs(DeadGroup, rows(db, DEAD_GROUPS, (limit,)))
