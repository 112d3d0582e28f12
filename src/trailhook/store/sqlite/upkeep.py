"""The janitor's work, in pieces short enough to go between anybody else's."""

from collections.abc import Callable
from typing import Any

import apsw

from trailhook.store.base import Limits
from trailhook.store.sqlite.rows import Part, rows, value

DAY_S = 86_400
HOUR_S = 3_600
BATCHES_PER_STEP = 100
ROWS_PER_STEP = 2_000
KEYS_PER_STEP = 20_000
STRETCHES_PER_STEP = 20


class SqliteUpkeep(Part):
    """See `store.base.Upkeep`."""

    async def clean(self, *, steps: int = 1) -> int:
        gone = 0
        for _ in range(steps):
            step = await self._clean_once()
            if not step:
                break
            gone += step
        return gone

    async def _clean_once(self) -> int:
        """The rows of the first piece that removes any; 0 once nothing does."""
        pieces: tuple[Callable[[apsw.Connection, Limits, float], int], ...] = (
            _forget_batches,
            _forget_units,
            _forget_documents,
            _forget_sources,
        )
        for piece in pieces:
            if gone := await self._write(piece, self._limits, self._clock.now()):
                return gone
        walked: int | None = 0
        while walked == 0:
            walked = await self._write(_walk_ledger, self._limits, self._clock.now())
        return walked or 0

    async def check(self) -> None:
        await self._write(_touch, self._clock.now())
        await self._read(_look)


def _forget_batches(db: apsw.Connection, limits: Limits, now: float) -> int:
    nums = db.execute(
        """SELECT num FROM batches
        WHERE state IN ('delivered', 'discarded', 'split') AND settled_at < ? ORDER BY settled_at LIMIT ?""",
        (now - limits.retention_days * DAY_S, BATCHES_PER_STEP),
    ).fetchall()
    before = db.total_changes()
    for statement in (
        "DELETE FROM bodies WHERE batch = ?",
        "DELETE FROM columns WHERE batch = ?",
        "DELETE FROM attempts WHERE batch = ?",
        "DELETE FROM batches WHERE num = ?",
    ):
        db.executemany(statement, nums)
    return db.total_changes() - before


OUTSIDE_EVERY_WINDOW = """
    SELECT id FROM units u
    WHERE source = :source AND state = :state AND backfill IN (0, 1) AND found_at < :cutoff
    AND iif(ignored IS NULL, labelled_at, max(labelled_at, modified_at)) < :cutoff
    AND iif(ignored IS NULL, labelled_at, max(labelled_at, modified_at)) < coalesce((
        SELECT iif(substr(u.name, 1, length(w.prefix)) = w.prefix AND w.mark_at > 0, w.mark_at - :look_back_s, NULL)
        FROM watermarks w
        WHERE w.source = u.source AND w.intake = u.intake AND w.place = u.place AND w.prefix <= u.name
        ORDER BY w.prefix DESC LIMIT 1
    ), :cutoff)
    LIMIT :limit"""
"""A prefix that was not listed for long is looked at again from its own mark: its last units are remembered. What is no
log has no label, and is listed by when it was written."""


def _forget_units(db: apsw.Connection, limits: Limits, now: float) -> int:
    window_s = max(limits.look_back_s, limits.reconcile_days * DAY_S)
    wanted: dict[str, Any] = {
        "cutoff": now - window_s,
        "look_back_s": limits.look_back_s,
        "limit": ROWS_PER_STEP,
    }
    for (source,) in db.execute("SELECT source FROM totals").fetchall():
        for state in ("done", "ignored"):
            ids = db.execute(OUTSIDE_EVERY_WINDOW, {**wanted, "source": source, "state": state}).fetchall()
            if ids:
                db.executemany("DELETE FROM units WHERE id = ?", ids)
                return len(ids)
    return 0


def _forget_documents(db: apsw.Connection, _limits: Limits, now: float) -> int:
    db.execute("DELETE FROM documents WHERE kind = 'idempotency' AND changed_at < ?", (now - DAY_S,))
    return db.changes()


def _forget_sources(db: apsw.Connection, _limits: Limits, _now: float) -> int:
    """A removed source's name stays as long as the log has something of it."""
    db.execute(
        "DELETE FROM sources WHERE doc IS NULL AND NOT EXISTS (SELECT 1 FROM batches WHERE source = sources.num)"
    )
    return db.changes()


def _walk_ledger(db: apsw.Connection, limits: Limits, now: float) -> int | None:
    """Look at the next stretches of ledgers and return how many keys went; None if no walk is due anywhere.

    A walk goes over the whole ledger of a source, in the order of its key, and needs no index on `seen`. Its aim is
    cut to the day, so that there is one walk a day.
    """
    walks = rows(db, "SELECT source, clean_to, clean_cursor, clean_next FROM totals ORDER BY clean_cursor IS NULL")
    looked_at = 0
    for walk in walks:
        source, cursor, aim = walk["source"], walk["clean_cursor"], walk["clean_next"]
        if cursor is None:
            cursor, aim = b"", _forget_before(db, source, limits, now)
            if aim <= walk["clean_to"]:
                continue
        gone = _stretch(db, source, cursor, aim)
        looked_at += 1
        if gone or looked_at == STRETCHES_PER_STEP:
            return gone
    return 0 if looked_at else None


def _forget_before(db: apsw.Connection, source: int, limits: Limits, now: float) -> int:
    """The hour before which a key must have been last seen to be forgotten: none of a batch that still matters."""
    cutoff = now - limits.ledger_days * DAY_S
    oldest = value(
        db, "SELECT min(frozen_at) FROM batches WHERE source = ? AND state IN ('waiting', 'dead')", (source,)
    )
    return int(min(cutoff, cutoff if oldest is None else oldest) // DAY_S) * (DAY_S // HOUR_S)


STRETCH_END = "SELECT key FROM ledger WHERE source = ? AND key > ? ORDER BY key LIMIT 1 OFFSET ?"


def _stretch(db: apsw.Connection, source: int, cursor: bytes, aim: int) -> int:
    end = value(db, STRETCH_END, (source, cursor, KEYS_PER_STEP))
    if end is None:
        db.execute("DELETE FROM ledger WHERE source = ? AND key > ? AND seen < ?", (source, cursor, aim))
        gone = db.changes()
        db.execute("UPDATE totals SET clean_to = ?, clean_cursor = NULL WHERE source = ?", (aim, source))
        return gone
    db.execute("DELETE FROM ledger WHERE source = ? AND key > ? AND key <= ? AND seen < ?", (source, cursor, end, aim))
    gone = db.changes()
    db.execute("UPDATE totals SET clean_cursor = ?, clean_next = ? WHERE source = ?", (end, aim, source))
    return gone


def _touch(db: apsw.Connection, now: float) -> None:
    db.execute("UPDATE state SET checked_at = ?", (now,))


def _look(db: apsw.Connection) -> None:
    value(db, "SELECT checked_at FROM state")
