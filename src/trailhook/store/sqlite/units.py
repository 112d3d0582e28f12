"""The way in: units and their leases, watermarks, the ledger, and the intake transaction."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Sequence

import apsw

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

    async def lease_units(self, source_id: str, *, limit: int, bytes_max: int, lease_s: float) -> Sequence[Unit]:
        return await self._write(_lease_units, source_id, limit, bytes_max, lease_s, self._due())

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


def _watermarks(db: apsw.Connection, source_id: str) -> list[Watermark]:
    found = rows(
        db,
        """SELECT intake, place, prefix, mark_at, reconciled_at, start_from_at FROM watermarks
        WHERE source = (SELECT num FROM sources WHERE id = ?)""",
        (source_id,),
    )
    return structs(Watermark, found)


def _add_units(
    db: apsw.Connection, source_id: str, found: Sequence[FoundUnit], marks: Sequence[Watermark], now: float
) -> int:
    source = source_num(db, source_id)
    db.executemany(
        """INSERT OR REPLACE INTO watermarks (source, intake, place, prefix, mark_at, reconciled_at, start_from_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)""",
        [
            (source, each.intake, each.place, each.prefix, each.mark_at, each.reconciled_at, each.start_from_at)
            for each in marks
        ],
    )
    added = db.executemany(
        """INSERT OR IGNORE INTO units (source, identity, intake, place, name, version, endpoint_url, region,
            size_bytes, labelled_at, modified_at, ignored, state, found_at, available_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING ignored""",
        [
            (
                *(source, _identity(unit), unit.intake, unit.place, unit.name, unit.version, unit.endpoint_url),
                *(unit.region, unit.size_bytes, unit.labelled_at, unit.modified_at, unit.ignored),
                *(UnitState.IGNORED if unit.ignored else UnitState.WAITING, now, now),
            )
            for unit in found
        ],
    )
    labels = Counter(f"ignored:{ignored}" if ignored else "waiting" for (ignored,) in added)
    tally_units(db, source, labels)
    return labels.total()


def _identity(unit: FoundUnit) -> bytes:
    """Sixteen bytes in the place of four long texts: the index over them is the largest there is."""
    text = "\0".join((unit.intake, unit.place, unit.name, unit.version))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


NEXT_UNITS = """
    SELECT id, size_bytes FROM units INDEXED BY units_next
    WHERE source = ? AND state = 'waiting' AND (available_at <= ? OR available_at > ?)
    ORDER BY labelled_at, name LIMIT ?"""


CHOSEN_UNITS = "SELECT u.* FROM carray(?) chosen CROSS JOIN unit_rows u WHERE u.id = chosen.value"


def _lease_units(
    db: apsw.Connection, source_id: str, limit: int, bytes_max: int, lease_s: float, due: Due
) -> list[Unit]:
    source = value(db, "SELECT num FROM sources WHERE id = ?", (source_id,))
    chosen: list[int] = []
    total_bytes = 0
    for unit_id, size_bytes in tuples(db, NEXT_UNITS, (source, due.now, due.horizon, limit)):
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
            token = iif(?, token, 0)
        WHERE id = ? AND source = ? AND token = ? AND token <> 0""",
        [
            (
                *(end.state, end.records, end.records_taken, end.reason, end.detail, _ignored(end)),
                *(end.state is UnitState.WAITING, end.unit_id, source, token),
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
