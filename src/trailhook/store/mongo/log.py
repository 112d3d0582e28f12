"""The event log: batches in the order of their newest events."""

from collections.abc import Collection, Mapping, Sequence

from pymongo.asynchronous.cursor import AsyncCursor

from trailhook.errors import NotFound
from trailhook.store.log import LogBlock, LogQuery
from trailhook.store.mongo.engine import Database, Row
from trailhook.store.mongo.rows import Part, source_num, struct

_FIELDS = ("id", "source_id", "state", "first_event_at", "last_event_at", "frozen_at", "body_bytes")


class MongoEventLog(Part):
    """See `store.base.EventLog`."""

    async def log_blocks(self, query: LogQuery) -> Sequence[LogBlock]:
        return await self._ask(_blocks, query)

    async def log_after(
        self, num: int, *, but: Collection[int] = (), source_id: str | None = None, limit: int = 100
    ) -> Sequence[LogBlock]:
        return await self._ask(_after, num, but, source_id, limit)

    async def log_end(self) -> int:
        return await self._ask(_end)

    async def log_bodies(self, nums: Sequence[int]) -> Mapping[int, bytes]:
        return await self._ask(_bodies, nums)


async def _blocks(db: Database, query: LogQuery) -> list[LogBlock]:
    wanted: Row = {
        **await _of_sources(db, query.source_id),
        "state": {"$ne": "split"},
        "last_event_at": {"$gte": query.from_at},
        "first_event_at": {"$lte": query.to_at},
    }
    if query.before is not None:
        at, num = query.before
        wanted["last_event_at"]["$lte"] = at
        wanted["$or"] = [{"last_event_at": {"$lt": at}}, {"_id": {"$lt": num}}]
    found = db.batches.find(
        wanted,
        _FIELDS,
        sort=[("last_event_at", -1), ("_id", -1)],
        limit=query.limit,
        hint="log" if query.source_id is None else "source_log",
    )
    return await _with_columns(db, found)


async def _after(db: Database, num: int, but: Collection[int], source_id: str | None, limit: int) -> list[LogBlock]:
    wanted = {**await _of_sources(db, source_id), "_id": {"$gt": num, "$nin": list(but)}, "parent": None}
    return await _with_columns(db, db.batches.find(wanted, _FIELDS, sort=[("_id", 1)], limit=limit, hint="_id_"))


async def _of_sources(db: Database, source_id: str | None) -> Row:
    """Events of this source, or of any that is not removed. Raises `NotFound`."""
    if source_id is None:
        removed = [row["_id"] async for row in db.sources.find({"removed": True}, {"_id": 1})]
        return {"kind": "events"} | ({"source": {"$nin": removed}} if removed else {})
    source = await source_num(db, source_id)
    if source is None:
        raise NotFound("no such source")
    return {"kind": "events", "source": source}


async def _with_columns(db: Database, found: AsyncCursor[Row]) -> list[LogBlock]:
    rows = await found.to_list()
    columns = db.columns.find({"_id": {"$in": [row["_id"] for row in rows]}}, batch_size=max(1, len(rows)))
    packed = {row["_id"]: row["columns"] async for row in columns}
    return [struct(LogBlock, row, num=row["_id"], columns=packed.get(row["_id"], b"")) for row in rows]


async def _end(db: Database) -> int:
    row = await db.batches.find_one({}, {"_id": 1}, sort=[("_id", -1)])
    return 0 if row is None else row["_id"]


async def _bodies(db: Database, nums: Sequence[int]) -> dict[int, bytes]:
    return {row["_id"]: row["body"] async for row in db.bodies.find({"_id": {"$in": list(nums)}})}
