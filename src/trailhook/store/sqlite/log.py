"""The event log: batches in the order of their newest events."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import apsw

from trailhook.store.log import LogBlock, LogQuery
from trailhook.store.sqlite.rows import Part, rows, source_num, structs, value

_LAST = (float("inf"), 2**63 - 1)
_BLOCK = """
    SELECT b.num, b.id, s.id AS source_id, b.state, b.first_event_at, b.last_event_at, b.frozen_at, b.body_bytes,
        c.columns
    FROM batches b {index} CROSS JOIN sources s ON s.num = b.source AND s.doc IS NOT NULL
    CROSS JOIN columns c ON c.batch = b.num
    WHERE b.kind = 'events' AND {only}"""
_PAGE = """b.state <> 'split' AND b.last_event_at >= :from_at AND b.first_event_at <= :to_at
    AND (b.last_event_at, b.num) < (:before_at, :before_num)
    ORDER BY b.last_event_at DESC, b.num DESC LIMIT :limit"""
_AFTER = """b.num > :num AND b.parent IS NULL AND b.num NOT IN (SELECT value FROM json_each(:but))
    AND (:source IS NULL OR b.source = :source) ORDER BY b.num LIMIT :limit"""
ALL_BLOCKS = _BLOCK.format(index="INDEXED BY batches_log", only=_PAGE)
SOURCE_BLOCKS = _BLOCK.format(index="INDEXED BY batches_source_log", only=f"b.source = :source AND {_PAGE}")
BLOCKS_AFTER = _BLOCK.format(index="NOT INDEXED", only=_AFTER)


class SqliteEventLog(Part):
    """See `store.base.EventLog`."""

    async def log_blocks(self, query: LogQuery) -> Sequence[LogBlock]:
        return await self._read(_blocks, query)

    async def log_after(
        self, num: int, *, but: Collection[int] = (), source_id: str | None = None, limit: int = 100
    ) -> Sequence[LogBlock]:
        return await self._read(_after, num, but, source_id, limit)

    async def log_end(self) -> int:
        return await self._read(_end)

    async def log_bodies(self, nums: Sequence[int]) -> Mapping[int, bytes]:
        return await self._read(_bodies, nums)


def _blocks(db: apsw.Connection, query: LogQuery) -> list[LogBlock]:
    before_at, before_num = query.before or _LAST
    wanted: dict[str, Any] = {
        "from_at": query.from_at,
        "to_at": query.to_at,
        "before_at": before_at,
        "before_num": before_num,
        "limit": query.limit,
    }
    if query.source_id is None:
        return structs(LogBlock, rows(db, ALL_BLOCKS, wanted))
    return structs(LogBlock, rows(db, SOURCE_BLOCKS, {**wanted, "source": source_num(db, query.source_id)}))


def _after(db: apsw.Connection, num: int, but: Collection[int], source_id: str | None, limit: int) -> list[LogBlock]:
    source = None if source_id is None else source_num(db, source_id)
    wanted = {"num": num, "but": json.dumps(list(but)), "source": source, "limit": limit}
    return structs(LogBlock, rows(db, BLOCKS_AFTER, wanted))


def _end(db: apsw.Connection) -> int:
    return int(value(db, "SELECT max(num) FROM batches") or 0)


def _bodies(db: apsw.Connection, nums: Sequence[int]) -> dict[int, bytes]:
    found = ((num, value(db, "SELECT body FROM bodies WHERE batch = ?", (num,))) for num in nums)
    return {num: body for num, body in found if body is not None}
