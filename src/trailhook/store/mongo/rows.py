"""What every part of the store does with rows: naming them, reading them as values, counting."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from trailhook.clock import Clock
from trailhook.errors import NotFound
from trailhook.store.base import Limits
from trailhook.store.mongo.engine import Database, Engine, Row, Transaction

P = ParamSpec("P")
T = TypeVar("T")

POLL, INTAKE, OUTBOX = "poll", "intake", "outbox"
OUTBOXES = (OUTBOX, *(f"{OUTBOX}{number}" for number in range(1, 8)))
PARTS = (POLL, INTAKE, *OUTBOXES)
"""Who counts: each has a row of totals of its own, so that an intake of seconds does not hold up every delivery, and
deliveries that end together rarely hold up one another (measured: four at once take turns at half the speed of one)."""

SOURCE_BYTES = 4
SUFFIX_BYTES = 16


class Due(msgspec.Struct, frozen=True):
    """The present: what is due at or before `now`, or beyond `horizon` (a clock that jumped back), is due."""

    now: float
    horizon: float

    def either(self, field: str) -> Row:
        """The condition that `field` is due."""
        return {"$or": [{field: {"$lte": self.now}}, {field: {"$gt": self.horizon}}]}


class Part:
    """What the verbs of the store are made of."""

    def __init__(self, engine: Engine, clock: Clock, limits: Limits) -> None:
        self._engine = engine
        self._clock = clock
        self._limits = limits

    async def _write(
        self, work: Callable[Concatenate[Transaction, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._engine.write(work, *args, **kwargs)

    async def _ask(
        self, work: Callable[Concatenate[Database, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._engine.ask(work, *args, **kwargs)

    def _due(self) -> Due:
        now = self._clock.now()
        return Due(now, now + self._limits.due_ahead_s_max)


def scoped(source: int, suffix: bytes) -> bytes:
    """The id of something that belongs to a source: all of one source lie together, in the order of the suffix."""
    return source.to_bytes(SOURCE_BYTES, "big") + suffix


def within(source: int) -> Row:
    """The condition on scoped ids that they belong to `source`. (BSON compares binaries by their length first.)"""
    return {"$gte": scoped(source, b"\x00" * SUFFIX_BYTES), "$lte": scoped(source, b"\xff" * SUFFIX_BYTES)}


def struct(kind: type[T], row: Mapping[str, Any], **more: Any) -> T:
    """A row as a value."""
    return msgspec.convert({**row, **more}, kind)


def plain(value: msgspec.Struct) -> Row:
    """A value as a row."""
    row: Row = msgspec.to_builtins(value, builtin_types=(bytes,))
    return row


async def source_num(db: Database, source_id: str) -> int | None:
    """A source's short number, another one each time its id is registered; None if there is no such source."""
    row = await db.sources.find_one({"id": source_id, "removed": False}, {"_id": 1})
    return None if row is None else row["_id"]


async def live_num(tx: Transaction, source_id: str) -> int:
    """The same within a transaction. Raises `NotFound`."""
    row = await tx.db.sources.find_one({"id": source_id, "removed": False}, {"_id": 1}, session=tx.session)
    if row is None:
        raise NotFound("no such source")
    num: int = row["_id"]
    return num


async def gone(db: Database) -> list[int]:
    """The removed sources of which something is left: the janitor is coming, and nobody else may see it."""
    return [row["_id"] async for row in db.sources.find({"removed": True, "cleared": False}, {"_id": 1})]


async def tally(
    tx: Transaction,
    source: int,
    part: str,
    changes: Mapping[str, int] | None = None,
    newest: Mapping[str, float] | None = None,
) -> None:
    """Add to a source's totals, and keep the later of two times. Raises `NotFound` if the source was removed.

    It collides with a removal at the same time, even if there is nothing to add: one of the two is repeated.
    """
    added = {name: number for name, number in (changes or {}).items() if number}
    update: Row = {"$inc": {"touched": 1, **added}}
    if newest:
        update["$max"] = newest
    found = await tx.db.totals.update_one({"_id": totals_id(source, part)}, update, session=tx.session)
    if not found.matched_count:
        raise NotFound("no such source")


def outbox_of(batch: int) -> str:
    """The part that counts for a batch."""
    return OUTBOXES[batch % len(OUTBOXES)]


def totals_id(source: int, part: str) -> Row:
    return {"source": source, "part": part}
