"""An embedded store read out whole, for a move to another home: tables in an order, rows in the order of their keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw

from trailhook.clock import Clock
from trailhook.model import Value
from trailhook.store.base import Limits, Store
from trailhook.store.moving import MARK, Mark
from trailhook.store.sqlite.documents import mark
from trailhook.store.sqlite.engine import Engine
from trailhook.store.sqlite.rows import value
from trailhook.store.sqlite.store import SqliteStore, open_engine

ROWS_MAX = 5_000
BYTES_MAX = 8 * 1024 * 1024
"""Of blobs in one chunk: a chunk is held in memory here and sent as a few messages there."""

Row = dict[str, Any]
Cursor = tuple[Any, ...]
"""The key of the last row of a chunk."""


class Table(Value, frozen=True, kw_only=True):
    """What is read, and by which key."""

    name: str
    key: tuple[str, ...]
    only: str = "TRUE"
    more: str = ""
    """Columns beside its own."""
    table: str = ""
    """Where it is read from, if its name is another."""

    @property
    def origin(self) -> str:
        return self.table or self.name

    def compared(self, operator: str) -> str:
        """The condition on rows by where their key lies."""
        return f"({', '.join(self.key)}) {operator} ({', '.join('?' * len(self.key))})"


_SOURCE_ID = "(SELECT s.id FROM sources s WHERE s.num = t.source) AS source_id"

TABLES = (
    Table(name="documents", key=("kind", "key"), only=f"kind <> '{MARK[0]}'"),
    Table(name="lanes", key=("key",)),
    Table(name="sources", key=("num",)),
    Table(
        name="totals",
        key=("source",),
        more="(SELECT json_group_object(label, number) FROM unit_totals u WHERE u.source = t.source) AS units",
    ),
    Table(name="watermarks", key=("source", "intake", "place", "prefix")),
    Table(name="units", key=("id",), more=_SOURCE_ID),
    Table(name="ledger", key=("source", "key")),
    Table(name="quarantine", key=("num",), more=_SOURCE_ID),
    Table(
        name="batches",
        key=("num",),
        more=_SOURCE_ID + ", (SELECT count(*) FROM attempts a WHERE a.batch = t.num) AS attempts_kept",  # noqa: S608 - literals of ours
    ),
    Table(name="bodies", key=("batch",)),
    Table(name="columns", key=("batch",)),
    Table(
        name="attempts",
        key=("num",),
        more="(SELECT count(*) FROM attempts a WHERE a.batch = t.batch AND a.num < t.num) AS number",
    ),
)
"""All that is worth moving. Named leases are not: whoever held them is dead."""


class Export:
    """A store that nobody serves. The process must own its data directory."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self.store = store
        """The verbs, for comparing what they say here and there."""

    async def mark(self) -> Mark | None:
        """The mark of a move away from here."""
        return await self._engine.read(mark)

    async def set_mark(self, new: Mark | None) -> None:
        """Leave another one, or none. Durable on return."""
        await self.store.change_document(*MARK, lambda _: None if new is None else new.pack())

    async def numbers(self) -> dict[str, int]:
        """The last numbers given out, by what they are for."""
        return await self._engine.read(_numbers)

    async def count(self, table: Table) -> int:
        """How many rows there are to move."""
        return await self._engine.read(_count, table)

    async def count_to(self, table: Table, reached: Cursor) -> int:
        """How many of them lie up to a cursor."""
        return await self._engine.read(_count, table, reached)

    async def chunk(self, table: Table, after: Cursor | None) -> tuple[list[Row], Cursor | None]:
        """The next rows behind `after`, and the cursor behind them; no rows and None at the end."""
        return await self._engine.read(_chunk, table, after)


@asynccontextmanager
async def exporting(path: Path, *, clock: Clock, limits: Limits) -> AsyncIterator[Export]:
    """The store in the file at `path`, brought up to date, its leases ended, whether it bears a mark or not.

    Raises `SettingsError` if a newer Trailhook wrote it, `StoreUnavailable` if it cannot be opened.
    """
    async with open_engine(path) as engine:
        yield Export(engine, SqliteStore(engine, clock, limits))


NUMBERS = {
    "token": "SELECT token FROM state",
    "batch": "SELECT batch FROM state",
    "source": "SELECT max(num) FROM sources",
    "unit": "SELECT seq FROM sqlite_sequence WHERE name = 'units'",
    "quarantine": "SELECT seq FROM sqlite_sequence WHERE name = 'quarantine'",
}


def _numbers(db: apsw.Connection) -> dict[str, int]:
    return {name: value(db, sql) or 0 for name, sql in NUMBERS.items()}


def _count(db: apsw.Connection, table: Table, reached: Cursor | None = None) -> int:
    upto = "" if reached is None else f"AND {table.compared('<=')}"
    sql = f"SELECT count(*) FROM {table.origin} WHERE {table.only} {upto}"  # noqa: S608 - literals of ours
    return int(value(db, sql, reached or ()))


def _chunk(db: apsw.Connection, table: Table, after: Cursor | None) -> tuple[list[Row], Cursor | None]:
    behind = "" if after is None else f"AND {table.compared('>')}"
    columns = f"*, {table.more}" if table.more else "*"
    sql = f"""SELECT {columns} FROM {table.origin} t
        WHERE {table.only} {behind} ORDER BY {", ".join(table.key)} LIMIT {ROWS_MAX}"""  # noqa: S608 - the same
    cursor = db.execute(sql, after or ())
    names: list[str] = []
    found: list[Row] = []
    taken_bytes = 0
    for row in cursor:
        names = names or [column[0] for column in cursor.description]
        found.append(dict(zip(names, row, strict=True)))
        taken_bytes += sum(len(each) for each in row if isinstance(each, bytes))
        if taken_bytes > BYTES_MAX:
            break
    return found, tuple(found[-1][name] for name in table.key) if found else None
