"""The way in: units and their leases, watermarks, the ledger, and the intake transaction."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Sequence

import apsw
import msgspec

from trailhook.errors import KeysTaken, LeaseLost
from trailhook.model import Counts, FoundUnit, NewQuarantined, Unit, UnitEnd, UnitState, Watermark
from trailhook.store.base import Commit
from trailhook.store.sqlite.batches import freeze
from trailhook.store.sqlite.rows import (
    Due,
    Part,
    next_tokens,
    rows,
    source_num,
    structs,
    tally,
    tally_units,
    tuples,
    value,
)

HOUR_S = 3_600
SEEN_AGAIN_H = 24
"""A key that is met again is remembered anew, at most once a day."""


class SqliteUnits(Part):
    """See `store.base.Units`."""

    async def watermarks(self, source_id: str) -> Sequence[Watermark]:
        return await self._read(_watermarks, source_id)

    async def add_units(self, source_id: str, found: Sequence[FoundUnit], marks: Sequence[Watermark] = ()) -> int:
        return await self._write(_add_units, source_id, found, marks, self._clock.now())

    async def lease_units(
        self, source_id: str, *, limit: int, bytes_max: int, lease_s: float, backfill: bool = False
    ) -> Sequence[Unit]:
        return await self._lease(_lease_units, source_id, limit, bytes_max, lease_s, backfill, self._due())

    async def oldest_unit_at(self, source_id: str) -> float | None:
        return await self._read(_oldest_unit_at, source_id)

    async def release_units(self, source_id: str, *, limit: int) -> int:
        return await self._write(_release, source_id, self._clock.now(), limit)

    async def backfill_left(self, source_id: str) -> int:
        return await self._read(_backfill_left, source_id)

    async def postpone_units(
        self, source_id: str, token: int, unit_ids: Sequence[int], *, due_at: float, detail: str, attempt: bool
    ) -> None:
        await self._write(_postpone, source_id, token, unit_ids, due_at, detail, attempt)

    async def known_keys(self, source_id: str, keys: Sequence[bytes]) -> set[bytes]:
        hour = int(self._clock.now() // HOUR_S)
        known = await self._read(_known_keys, source_id, keys)
        if fading := tuple(key for key, seen in known.items() if seen <= hour - SEEN_AGAIN_H):
            await self._write(_see_again, source_id, fading, hour)
        return set(known)

    async def commit(self, commit: Commit) -> None:
        await self._write(_commit, commit, self._clock.now())

    async def units_named(self, source_id: str, place: str, names: Sequence[str]) -> Sequence[Unit]:
        return await self._read(_units_named, source_id, place, names)


def _watermarks(db: apsw.Connection, source_id: str) -> list[Watermark]:
    found = rows(
        db,
        """SELECT intake, place, prefix, mark_at, reconciled_at, start_from_at, rhythm FROM watermarks
        WHERE source = (SELECT num FROM sources WHERE id = ?)""",
        (source_id,),
    )
    return structs(Watermark, [{**row, "rhythm": msgspec.json.decode(row["rhythm"])} for row in found])


def _add_units(
    db: apsw.Connection, source_id: str, found: Sequence[FoundUnit], marks: Sequence[Watermark], now: float
) -> int:
    source = source_num(db, source_id)
    db.executemany(
        """INSERT OR REPLACE INTO watermarks
            (source, intake, place, prefix, mark_at, reconciled_at, start_from_at, rhythm)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        [
            (
                *(source, each.intake, each.place, each.prefix, each.mark_at, each.reconciled_at, each.start_from_at),
                msgspec.json.encode(each.rhythm),
            )
            for each in marks
        ],
    )
    _promote(db, source, [_identity(unit) for unit in found if not unit.backfill])
    added = db.executemany(
        """INSERT OR IGNORE INTO units (source, identity, intake, place, name, version, endpoint_url, region,
            size_bytes, labelled_at, modified_at, ignored, backfill, state, found_at, available_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING ignored""",
        [
            (
                *(source, _identity(unit), unit.intake, unit.place, unit.name, unit.version, unit.endpoint_url),
                *(unit.region, unit.size_bytes, unit.labelled_at, unit.modified_at, unit.ignored, unit.backfill),
                *(UnitState.IGNORED if unit.ignored else UnitState.WAITING, now, now),
            )
            for unit in found
        ],
    )
    labels = Counter(f"ignored:{ignored}" if ignored else "waiting" for (ignored,) in added)
    tally_units(db, source, labels)
    return labels.total()


def _backfill_left(db: apsw.Connection, source_id: str) -> int:
    source = value(db, "SELECT num FROM sources WHERE id = ?", (source_id,))
    return int(value(db, BACKFILL_LEFT, (source,)))


BACKFILL_LEFT = "SELECT count(*) FROM units WHERE source = ? AND state = 'waiting' AND backfill = 1"


def _promote(db: apsw.Connection, source: int, identities: Sequence[bytes]) -> None:
    """What was found as it came is not to wait for a backfill."""
    if identities and value(db, f"{BACKFILL_LEFT} LIMIT 1", (source,)):
        db.execute(
            """UPDATE units SET backfill = 0
            WHERE source = ? AND state = 'waiting' AND backfill = 1 AND identity IN (SELECT value FROM carray(?))""",
            (source, apsw.carray(tuple(identities))),
        )


def _identity(unit: FoundUnit) -> bytes:
    """Sixteen bytes in the place of four long texts: the index over them is the largest there is.

    It begins with what they have in common who are versions of one object, so that they are found by its name.
    """
    return _half(unit.place, unit.name) + _half(unit.intake, unit.version)


def _half(*texts: str) -> bytes:
    return hashlib.blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).digest()


NAMED_UNITS = """
    SELECT u.* FROM unit_rows u WHERE u.id IN (
        SELECT id FROM units WHERE source = (SELECT num FROM sources WHERE id = ?)
        AND identity BETWEEN ? AND ? AND place = ? AND name = ?
    )"""


def _units_named(db: apsw.Connection, source_id: str, place: str, names: Sequence[str]) -> list[Unit]:
    found: list[dict[str, object]] = []
    for name in dict.fromkeys(names):
        half = _half(place, name)
        found += rows(db, NAMED_UNITS, (source_id, half + b"\x00" * 8, half + b"\xff" * 8, place, name))
    return structs(Unit, found)


NEXT_UNITS = """
    SELECT id, size_bytes FROM units INDEXED BY units_next
    WHERE source = ? AND backfill = ? AND state = 'waiting' AND (available_at <= ? OR available_at > ?)
    ORDER BY labelled_at, name LIMIT ?"""


CHOSEN_UNITS = "SELECT u.* FROM carray(?) chosen CROSS JOIN unit_rows u WHERE u.id = chosen.value"


def _lease_units(
    db: apsw.Connection, source_id: str, limit: int, bytes_max: int, lease_s: float, backfill: bool, due: Due
) -> list[Unit]:
    source = value(db, "SELECT num FROM sources WHERE id = ?", (source_id,))
    if backfill and tuples(db, NEXT_UNITS, (source, False, due.now, due.horizon, 1)):
        return []
    chosen: list[int] = []
    total_bytes = 0
    for unit_id, size_bytes in tuples(db, NEXT_UNITS, (source, backfill, due.now, due.horizon, limit)):
        total_bytes += size_bytes
        if chosen and total_bytes > bytes_max:
            break
        chosen.append(unit_id)
    if not chosen:
        return []
    (token,) = next_tokens(db, 1)
    ids = apsw.carray(array("q", chosen))
    db.execute(
        "UPDATE units SET token = ?, available_at = ? WHERE id IN (SELECT value FROM carray(?))",
        (token, due.now + lease_s, ids),
    )
    return structs(Unit, rows(db, CHOSEN_UNITS, (ids,)))


def _postpone(
    db: apsw.Connection,
    source_id: str,
    token: int,
    unit_ids: Sequence[int],
    due_at: float,
    detail: str,
    attempt: bool,
) -> None:
    db.executemany(
        """UPDATE units SET token = 0, available_at = ?, detail = ?, attempts = attempts + ?
        WHERE id = ? AND token = ? AND token <> 0 AND source = (SELECT num FROM sources WHERE id = ?)""",
        [(due_at, detail, attempt, unit_id, token, source_id) for unit_id in unit_ids],
    )


OLDEST_LABEL = "SELECT min(labelled_at) FROM units WHERE source = ? AND backfill = ? AND state = 'waiting'"


def _oldest_unit_at(db: apsw.Connection, source_id: str) -> float | None:
    source = value(db, "SELECT num FROM sources WHERE id = ?", (source_id,))
    found = [value(db, OLDEST_LABEL, (source, backfill)) for backfill in (False, True)]
    return min((at for at in found if at is not None), default=None)


POSTPONED_UNITS = """
    SELECT id FROM units INDEXED BY units_due
    WHERE source = ? AND backfill IN (0, 1) AND state = 'waiting' AND available_at > ? AND token = 0 LIMIT ?"""


def _release(db: apsw.Connection, source_id: str, now: float, limit: int) -> int:
    source = value(db, "SELECT num FROM sources WHERE id = ?", (source_id,))
    ids = array("q", (unit_id for (unit_id,) in tuples(db, POSTPONED_UNITS, (source, now, limit))))
    if ids:
        wanted = (now, apsw.carray(ids))
        db.execute("UPDATE units SET available_at = ? WHERE id IN (SELECT value FROM carray(?))", wanted)
    return len(ids)


KNOWN_KEYS = """
    SELECT l.key, l.seen FROM carray(?) wanted CROSS JOIN ledger l
    WHERE l.source = (SELECT num FROM sources WHERE id = ?) AND l.key = wanted.value"""


def _known_keys(db: apsw.Connection, source_id: str, keys: Sequence[bytes]) -> dict[bytes, int]:
    if not keys:
        return {}
    return dict(tuples(db, KNOWN_KEYS, (apsw.carray(tuple(keys)), source_id)))


def _see_again(db: apsw.Connection, source_id: str, keys: tuple[bytes, ...], hour: int) -> None:
    db.execute(
        """UPDATE ledger SET seen = ? WHERE source = (SELECT num FROM sources WHERE id = ?)
        AND key IN (SELECT value FROM carray(?))""",
        (hour, source_id, apsw.carray(keys)),
    )


def _commit(db: apsw.Connection, commit: Commit, now: float) -> None:
    source = source_num(db, commit.source_id)
    _end_units(db, source, commit.token, commit.units, now)
    claim(db, source, commit.keys, now)
    freeze(db, source, commit.batches, now)
    for entry in commit.quarantined:
        _quarantine_record(db, source, entry, now)
    tally(db, source, {name: getattr(commit.counts, name) for name in Counts.__struct_fields__ if name != "waiting"})
    if commit.last_event_at is not None:
        db.execute(
            "UPDATE totals SET last_event_at = max(coalesce(last_event_at, ?1), ?1) WHERE source = ?2",
            (commit.last_event_at, source),
        )


def claim(db: apsw.Connection, source: int, keys: Sequence[bytes], now: float) -> None:
    """Enter keys into the ledger. Raises `KeysTaken` if one of them is there."""
    if not keys:
        return
    db.execute(
        "INSERT OR IGNORE INTO ledger (source, key, seen) SELECT ?, value, ? FROM carray(?)",
        (source, int(now // HOUR_S), apsw.carray(tuple(keys))),
    )
    if db.changes() != len(keys):
        raise KeysTaken("another transaction claimed some of these keys first")


def _end_units(db: apsw.Connection, source: int, token: int, ends: Sequence[UnitEnd], now: float) -> None:
    """WAITING keeps the lease: more slices follow under it."""
    before = db.total_changes()
    db.executemany(
        """UPDATE units SET state = ?, records = ?, records_taken = ?, reason = ?, detail = ?, ignored = ?,
            sha256 = ?, token = iif(?, token, 0)
        WHERE id = ? AND source = ? AND token = ? AND token <> 0""",
        [
            (
                *(end.state, end.records, end.records_taken, end.reason, end.detail, _ignored(end)),
                *(end.sha256, end.state is UnitState.WAITING, end.unit_id, source, token),
            )
            for end in ends
        ],
    )
    if db.total_changes() - before != len(ends):
        raise LeaseLost("somebody else holds one of these units now")
    ended = [end for end in ends if end.state is not UnitState.WAITING]
    labels = Counter(f"ignored:{end.reason}" if _ignored(end) else str(end.state) for end in ended)
    tally_units(db, source, {"waiting": -len(ended), **labels})
    db.executemany(
        """INSERT INTO quarantine (kind, source, unit_id, place, name, reason, detail, at, body)
        SELECT 'unit', source, id, place, name, reason, detail, ?, x'' FROM units WHERE id = ?""",
        [(now, end.unit_id) for end in ended if end.state is UnitState.QUARANTINED],
    )


def _ignored(end: UnitEnd) -> str | None:
    return end.reason if end.state is UnitState.IGNORED else None


def _quarantine_record(db: apsw.Connection, source: int, entry: NewQuarantined, now: float) -> None:
    db.execute(
        """INSERT INTO quarantine (kind, source, unit_id, place, name, position, reason, detail, at, body)
        SELECT 'record', source, id, place, name, ?, ?, ?, ?, ? FROM units WHERE id = ? AND source = ?""",
        (entry.position, entry.reason, entry.detail, now, entry.body, entry.unit_id, source),
    )
