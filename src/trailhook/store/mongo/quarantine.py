"""What could not be read, and its ways back."""

from collections.abc import Sequence

from trailhook.errors import NotFound
from trailhook.model import NewBatch, NewQuarantined, Quarantined, QuarantineKind, UnitEnd
from trailhook.store.mongo import ledger
from trailhook.store.mongo.batches import freeze, weights
from trailhook.store.mongo.engine import Database, Row, Transaction
from trailhook.store.mongo.rows import INTAKE, Part, gone, source_num, struct, tally

LAST = 2**63 - 1


class MongoQuarantine(Part):
    """See `store.base.Units`."""

    async def quarantine(
        self, source_id: str | None = None, *, limit: int = 50, before: str | None = None
    ) -> Sequence[Quarantined]:
        return await self._ask(_quarantine, source_id, limit, before)

    async def quarantined(self, quarantine_id: str) -> Quarantined:
        return await self._ask(_quarantined, quarantine_id)

    async def requeue_unit(self, quarantine_id: str) -> None:
        await self._write(_requeue, quarantine_id, self._clock.now())

    async def release_record(self, quarantine_id: str, *, key: bytes | None, batch: NewBatch | None) -> None:
        await self._write(_release, quarantine_id, key, batch, self._clock.now())


def _number(quarantine_id: str) -> int:
    kind, _, number = quarantine_id.partition("-")
    if kind not in ("u", "r") or not (number.isascii() and number.isdigit()) or len(number) > 18:  # noqa: PLR2004
        raise NotFound("no such entry in quarantine")
    return int(number)


def _kind(quarantine_id: str) -> str:
    return "unit" if quarantine_id.startswith("u") else "record"


def _entry(row: Row) -> Quarantined:
    return struct(Quarantined, row, id=f"{row['kind'][0]}-{row['_id']}")


async def _quarantine(db: Database, source_id: str | None, limit: int, before: str | None) -> list[Quarantined]:
    wanted: Row = {"_id": {"$lt": LAST if before is None else _number(before)}}
    if source_id is None:
        wanted["source"] = {"$nin": await gone(db)}
    else:
        wanted["source"] = await source_num(db, source_id)
    found = db.quarantine.find(wanted, {"body": 0}, sort=[("_id", -1)], limit=limit)
    return [_entry(row) async for row in found]


async def _quarantined(db: Database, quarantine_id: str) -> Quarantined:
    row = await db.quarantine.find_one({"_id": _number(quarantine_id), "kind": _kind(quarantine_id)})
    if row is None or row["source"] in await gone(db):
        raise NotFound("no such entry in quarantine")
    return _entry(row)


async def quarantine_all(
    tx: Transaction,
    source: int,
    source_id: str,
    units: Sequence[UnitEnd],
    records: Sequence[NewQuarantined],
    now: float,
) -> None:
    """Keep what one transaction could not read."""
    if not units and not records:
        return
    ids = {end.unit_id for end in units} | {record.unit_id for record in records}
    wanted = {"_id": {"$in": list(ids)}, "source": source}
    names = {row["_id"]: row async for row in tx.db.units.find(wanted, {"place": 1, "name": 1}, session=tx.session)}
    entries: list[Row] = [
        {
            "unit_id": end.unit_id,
            "kind": "unit",
            "position": None,
            "reason": end.reason,
            "detail": end.detail,
            "body": b"",
        }
        for end in units
    ]
    entries += [
        {
            "unit_id": record.unit_id,
            "kind": "record",
            "position": record.position,
            "reason": record.reason,
            "detail": record.detail,
            "body": record.body,
        }
        for record in records
    ]
    numbers = await tx.engine.next_numbers("quarantine", len(entries))
    for num, entry in zip(numbers, entries, strict=True):
        unit = names[entry["unit_id"]]
        entry |= {"_id": num, "source": source, "source_id": source_id, "at": now}
        entry |= {"place": unit["place"], "name": unit["name"]}
    await tx.db.quarantine.insert_many(entries, session=tx.session)


async def _take_out(tx: Transaction, quarantine_id: str, kind: QuarantineKind) -> Row:
    """Remove the entry and return it. Raises `NotFound`."""
    wanted = {"_id": _number(quarantine_id), "kind": _kind(quarantine_id)}
    entry = None
    if wanted["kind"] == kind:
        entry = await tx.db.quarantine.find_one_and_delete(wanted, {"body": 0}, session=tx.session)
    if entry is None:
        raise NotFound("no such entry in quarantine")
    return entry


async def _requeue(tx: Transaction, quarantine_id: str, now: float) -> None:
    entry = await _take_out(tx, quarantine_id, QuarantineKind.UNIT)
    await tally(tx, entry["source"], INTAKE, {"units.quarantined": -1, "units.waiting": 1})
    again = {"state": "waiting", "backfill": False, "available_at": now, "attempts": 0, "reason": "", "detail": ""}
    await tx.db.units.update_one({"_id": entry["unit_id"]}, {"$set": again}, session=tx.session)


async def _release(tx: Transaction, quarantine_id: str, key: bytes | None, batch: NewBatch | None, now: float) -> None:
    entry = await _take_out(tx, quarantine_id, QuarantineKind.RECORD)
    source = entry["source"]
    if batch is None:
        await tally(tx, source, INTAKE, {"quarantined": -1, "filtered": 1})
    elif key is not None and await ledger.knows_any(tx, source, [key]):
        await tally(tx, source, INTAKE, {"quarantined": -1, "duplicate": 1})
    else:
        await tally(tx, source, INTAKE, {"quarantined": -1, **weights([batch])})
        await ledger.claim(tx, source, () if key is None else (key,), now)
        await freeze(tx, source, entry["source_id"], [batch], now)
