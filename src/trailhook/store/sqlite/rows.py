"""What every part of the store does with rows: reading them as values, counting, numbering."""

from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

import apsw
import msgspec

from trailhook.clock import Clock
from trailhook.errors import NotFound
from trailhook.store.base import Limits
from trailhook.store.sqlite.engine import Engine

P = ParamSpec("P")
T = TypeVar("T")
Bindings = tuple[Any, ...] | Mapping[str, Any]


class Due(msgspec.Struct, frozen=True):
    """The present: what is due at or before `now`, or beyond `horizon` (a clock that jumped back), is due."""

    now: float
    horizon: float


class Part:
    """What the verbs of the store are made of."""

    def __init__(self, engine: Engine, clock: Clock, limits: Limits) -> None:
        self._engine = engine
        self._clock = clock
        self._limits = limits

    async def _write(self, work: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._engine.write(work, *args, **kwargs)

    async def _lease(self, work: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._engine.lease(work, *args, **kwargs)

    async def _read(self, work: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._engine.read(work, *args, **kwargs)

    def _due(self) -> Due:
        now = self._clock.now()
        return Due(now, now + self._limits.due_ahead_s_max)


def rows(db: apsw.Connection, sql: str, bindings: Bindings = ()) -> list[dict[str, Any]]:
    """The result, each row by column name."""
    cursor = db.execute(sql, bindings)
    names: list[str] = []
    found = []
    for row in cursor:
        names = names or [column[0] for column in cursor.description]
        found.append(dict(zip(names, row, strict=True)))
    return found


def tuples(db: apsw.Connection, sql: str, bindings: Bindings = ()) -> list[tuple[Any, ...]]:
    """The result, each row in the order of its columns."""
    return db.execute(sql, bindings).fetchall()


def value(db: apsw.Connection, sql: str, bindings: Bindings = ()) -> Any:
    """The first column of the first row, None if there is none."""
    row = db.execute(sql, bindings).fetchone()
    return None if row is None else row[0]


def structs(kind: type[T], found: list[dict[str, Any]]) -> list[T]:
    """Rows as values (SQLite has no booleans)."""
    return [msgspec.convert(row, kind, strict=False) for row in found]


def source_num(db: apsw.Connection, source_id: str) -> int:
    """A source's short number. Raises `NotFound` if there is no such source, or no longer."""
    num = value(db, "SELECT num FROM sources WHERE id = ? AND doc IS NOT NULL", (source_id,))
    if num is None:
        raise NotFound("no such source")
    return int(num)


def next_tokens(db: apsw.Connection, number: int) -> range:
    """That many fencing tokens, each greater than any before."""
    last = int(value(db, "UPDATE state SET token = token + ? RETURNING token", (number,)))
    return range(last - number + 1, last + 1)


_NO_CHANGE = dict.fromkeys(
    (
        "read",
        "sent",
        "filtered",
        "duplicate",
        "quarantined",
        "dead_lettered",
        "discarded",
        "waiting",
        "waiting_batches",
        "waiting_bytes",
        "dead_batches",
        "dead_bytes",
        "replayed",
    ),
    0,
)


def tally(db: apsw.Connection, source: int, changes: Mapping[str, int]) -> None:
    """Add to a source's totals. A removed source has none: nothing happens."""
    db.execute(
        """UPDATE totals SET read = read + :read, sent = sent + :sent, filtered = filtered + :filtered,
            duplicate = duplicate + :duplicate, quarantined = quarantined + :quarantined,
            dead_lettered = dead_lettered + :dead_lettered, discarded = discarded + :discarded,
            waiting = waiting + :waiting, waiting_batches = waiting_batches + :waiting_batches,
            waiting_bytes = waiting_bytes + :waiting_bytes, dead_batches = dead_batches + :dead_batches,
            dead_bytes = dead_bytes + :dead_bytes, replayed = replayed + :replayed
        WHERE source = :source""",
        {**_NO_CHANGE, **changes, "source": source},
    )


def tally_units(db: apsw.Connection, source: int, changes: Mapping[str, int]) -> None:
    """Add to a source's numbers of units by state."""
    db.executemany(
        """INSERT INTO unit_totals (source, label, number) VALUES (?, ?, ?)
        ON CONFLICT DO UPDATE SET number = number + excluded.number""",
        [(source, label, number) for label, number in changes.items()],
    )
