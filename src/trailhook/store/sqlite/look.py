"""Looking at a store's file from outside, while its owner works on it or while nobody does: nothing is changed."""

import time
from pathlib import Path

import apsw

from trailhook.errors import StoreUnavailable
from trailhook.model import Value
from trailhook.store.base import NOTIFY_FAILING
from trailhook.store.moving import Mark
from trailhook.store.sqlite.documents import mark
from trailhook.store.sqlite.engine import BUSY_TIMEOUT_MS
from trailhook.store.sqlite.rows import value

PROGRESS_STEPS = 10_000
"""How many of SQLite's own steps pass between two looks at the time."""


class Look(Value, frozen=True, kw_only=True):
    """What was found."""

    sqlite_version: str
    schema: int
    file_bytes: int
    problems: tuple[str, ...]
    """What the integrity check says is wrong."""
    whole: bool
    """Whether that check came to its end in the time it had."""
    key_check: bytes | None
    mark: Mark | None
    """That of a move away from here."""
    notify_failing: tuple[str, ...] = ()
    """The numbers of the notify URLs that take nothing."""


def look(path: Path, *, key_check: tuple[str, str], within_s: float) -> Look:
    """Read what the file says of itself, checking its integrity for at most `within_s`. Blocks.

    Raises `StoreUnavailable` if it cannot be read.
    """
    try:
        connection = apsw.Connection(
            f"{path.resolve().as_uri()}?mode=ro", apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
        try:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            return _look(connection, path, key_check, within_s)
        finally:
            connection.close()
    except (apsw.Error, OSError) as error:
        raise StoreUnavailable(f"the database {path} cannot be read: {error}") from error


def _look(db: apsw.Connection, path: Path, key_check: tuple[str, str], within_s: float) -> Look:
    schema = int(db.pragma("user_version"))
    known = value(db, "SELECT 1 FROM sqlite_schema WHERE name = 'documents'") is not None
    problems, whole = _problems(db, within_s)
    return Look(
        sqlite_version=apsw.sqlite_lib_version(),
        schema=schema,
        file_bytes=path.stat().st_size,
        problems=problems,
        whole=whole,
        key_check=value(db, "SELECT value FROM documents WHERE kind = ? AND key = ?", key_check) if known else None,
        mark=mark(db) if known else None,
        notify_failing=_failing(db) if known else (),
    )


def _failing(db: apsw.Connection) -> tuple[str, ...]:
    found = db.execute("SELECT key FROM documents WHERE kind = ? ORDER BY key", (NOTIFY_FAILING,))
    return tuple(str(key) for (key,) in found)


def _problems(db: apsw.Connection, within_s: float) -> tuple[tuple[str, ...], bool]:
    end_at = time.monotonic() + within_s
    db.set_progress_handler(lambda: time.monotonic() > end_at, PROGRESS_STEPS)
    try:
        said = [str(text) for (text,) in db.execute("PRAGMA quick_check(10)")]
    except apsw.InterruptError:
        return (), False
    finally:
        db.set_progress_handler(None)
    return tuple(text for text in said if text != "ok"), True
