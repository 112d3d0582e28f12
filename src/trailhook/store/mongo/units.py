"""The way in: units and their leases, watermarks, and the intake transaction."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress

from pymongo import ReplaceOne, UpdateOne

from trailhook.errors import LeaseLost, NotFound
from trailhook.model import Counts, FoundUnit, Unit, UnitEnd, UnitState, Watermark
from trailhook.store.base import Commit
from trailhook.store.mongo import ledger
from trailhook.store.mongo.batches import freeze, weights
from trailhook.store.mongo.engine import Database, Row, Transaction
from trailhook.store.mongo.quarantine import quarantine_all
from trailhook.store.mongo.rows import (
    INTAKE,
    POLL,
    Due,
    Part,
    live_num,
    plain,
    scoped,
    source_num,
    struct,
    tally,
    within,
)


class MongoUnits(Part):
    """See `store.base.Units`."""

    async def watermarks(self, source_id: str) -> Sequence[Watermark]:
        return await self._ask(_watermarks, source_id)

    async def add_units(self, source_id: str, found: Sequence[FoundUnit], marks: Sequence[Watermark] = ()) -> int:
        return await self._write(_add_units, source_id, found, marks, self._clock.now())

    async def lease_units(
        self, source_id: str, *, limit: int, bytes_max: int, lease_s: float, backfill: bool = False
    ) -> Sequence[Unit]:
        return await self._write(_lease_units, source_id, limit, bytes_max, lease_s, backfill, self._due())

    async def oldest_unit_at(self, source_id: str) -> float | None:
        return await self._ask(_oldest_unit_at, source_id)

    async def release_units(self, source_id: str, *, limit: int) -> int:
        return await self._write(_release, source_id, limit, self._clock.now())

    async def backfill_left(self, source_id: str) -> int:
        return await self._ask(_backfill_left, source_id)

    async def postpone_units(
        self, source_id: str, token: int, unit_ids: Sequence[int], *, due_at: float, detail: str, attempt: bool
    ) -> None:
        await self._write(_postpone, source_id, token, unit_ids, due_at, detail, attempt)

    async def known_keys(self, source_id: str, keys: Sequence[bytes]) -> set[bytes]:
        now = self._clock.now()
        known, fading = await self._ask(ledger.known_keys, source_id, keys, now)
        if fading:
            with suppress(NotFound):
                await self._write(ledger.see_again, source_id, fading, now)
        return known

    async def commit(self, commit: Commit) -> None:
        await self._write(_commit, commit, self._clock.now())

    async def units_named(self, source_id: str, place: str, names: Sequence[str]) -> Sequence[Unit]:
        return await self._ask(_units_named, source_id, place, names)


def _digest(*texts: str, size: int = 16) -> bytes:
    """A few bytes in the place of long texts: the index over them is the largest there is."""
    return hashlib.blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=size).digest()


def _identity(source: int, unit: FoundUnit) -> bytes:
    """It begins with what they have in common who are versions of one object, so that they are found by its name."""
    return scoped(source, _half(unit.place, unit.name) + _half(unit.intake, unit.version))


def _half(*texts: str) -> bytes:
    return _digest(*texts, size=8)


async def _units_named(db: Database, source_id: str, place: str, names: Sequence[str]) -> list[Unit]:
    source = await source_num(db, source_id)
    if source is None or not names:
        return []
    halves = [scoped(source, _half(place, name)) for name in set(names)]
    versions = [{"identity": {"$gte": half + b"\x00" * 8, "$lte": half + b"\xff" * 8}} for half in halves]
    wanted = {"$or": versions, "place": place, "name": {"$in": list(names)}}
    return [struct(Unit, row, id=row["_id"]) async for row in db.units.find(wanted, hint="identity")]


async def _watermarks(db: Database, source_id: str) -> list[Watermark]:
    source = await source_num(db, source_id)
    if source is None:
        return []
    return [struct(Watermark, row) async for row in db.watermarks.find({"_id": within(source)})]


async def _add_units(
    tx: Transaction, source_id: str, found: Sequence[FoundUnit], marks: Sequence[Watermark], now: float
) -> int:
    source = await live_num(tx, source_id)
    new = await _not_known(tx, source, found)
    labels = Counter(f"ignored:{unit.ignored}" if unit.ignored else "waiting" for unit in new.values())
    await tally(tx, source, POLL, _unit_changes(labels))
    if new:
        numbers = await tx.engine.next_numbers("unit", len(new))
        rows = [
            _row(unit, num, source, source_id, identity, now)
            for num, (identity, unit) in zip(numbers, new.items(), strict=True)
        ]
        await tx.db.units.insert_many(rows, session=tx.session)
    if marks:
        await tx.db.watermarks.bulk_write([_set_mark(source, mark) for mark in marks], session=tx.session)
    return len(new)


async def _not_known(tx: Transaction, source: int, found: Iterable[FoundUnit]) -> dict[bytes, FoundUnit]:
    """The units that are new, by what makes them themselves."""
    units: dict[bytes, FoundUnit] = {}
    for unit in found:
        units.setdefault(_identity(source, unit), unit)
    wanted = {"identity": {"$in": list(units)}}
    promoted: list[int] = []
    async for row in tx.db.units.find(wanted, {"identity": 1, "backfill": 1, "state": 1}, session=tx.session):
        known = units.pop(row["identity"])
        if row["backfill"] and row["state"] == UnitState.WAITING and not known.backfill:
            promoted.append(row["_id"])
    if promoted:  # what was found as it came is not to wait for a backfill
        await tx.db.units.update_many({"_id": {"$in": promoted}}, {"$set": {"backfill": False}}, session=tx.session)
    return units


def _unit_changes(labels: Counter[str]) -> dict[str, int]:
    return {f"units.{label}": number for label, number in labels.items()}


def _row(unit: FoundUnit, num: int, source: int, source_id: str, identity: bytes, now: float) -> Row:
    return plain(unit) | {
        "_id": num,
        "source": source,
        "source_id": source_id,
        "identity": identity,
        "state": (UnitState.IGNORED if unit.ignored else UnitState.WAITING).value,
        "found_at": now,
        "attempts": 0,
        "records": 0,
        "records_taken": 0,
        "reason": "",
        "detail": "",
        "token": 0,
        "available_at": now,
        "sha256": b"",
    }


def _set_mark(source: int, mark: Watermark) -> ReplaceOne[Row]:
    return ReplaceOne({"_id": mark_id(source, mark)}, plain(mark), upsert=True)


def mark_id(source: int, mark: Watermark) -> bytes:
    """What makes a watermark itself."""
    return scoped(source, _digest(mark.intake, mark.place, mark.prefix))


IN_ORDER = [("labelled_at", 1), ("name", 1)]


async def _backfill_left(db: Database, source_id: str) -> int:
    waiting = {"source": await source_num(db, source_id), "state": "waiting", "backfill": True}
    return await db.units.count_documents(waiting, hint="due")


async def _oldest_unit_at(db: Database, source_id: str) -> float | None:
    wanted = {"source": await source_num(db, source_id), "state": "waiting"}
    found = [
        await db.units.find_one({**wanted, "backfill": backfill}, {"labelled_at": 1}, sort=IN_ORDER, hint="next")
        for backfill in (False, True)
    ]
    return min((row["labelled_at"] for row in found if row is not None), default=None)


async def _release(tx: Transaction, source_id: str, limit: int, now: float) -> int:
    wanted = {
        "source": await source_num(tx.db, source_id),
        "state": "waiting",
        "backfill": {"$in": [False, True]},
        "available_at": {"$gt": now},
        "token": 0,
    }
    found = tx.db.units.find(wanted, {"_id": 1}, limit=limit, hint="due", session=tx.session)
    ids = [row["_id"] async for row in found]
    if ids:
        await tx.db.units.update_many({"_id": {"$in": ids}}, {"$set": {"available_at": now}}, session=tx.session)
    return len(ids)


async def _lease_units(
    tx: Transaction, source_id: str, limit: int, bytes_max: int, lease_s: float, backfill: bool, due: Due
) -> list[Unit]:
    source = await source_num(tx.db, source_id)
    wanted = {"source": source, "state": "waiting", "backfill": backfill, **due.either("available_at")}
    if backfill and await tx.db.units.find_one({**wanted, "backfill": False}, hint="due", session=tx.session):
        return []
    chosen: list[Row] = []
    total_bytes = 0
    async for row in tx.db.units.find(wanted, sort=IN_ORDER, limit=limit, hint="next", session=tx.session):
        total_bytes += row["size_bytes"]
        if chosen and total_bytes > bytes_max:
            break
        chosen.append(row)
    if not chosen:
        return []
    (token,) = await tx.engine.next_numbers("token", 1)
    await tx.db.units.update_many(
        {"_id": {"$in": [row["_id"] for row in chosen]}},
        {"$set": {"token": token, "available_at": due.now + lease_s}},
        session=tx.session,
    )
    return [struct(Unit, row, id=row["_id"], token=token) for row in chosen]


async def _postpone(
    tx: Transaction,
    source_id: str,
    token: int,
    unit_ids: Sequence[int],
    due_at: float,
    detail: str,
    attempt: bool,
) -> None:
    held = {"_id": {"$in": list(unit_ids)}, "token": token, "source_id": source_id}
    if token:
        await tx.db.units.update_many(
            held,
            {"$set": {"token": 0, "available_at": due_at, "detail": detail}, "$inc": {"attempts": int(attempt)}},
            session=tx.session,
        )


async def _commit(tx: Transaction, commit: Commit, now: float) -> None:
    source = await live_num(tx, commit.source_id)
    newest = {} if commit.last_event_at is None else {"last_event_at": commit.last_event_at}
    await tally(tx, source, INTAKE, _counted(commit), newest)
    await _end_units(tx, source, commit)
    await ledger.claim(tx, source, commit.keys, now)
    await freeze(tx, source, commit.source_id, commit.batches, now)
    unreadable = [end for end in commit.units if end.state is UnitState.QUARANTINED]
    await quarantine_all(tx, source, commit.source_id, unreadable, commit.quarantined, now)


def _counted(commit: Commit) -> dict[str, int]:
    """Everything that an intake transaction adds to the totals."""
    counts = {name: getattr(commit.counts, name) for name in Counts.__struct_fields__ if name != "waiting"}
    ended = Counter[str]()
    for end in commit.units:
        if end.state is not UnitState.WAITING:
            ended["waiting"] -= 1
            ended[f"ignored:{end.reason}" if end.state is UnitState.IGNORED else end.state.value] += 1
    return counts | weights(commit.batches) | _unit_changes(ended)


async def _end_units(tx: Transaction, source: int, commit: Commit) -> None:
    """Raises `LeaseLost` unless all of them are held."""
    if not commit.units:
        return
    ends = [_end_unit(source, commit.token, end) for end in commit.units]
    ended = await tx.db.units.bulk_write(ends, session=tx.session)
    if ended.matched_count != len(ends) or not commit.token:
        raise LeaseLost("somebody else holds one of these units now")


def _end_unit(source: int, token: int, end: UnitEnd) -> UpdateOne:
    """WAITING keeps the lease: more slices follow under it."""
    changes: Row = {
        "state": end.state.value,
        "records": end.records,
        "records_taken": end.records_taken,
        "reason": end.reason,
        "detail": end.detail,
        "ignored": end.reason if end.state is UnitState.IGNORED else None,
        "sha256": end.sha256,
    }
    if end.state is not UnitState.WAITING:
        changes["token"] = 0
    return UpdateOne({"_id": end.unit_id, "source": source, "token": token}, {"$set": changes})
