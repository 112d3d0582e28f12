"""What could not be read, and its ways back."""

from collections.abc import Sequence
from typing import Any

import apsw

from trailhook.errors import KeysTaken, NotFound
from trailhook.model import NewBatch, Quarantined
from trailhook.store.sqlite.batches import freeze
from trailhook.store.sqlite.rows import Part, rows, structs, tally, tally_units, tuples, value
from trailhook.store.sqlite.units import claim

LISTED = """
    SELECT id, kind, source_id, place, name, position, reason, detail, at, unit_id FROM quarantine_rows
    WHERE num = ?"""


class SqliteQuarantine(Part):
    """See `store.base.Units`."""

    async def quarantine(
        self, source_id: str | None = None, *, limit: int = 50, before: str | None = None
    ) -> Sequence[Quarantined]:
        return await self._read(_quarantine, source_id, limit, before)

    async def quarantined(self, quarantine_id: str) -> Quarantined:
        return await self._read(_quarantined, quarantine_id)

    async def requeue_unit(self, quarantine_id: str) -> None:
        await self._write(_requeue, quarantine_id, self._clock.now())

    async def release_record(self, quarantine_id: str, *, key: bytes | None, batch: NewBatch | None) -> None:
        await self._write(_release, quarantine_id, key, batch, self._clock.now())


def _number(quarantine_id: str) -> int:
    kind, _, number = quarantine_id.partition("-")
    if kind not in ("u", "r") or not (number.isascii() and number.isdigit()) or len(number) > 18:  # noqa: PLR2004
        raise NotFound("no such entry in quarantine")
    return int(number)


def _quarantine(db: apsw.Connection, source_id: str | None, limit: int, before: str | None) -> list[Quarantined]:
    wanted: tuple[Any, ...]
    last = 2**63 - 1 if before is None else _number(before)
    sql, wanted = "SELECT num FROM quarantine WHERE num < ? ORDER BY num DESC LIMIT ?", (last, limit)
    if source_id is not None:
        source = value(db, "SELECT num FROM sources WHERE id = ?", (source_id,))
        sql = "SELECT num FROM quarantine WHERE source = ? AND num < ? ORDER BY num DESC LIMIT ?"
        wanted = (source, *wanted)
    return [entry for num in tuples(db, sql, wanted) for entry in structs(Quarantined, rows(db, LISTED, num))]


def _quarantined(db: apsw.Connection, quarantine_id: str) -> Quarantined:
    found = rows(db, "SELECT * FROM quarantine_rows WHERE num = ? AND id = ?", (_number(quarantine_id), quarantine_id))
    if not found:
        raise NotFound("no such entry in quarantine")
    return structs(Quarantined, found)[0]


def _take_out(db: apsw.Connection, quarantine_id: str, kind: str) -> tuple[int, int]:
    """Remove the entry and say whose it was: the source's number and the unit's id. Raises `NotFound`."""
    entry = db.execute(
        "DELETE FROM quarantine WHERE num = ? AND kind = ? AND substr(kind, 1, 1) = ? RETURNING source, unit_id",
        (_number(quarantine_id), kind, quarantine_id[0]),
    ).fetchone()
    if entry is None:
        raise NotFound("no such entry in quarantine")
    return entry[0], entry[1]


def _requeue(db: apsw.Connection, quarantine_id: str, now: float) -> None:
    source, unit_id = _take_out(db, quarantine_id, "unit")
    db.execute(
        """UPDATE units SET state = 'waiting', backfill = 0, available_at = ?, attempts = 0, reason = '', detail = ''
        WHERE id = ?""",
        (now, unit_id),
    )
    tally_units(db, source, {"quarantined": -1, "waiting": 1})


def _release(db: apsw.Connection, quarantine_id: str, key: bytes | None, batch: NewBatch | None, now: float) -> None:
    source, _ = _take_out(db, quarantine_id, "record")
    if batch is None:
        tally(db, source, {"quarantined": -1, "filtered": 1})
        return
    try:
        claim(db, source, () if key is None else (key,), now)
    except KeysTaken:
        tally(db, source, {"quarantined": -1, "duplicate": 1})
        return
    freeze(db, source, (batch,), now)
    tally(db, source, {"quarantined": -1})
