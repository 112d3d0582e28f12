"""The registered sources, what is counted for them, and which of them have something to do."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from pymongo.errors import DuplicateKeyError

from trailhook.errors import Conflict, NotFound
from trailhook.model import Counts, Job, NewBatch, Source, SourceTotals
from trailhook.store.base import Removed, source_columns
from trailhook.store.mongo.batches import freeze, weights
from trailhook.store.mongo.engine import Database, Row, Transaction
from trailhook.store.mongo.rows import OUTBOX, PARTS, Due, Part, live_num, tally, totals_id

Change = Callable[[Source], tuple[Source, Sequence[NewBatch]]]


class MongoSources(Part):
    """See `store.base.Sources`."""

    async def add_source(self, source: Source) -> Source:
        (num,) = await self._engine.next_numbers("source", 1)
        return await self._write(_add, num, source)

    async def source(self, source_id: str) -> Source:
        return await self._ask(_source, source_id)

    async def sources(self) -> Sequence[Source]:
        return await self._ask(_sources)

    async def change_source(self, source_id: str, change: Change) -> Source:
        return await self._write(_change, source_id, change, self._clock.now())

    async def remove_source(self, source_id: str) -> Removed:
        """See `store.base.Sources`. The janitor takes away what nobody sees from now on."""
        return await self._write(_remove, source_id)

    async def totals(self, source_id: str) -> SourceTotals:
        return await self._write(_totals, source_id)

    async def due(self) -> Sequence[Job]:
        return await self._ask(_due, self._due())


async def _add(tx: Transaction, num: int, source: Source) -> Source:
    try:
        await tx.db.sources.insert_one(
            {"_id": num, "id": source.id, "removed": False, **_columns(source)}, session=tx.session
        )
    except DuplicateKeyError as error:
        raise Conflict("a source with this id exists already") from error
    await tx.db.totals.insert_many([{"_id": totals_id(num, part)} for part in PARTS], session=tx.session)
    return source


def _columns(source: Source) -> Row:
    return source_columns(source)


def _decoded(row: Row | None) -> Source:
    if row is None:
        raise NotFound("no such source")
    return msgspec.json.decode(row["doc"], type=Source)


async def _source(db: Database, source_id: str) -> Source:
    return _decoded(await db.sources.find_one({"id": source_id, "removed": False}))


async def _sources(db: Database) -> list[Source]:
    found = db.sources.find({"removed": False}).sort([("created_at", 1), ("_id", 1)])
    return [_decoded(row) async for row in found]


async def _change(tx: Transaction, source_id: str, change: Change, now: float) -> Source:
    row = await tx.db.sources.find_one({"id": source_id, "removed": False}, session=tx.session)
    old = _decoded(row)
    new, notices = change(old)
    if row is None or (new is old and not notices):
        return old
    new = new.but(revision=old.revision + 1)
    await tx.db.sources.update_one({"_id": row["_id"]}, {"$set": _columns(new)}, session=tx.session)
    if notices:
        await tally(tx, row["_id"], OUTBOX, weights(notices))
        await freeze(tx, row["_id"], source_id, notices, now)
    return new


async def _remove(tx: Transaction, source_id: str) -> Removed:
    num = await live_num(tx, source_id)
    totals = await _sums(tx, num)
    await tx.db.totals.delete_many({"_id": {"$in": all_totals(num)}}, session=tx.session)
    removed = {"removed": True, "cleared": False, "notify_at": None}
    await tx.db.sources.update_one({"_id": num}, {"$set": removed, "$unset": {"doc": ""}}, session=tx.session)
    return Removed(
        waiting=totals.get("waiting", 0),
        dead_lettered=totals.get("dead_lettered", 0),
        units=totals["units"].get("waiting", 0),
        last_event_at=totals.get("last_sent_event_at"),
    )


def all_totals(num: int) -> list[Row]:
    """The ids of a source's rows of totals."""
    return [totals_id(num, part) for part in PARTS]


async def _sums(tx: Transaction, num: int) -> dict[str, Any]:
    """A source's totals over all who count. (Of the times, each is one part's own.)"""
    return add_up([row async for row in tx.db.totals.find({"_id": {"$in": all_totals(num)}}, session=tx.session)])


def add_up(rows: Iterable[Row]) -> dict[str, Any]:
    """One source's rows of totals as one."""
    total: dict[str, Any] = {"units": {}}
    for row in rows:
        for label, number in row.pop("units", {}).items():
            total["units"][label] = total["units"].get(label, 0) + number
        for name, number in row.items():
            if name != "_id":
                total[name] = number + total.get(name, 0)
    return total


async def _totals(tx: Transaction, source_id: str) -> SourceTotals:
    num = await live_num(tx, source_id)
    return as_totals(await _sums(tx, num), await _oldest_waiting_at(tx, num))


def counts_in(totals: Mapping[str, Any]) -> Counts:
    """The counts of records among totals."""
    return Counts(**{name: totals.get(name, 0) for name in Counts.__struct_fields__})


def as_totals(totals: Mapping[str, Any], oldest_waiting_at: float | None) -> SourceTotals:
    """What was added up, as a value."""
    return SourceTotals(
        counts=counts_in(totals),
        waiting_batches=totals.get("waiting_batches", 0),
        waiting_bytes=totals.get("waiting_bytes", 0),
        dead_batches=totals.get("dead_batches", 0),
        dead_bytes=totals.get("dead_bytes", 0),
        replayed=totals.get("replayed", 0),
        units={label: number for label, number in totals["units"].items() if number},
        oldest_waiting_at=oldest_waiting_at,
        last_event_at=totals.get("last_event_at"),
    )


async def _oldest_waiting_at(tx: Transaction, num: int) -> float | None:
    waiting = {"source": num, "state": "waiting"}
    batch = await tx.db.batches.find_one(
        {**waiting, "kind": "events"}, {"known_at": 1}, sort=[("known_at", 1)], hint="known", session=tx.session
    )
    unit = await tx.db.units.find_one(
        {**waiting, "backfill": False}, {"found_at": 1}, sort=[("found_at", 1)], hint="ended", session=tx.session
    )
    found = [*([batch["known_at"]] if batch else []), *([unit["found_at"]] if unit else [])]
    return min(found, default=None)


def _any_due(collection: str, due: Due, **more: bool) -> Row:
    """One row of `collection` that waits for the source and is due, or none."""
    wanted = {"state": "waiting", **more, **due.either("available_at")}
    return {
        "$lookup": {
            "from": collection,
            "localField": "_id",
            "foreignField": "source",
            "pipeline": [{"$match": wanted}, {"$limit": 1}, {"$project": {"_id": 1}}],
            "as": collection,
        }
    }


def _closed_lane(due: Due) -> Row:
    waits = {"waits_until_at": {"$gt": due.now, "$lte": due.horizon}}
    return {
        "$lookup": {
            "from": "lanes",
            "localField": "lane",
            "foreignField": "_id",
            "pipeline": [{"$match": waits}, {"$project": {"_id": 1}}],
            "as": "lanes",
        }
    }


async def _due(db: Database, due: Due) -> list[Job]:
    pipeline: list[Row] = [
        {"$match": {"removed": False, "paused": False}},
        {"$project": {"id": 1, "next_fetch_at": 1, "lane": 1, "held": 1, "listens": 1}},
        {"$sort": {"_id": 1}},
        _any_due("units", due, backfill=False),
        _any_due("batches", due),
        _closed_lane(due),
    ]
    jobs = [
        Job(kind=kind, source_id=row["id"])
        async for row in await db.sources.aggregate(pipeline)
        for kind, flag in (
            ("poll", row["next_fetch_at"] <= due.now or row["next_fetch_at"] > due.horizon),
            ("intake", row["units"]),
            ("deliver", row["held"] or (row["batches"] and not row["lanes"])),
            ("listen", row["listens"]),
        )
        if flag
    ]
    to_tell = db.sources.find({"removed": False, **due.either("notify_at")}, {"id": 1}).sort("_id")
    return jobs + [Job(kind="notify", source_id=row["id"]) async for row in to_tell]
