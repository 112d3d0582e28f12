"""Batches as lists: page by page, counted, grouped by how they ended."""

import math
from collections.abc import Sequence

from trailhook.model import Batch, BatchState
from trailhook.store.lists import BatchQuery, DeadGroup
from trailhook.store.mongo.batches import listed
from trailhook.store.mongo.engine import Database, Row
from trailhook.store.mongo.rows import Part, gone, struct

LAST = 2**63 - 1


class MongoListing(Part):
    """See `store.base.Outbox`."""

    async def batches(self, query: BatchQuery) -> Sequence[Batch]:
        return await self._ask(_batches, query)

    async def batch_count(self, query: BatchQuery) -> int:
        return await self._ask(_batch_count, query)

    async def children(self, batch_id: str) -> Sequence[Batch]:
        return await self._ask(_children, batch_id)

    async def dead_groups(self, *, limit: int) -> Sequence[DeadGroup]:
        return await self._ask(_dead_groups, limit)


async def _batches(db: Database, query: BatchQuery) -> list[Batch]:
    found = db.batches.find(
        await _wanted(db, query), sort=[("_id", -1)], limit=query.limit, hint=_index(query) if query.ended else None
    )
    return [listed(row) async for row in found]


async def _batch_count(db: Database, query: BatchQuery) -> int:
    """From indexes alone, unless there is something to hide."""
    return await db.batches.count_documents(await _wanted(db, query.but(before=None)), hint=_index(query))


async def _wanted(db: Database, query: BatchQuery) -> Row:
    states = [state.value for state in query.listed_states]
    wanted: Row = {
        "state": states[0] if len(states) == 1 else {"$in": states},
        "_id": {"$lt": LAST if query.before is None else query.before},
    }
    if query.frozen_from_at > 0 or query.frozen_to_at < math.inf:
        wanted["frozen_at"] = {"$gte": query.frozen_from_at, "$lt": query.frozen_to_at}
    if query.source_id is not None:
        nums = [row["_id"] async for row in db.sources.find({"id": query.source_id}, {"_id": 1})]
        wanted["source"] = {"$in": nums}
    if query.ended:
        wanted["last_class"], wanted["last_error"] = query.ended
    if hidden := await gone(db):
        wanted["$nor"] = [{"source": {"$in": hidden}, "kept": True}]
    return wanted


def _index(query: BatchQuery) -> str:
    if query.source_id is None:
        return "state"
    return "dead" if query.ended else "source"


async def _children(db: Database, batch_id: str) -> list[Batch]:
    """(The first condition is the index's own.)"""
    wanted: Row = {"$and": [{"parent": {"$gt": ""}}, {"parent": batch_id}]}
    if hidden := await gone(db):
        wanted["$nor"] = [{"source": {"$in": hidden}, "kept": True}]
    return [listed(row) async for row in db.batches.find(wanted, sort=[("_id", 1)], hint="parent")]


async def _dead_groups(db: Database, limit: int) -> list[DeadGroup]:
    dead: Row = {"state": BatchState.DEAD.value}
    if hidden := await gone(db):
        dead["source"] = {"$nin": hidden}
    group = {
        "_id": {"source": "$source", "outcome": "$last_class", "error": "$last_error"},
        "batches": {"$sum": 1},
        "events": {"$sum": "$count"},
        "first_at": {"$min": "$settled_at"},
        "last_at": {"$max": "$settled_at"},
    }
    steps: list[Row] = [
        {"$match": dead},
        {"$group": group},
        {"$sort": {"batches": -1, "last_at": -1}},
        {"$limit": limit},
    ]
    rows = await (await db.batches.aggregate(steps, hint="dead")).to_list()
    wanted = {"_id": {"$in": [row["_id"]["source"] for row in rows]}}
    ids = {row["_id"]: row["id"] async for row in db.sources.find(wanted, {"id": 1})}
    return [struct(DeadGroup, row | row["_id"], source_id=ids[row["_id"]["source"]]) for row in rows]
