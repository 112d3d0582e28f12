"""The registered sources, what is counted for them, and which of them have something to do."""

from collections.abc import Callable, Sequence
from typing import Any

import apsw
import msgspec

from trailhook.errors import Conflict, NotFound
from trailhook.model import Counts, Job, NewBatch, Source, SourceTotals
from trailhook.store.base import Removed, source_columns
from trailhook.store.sqlite.batches import freeze
from trailhook.store.sqlite.rows import Due, Part, rows, source_num, tuples, value

Change = Callable[[Source], tuple[Source, Sequence[NewBatch]]]


class SqliteSources(Part):
    """See `store.base.Sources`."""

    async def add_source(self, source: Source) -> Source:
        return await self._write(_add, source)

    async def source(self, source_id: str) -> Source:
        return await self._read(_source, source_id)

    async def sources(self) -> Sequence[Source]:
        return await self._read(_sources)

    async def change_source(self, source_id: str, change: Change) -> Source:
        old, new = await self._write(_change, source_id, change, self._clock.now())
        if old.sealed != new.sealed:
            await self._engine.erase()
        return new

    async def remove_source(self, source_id: str) -> Removed:
        removed = await self._write(_remove, source_id)
        await self._engine.erase()
        return removed

    async def totals(self, source_id: str) -> SourceTotals:
        return await self._read(totals_of, source_id)

    async def due(self) -> Sequence[Job]:
        return await self._read(_due, self._due())


def _add(db: apsw.Connection, source: Source) -> Source:
    num = value(
        db,
        """INSERT INTO sources (id, doc, created_at, next_fetch_at, paused, lane, held, listens, notify_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, created_at = excluded.created_at,
            next_fetch_at = excluded.next_fetch_at, paused = excluded.paused, lane = excluded.lane,
            held = excluded.held, listens = excluded.listens, notify_at = excluded.notify_at WHERE doc IS NULL
        RETURNING num""",
        (source.id, *_columns(source)),
    )
    if num is None:
        raise Conflict("a source with this id exists already")
    db.execute("INSERT INTO totals (source) VALUES (?)", (num,))
    return source


_COLUMNS = ("doc", "created_at", "next_fetch_at", "paused", "lane", "held", "listens", "notify_at")


def _columns(source: Source) -> tuple[Any, ...]:
    columns = source_columns(source)
    return tuple(columns[name] for name in _COLUMNS)


def _source(db: apsw.Connection, source_id: str) -> Source:
    doc = value(db, "SELECT doc FROM sources WHERE id = ?", (source_id,))
    if doc is None:
        raise NotFound("no such source")
    return msgspec.json.decode(doc, type=Source)


def numbered(db: apsw.Connection, source_id: str) -> tuple[int, Source]:
    """A source and its short number. Raises `NotFound`."""
    row = db.execute("SELECT num, doc FROM sources WHERE id = ? AND doc IS NOT NULL", (source_id,)).fetchone()
    if row is None:
        raise NotFound("no such source")
    return row[0], msgspec.json.decode(row[1], type=Source)


def _sources(db: apsw.Connection) -> list[Source]:
    docs = db.execute("SELECT doc FROM sources WHERE doc IS NOT NULL ORDER BY created_at, num")
    return [msgspec.json.decode(doc, type=Source) for (doc,) in docs]


def _change(db: apsw.Connection, source_id: str, change: Change, now: float) -> tuple[Source, Source]:
    old = _source(db, source_id)
    new, notices = change(old)
    if new is old and not notices:
        return old, old
    new = new.but(revision=old.revision + 1)
    db.execute(
        """UPDATE sources SET doc = ?, created_at = ?, next_fetch_at = ?, paused = ?, lane = ?, held = ?, listens = ?,
            notify_at = ? WHERE id = ?""",
        (*_columns(new), source_id),
    )
    freeze(db, source_num(db, source_id), notices, now)
    return old, new


def _remove(db: apsw.Connection, source_id: str) -> Removed:
    num = source_num(db, source_id)
    (totals,) = rows(db, "SELECT waiting, dead_lettered, last_sent_event_at FROM totals WHERE source = ?", (num,))
    units = value(db, "SELECT number FROM unit_totals WHERE source = ? AND label = 'waiting'", (num,))
    db.execute("UPDATE sources SET doc = NULL, paused = 1, notify_at = NULL WHERE num = ?", (num,))
    gone = "SELECT num FROM batches WHERE source = ?1 AND state IN ('waiting', 'dead')"
    for statement in (
        f"DELETE FROM bodies WHERE batch IN ({gone})",  # noqa: S608 - both parts are literals of ours
        f"DELETE FROM columns WHERE batch IN ({gone})",  # noqa: S608
        f"DELETE FROM attempts WHERE batch IN ({gone})",  # noqa: S608
        "DELETE FROM batches WHERE source = ?1 AND state IN ('waiting', 'dead')",
        "DELETE FROM units WHERE source = ?1",
        "DELETE FROM ledger WHERE source = ?1",
        "DELETE FROM quarantine WHERE source = ?1",
        "DELETE FROM watermarks WHERE source = ?1",
        "DELETE FROM unit_totals WHERE source = ?1",
        "DELETE FROM samples WHERE source = ?1",
        "DELETE FROM totals WHERE source = ?1",
    ):
        db.execute(statement, (num,))
    return Removed(
        waiting=totals["waiting"],
        dead_lettered=totals["dead_lettered"],
        units=units or 0,
        last_event_at=totals["last_sent_event_at"],
    )


def totals_of(db: apsw.Connection, source_id: str) -> SourceTotals:
    """Raises `NotFound`."""
    num = source_num(db, source_id)
    (totals,) = rows(db, "SELECT * FROM totals WHERE source = ?", (num,))
    units = tuples(db, "SELECT label, number FROM unit_totals WHERE source = ? AND number <> 0", (num,))
    return SourceTotals(
        counts=Counts(**{name: totals[name] for name in Counts.__struct_fields__}),
        waiting_batches=totals["waiting_batches"],
        waiting_bytes=totals["waiting_bytes"],
        dead_batches=totals["dead_batches"],
        dead_bytes=totals["dead_bytes"],
        replayed=totals["replayed"],
        units=dict(units),
        oldest_waiting_at=_oldest_waiting_at(db, num),
        last_event_at=totals["last_event_at"],
    )


OLDEST_BATCH = "SELECT min(known_at) FROM batches WHERE source = ? AND state = 'waiting' AND kind = 'events'"
OLDEST_UNIT = "SELECT min(found_at) FROM units WHERE source = ? AND state = 'waiting' AND backfill = 0"


def _oldest_waiting_at(db: apsw.Connection, num: int) -> float | None:
    found = [value(db, sql, (num,)) for sql in (OLDEST_BATCH, OLDEST_UNIT)]
    return min((at for at in found if at is not None), default=None)


DUE = """
    SELECT s.id,
        s.next_fetch_at <= :now OR s.next_fetch_at > :horizon,
        EXISTS (SELECT 1 FROM units
            WHERE source = s.num AND backfill = 0 AND state = 'waiting' AND available_at <= :now)
        OR EXISTS (SELECT 1 FROM units
            WHERE source = s.num AND backfill = 0 AND state = 'waiting' AND available_at > :horizon),
        EXISTS (SELECT 1 FROM batches WHERE source = s.num AND state = 'waiting' AND available_at <= :now)
        OR EXISTS (SELECT 1 FROM batches WHERE source = s.num AND state = 'waiting' AND available_at > :horizon),
        EXISTS (SELECT 1 FROM lanes WHERE key = s.lane AND waits_until_at > :now AND waits_until_at <= :horizon),
        s.held, s.listens
    FROM sources s WHERE NOT s.paused AND s.doc IS NOT NULL"""
TO_TELL = "SELECT id FROM sources WHERE notify_at <= :now OR notify_at > :horizon"


def _due(db: apsw.Connection, due: Due) -> list[Job]:
    times = msgspec.structs.asdict(due)
    jobs = [
        Job(kind=kind, source_id=source_id)
        for source_id, poll, intake, deliver, lane_waits, held, listens in db.execute(DUE, times)
        for kind, flag in (
            ("poll", poll),
            ("intake", intake),
            ("deliver", held or (deliver and not lane_waits)),
            ("listen", listens),
        )
        if flag
    ]
    return jobs + [Job(kind="notify", source_id=source_id) for (source_id,) in db.execute(TO_TELL, times)]
