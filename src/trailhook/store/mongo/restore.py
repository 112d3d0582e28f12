"""A store filled with another one's rows, for a move: see `store.sqlite.export`, whose rows these are.

Every write may be done again: rows that are there already are left as they are, and the counts tell at the end.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from bson.int64 import Int64
from pymongo.errors import BulkWriteError
from pymongo.uri_parser import parse_uri

from trailhook.clock import Clock
from trailhook.model import BatchState, Lane, Watermark
from trailhook.store.base import Limits
from trailhook.store.mongo import ledger
from trailhook.store.mongo.batches import ENDED, KEPT
from trailhook.store.mongo.connect import DATABASE, connected
from trailhook.store.mongo.engine import Database, Row
from trailhook.store.mongo.rows import INTAKE, OUTBOX, PARTS, plain, scoped, totals_id
from trailhook.store.mongo.schema import COLLECTIONS
from trailhook.store.mongo.store import MongoStore
from trailhook.store.mongo.units import mark_id
from trailhook.store.moving import MARK, Mark, marked

Rows = Sequence[Mapping[str, Any]]

DUPLICATE_KEY = 11_000
COPIED = "copied"
"""The collection that says how far each table has come, while a move lasts."""
CONTENT = ("documents", "sources", "units", "ledger", "batches")
"""Where an installation that was used has rows."""


class Restore(MongoStore):
    """A store that nobody serves yet."""

    async def mark(self) -> Mark | None:
        """The mark of a move into here."""
        return marked(await self.document(*MARK))

    async def set_mark(self, new: Mark | None) -> None:
        """Leave another one, or none. Durable on return."""
        await self.change_document(*MARK, lambda _: None if new is None else new.pack())

    async def empty(self) -> bool:
        """Whether nobody has used this database."""
        return await self._ask(_empty)

    async def put(self, table: str, rows: Rows) -> None:
        """Keep rows of a table. Durable on return."""
        collection, documents = LAYOUTS[table]
        await self._ask(_insert, collection, documents(rows))

    async def copied(self, table: str) -> tuple[Any, ...] | None:
        """The key behind which to go on; None at the beginning."""
        return await self._ask(_copied, table)

    async def set_copied(self, table: str, after: tuple[Any, ...]) -> None:
        """Everything up to that key has been put."""
        await self._ask(_set_copied, table, after)

    async def count(self, table: str) -> int:
        """How many rows of a table there are."""
        return await self._ask(_count, table)

    async def finish(self, numbers: Mapping[str, int]) -> None:
        """Go on numbering where the other store ended, and let this one be served. May be done again."""
        await self._ask(_finish, numbers)
        await self.set_mark(None)

    async def clear(self) -> None:
        """Take everything away, the mark last."""
        await self._ask(_clear)


@asynccontextmanager
async def restoring(url: str, *, clock: Clock, limits: Limits) -> AsyncIterator[Restore]:
    """The database that `url` names, brought up to date, whether it bears a mark or not. Raises as the store does."""
    async with connected(url, clock) as engine:
        yield Restore(engine, clock, limits)


def home(url: str) -> str:
    """What `url` leads to, without user, password and options."""
    parsed = parse_uri(url, validate=False)
    hosts = ",".join(f"{host}:{port}" for host, port in parsed["nodelist"])
    return f"mongodb://{parsed.get('fqdn') or hosts}/{parsed['database'] or DATABASE}"


# ------------------------------------------------------------------------------------------- rows as they lie here


def _document(row: Mapping[str, Any]) -> list[Row]:
    return [{"_id": {"kind": row["kind"], "key": row["key"]}, "value": row["value"], "changed_at": row["changed_at"]}]


def _lane(row: Mapping[str, Any]) -> list[Row]:
    lane = msgspec.json.decode(row["doc"], type=Lane)
    return [{"_id": lane.key, "revision": lane.revision, "doc": row["doc"], "waits_until_at": row["waits_until_at"]}]


def _source(row: Mapping[str, Any]) -> list[Row]:
    there = {name: row[name] for name in ("id", "created_at", "next_fetch_at", "lane", "notify_at")} | {
        name: bool(row[name]) for name in ("paused", "held", "listens")
    }
    if row["doc"] is None:
        return [{"_id": row["num"], **there, "removed": True, "cleared": True}]
    return [{"_id": row["num"], **there, "removed": False, "doc": row["doc"]}]


_OF_INTAKE = (
    *("read", "sent", "filtered", "duplicate", "quarantined", "dead_lettered", "discarded"),
    *("waiting", "waiting_batches", "waiting_bytes", "dead_batches", "dead_bytes", "replayed"),
)


def _totals(row: Mapping[str, Any]) -> list[Row]:
    """Who counted what is not known any more, nor does it matter: the parts are only ever added up."""
    intake = {name: row[name] for name in _OF_INTAKE} | {"units": msgspec.json.decode(row["units"])}
    newest = {"last_event_at": row["last_event_at"], "last_sent_event_at": row["last_sent_event_at"]}
    parts: dict[str, dict[str, Any]] = {part: {} for part in PARTS} | {INTAKE: intake}
    for part, name in ((INTAKE, "last_event_at"), (OUTBOX, "last_sent_event_at")):
        if newest[name] is not None:
            parts[part][name] = newest[name]
    return [{"_id": totals_id(row["source"], part), **counted} for part, counted in parts.items()]


def _watermark(row: Mapping[str, Any]) -> list[Row]:
    fields = {name: row[name] for name in Watermark.__struct_fields__}
    mark = msgspec.convert({**fields, "rhythm": msgspec.json.decode(row["rhythm"])}, Watermark)
    return [{"_id": mark_id(row["source"], mark), **plain(mark)}]


def _unit(row: Mapping[str, Any]) -> list[Row]:
    changed = {"identity": scoped(row["source"], row["identity"]), "backfill": bool(row["backfill"])}
    return [{**_without(row, "id"), "_id": row["id"], **changed}]


def _quarantined(row: Mapping[str, Any]) -> list[Row]:
    return [{**_without(row, "num"), "_id": row["num"]}]


def _batch(row: Mapping[str, Any]) -> list[Row]:
    state = BatchState(row["state"])
    changed = {
        "place": row["place"].hex(),
        "uncertain": bool(row["uncertain"]),
        "backfill": bool(row["backfill"]),
        "kept": state in KEPT,
        "ended_at": row["settled_at"] if state in ENDED else None,
    }
    return [{**_without(row, "num"), "_id": row["num"], **changed}]


def _body(row: Mapping[str, Any]) -> list[Row]:
    return [{"_id": row["batch"], "body": row["body"]}]


def _columns(row: Mapping[str, Any]) -> list[Row]:
    return [{"_id": row["batch"], "columns": row["columns"]}]


def _attempt(row: Mapping[str, Any]) -> list[Row]:
    return [{"_id": {"batch": row["batch"], "number": row["number"]}, "doc": row["doc"]}]


def _without(row: Mapping[str, Any], name: str) -> Row:
    return {each: value for each, value in row.items() if each != name}


def _keys(rows: Rows) -> list[Row]:
    seen: dict[tuple[int, int], list[bytes]] = {}
    for row in rows:
        seen.setdefault((row["source"], row["seen"]), []).append(row["key"])
    return [each for (source, hour), keys in seen.items() for each in ledger.rows_of(source, keys, hour)]


def _each(document: Callable[[Mapping[str, Any]], list[Row]]) -> Callable[[Rows], list[Row]]:
    return lambda rows: [each for row in rows for each in document(row)]


LAYOUTS: Mapping[str, tuple[str, Callable[[Rows], list[Row]]]] = {
    "documents": ("documents", _each(_document)),
    "lanes": ("lanes", _each(_lane)),
    "sources": ("sources", _each(_source)),
    "totals": ("totals", _each(_totals)),
    "watermarks": ("watermarks", _each(_watermark)),
    "units": ("units", _each(_unit)),
    "ledger": ("ledger", _keys),
    "quarantine": ("quarantine", _each(_quarantined)),
    "batches": ("batches", _each(_batch)),
    "bodies": ("bodies", _each(_body)),
    "columns": ("columns", _each(_columns)),
    "attempts": ("attempts", _each(_attempt)),
}
"""For each table of the other store: the collection here, and what rows become; the same rows become the same again."""
COUNTED: Mapping[str, Row] = {"documents": {"_id.kind": {"$ne": MARK[0]}}, "totals": {"_id.part": INTAKE}}
"""Which documents stand for a row of their table, where not all do."""


# ------------------------------------------------------------------------------------------------------ statements


async def _empty(db: Database) -> bool:
    return not any([await db[name].find_one({}, {"_id": 1}) for name in CONTENT])


async def _insert(db: Database, collection: str, documents: Sequence[Row]) -> None:
    try:
        await db[collection].insert_many(documents, ordered=False)
    except BulkWriteError as error:
        if any(each["code"] != DUPLICATE_KEY for each in error.details["writeErrors"]):
            raise


async def _copied(db: Database, table: str) -> tuple[Any, ...] | None:
    row = await db[COPIED].find_one({"_id": table})
    return None if row is None else tuple(row["after"])


async def _set_copied(db: Database, table: str, after: tuple[Any, ...]) -> None:
    await db[COPIED].update_one({"_id": table}, {"$set": {"after": list(after)}}, upsert=True)


async def _count(db: Database, table: str) -> int:
    collection, _ = LAYOUTS[table]
    if table == "ledger":
        return await ledger.count(db)
    return await db[collection].count_documents(COUNTED.get(table, {}))


async def _finish(db: Database, numbers: Mapping[str, int]) -> None:
    for name, last in numbers.items():
        await db.counters.update_one({"_id": name}, {"$max": {"last": Int64(last)}}, upsert=True)
    await db.drop_collection(COPIED)


async def _clear(db: Database) -> None:
    for name in (COPIED, "schema", *(each for each in COLLECTIONS if each != "documents"), "documents"):
        await db.drop_collection(name)
