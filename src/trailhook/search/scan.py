"""Going through the event log from its newest events back, in strict order of their times.

Blocks come by their newest event, and their times overlap. So a hit is held back until no block that is still unread
can hold a newer one; and to go on behind a place, the blocks whose times lie across it are read again.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from trailhook.body import plain
from trailhook.cloudtrail.columns import Packed
from trailhook.errors import Invalid
from trailhook.model import Value
from trailhook.search.base import TOP, Asked, Place
from trailhook.search.match import Matcher
from trailhook.store.log import EventLog, LogBlock, LogQuery

FIRST_BLOCKS: Final = 4
BLOCKS_MAX: Final = 256
BODY_BLOCKS_MAX: Final = 16
"""Blocks asked for at a time: few at first, for a common event is found in the first; a body is 150 kB."""
HITS_MAX: Final = 5_000
"""Hits in a stretch beyond which the next one is no longer: they are put in order here."""


class Opened:
    """A block with its columns, unpacked as far as they are asked for."""

    def __init__(self, block: LogBlock) -> None:
        self.block = block

    @cached_property
    def columns(self) -> Packed:
        return Packed(self.block.columns)

    @cached_property
    def times(self) -> Sequence[int]:
        """By which events are ordered: one without a time stands where the oldest of its batch does."""
        oldest = int(self.block.first_event_at)
        return [at or oldest for at in self.columns.times]


@dataclass(frozen=True, slots=True)
class Hit:
    """An event that fits."""

    place: Place
    opened: Opened

    def __lt__(self, other: "Hit") -> bool:
        """The heap's first is the newest."""
        return self.place > other.place


class Searched(Value, frozen=True, kw_only=True):
    """Blocks with hits, and their positions."""

    found: list[tuple[Opened, Sequence[int]]]
    unread: int = 0
    """Events that only their records could rule out or in, and those are no longer kept."""

    @property
    def count(self) -> int:
        return sum(len(positions) for _, positions in self.found)


class Stretch(Searched, frozen=True, kw_only=True):
    """A stretch of the way back, as the blocks come. `reached`: no hit at or above it follows; None at the end."""

    reached: Place | None


class Step(Value, frozen=True, kw_only=True):
    """A stretch of the way back: all hits at or above `reached`, below the step before; None at the end."""

    hits: list[Hit]
    unread: int
    reached: Place | None


class Scan:
    """One search through the log."""

    def __init__(self, log: EventLog, asked: Asked) -> None:
        self._log = log
        self._asked = asked
        self._matcher = Matcher(asked.query)

    async def steps(self, after: Place = TOP) -> AsyncIterator[Step]:
        """The hits below `after`, newest first."""
        held: list[Hit] = []
        async for stretch in self.stretches(after):
            for opened, positions in stretch.found:
                num, times = opened.block.num, opened.times
                for position in positions:
                    place = Place(times[position], num, position)
                    if place < after:
                        heapq.heappush(held, Hit(place, opened))
            hits = []
            while held and (stretch.reached is None or held[0].place >= stretch.reached):
                hits.append(heapq.heappop(held))
            yield Step(hits=hits, unread=stretch.unread, reached=stretch.reached)

    async def stretches(self, after: Place = TOP, before: tuple[float, int] | None = None) -> AsyncIterator[Stretch]:
        """The blocks that may hold something below `after`, those behind the block `before` only, with their hits."""
        size, most = FIRST_BLOCKS, BODY_BLOCKS_MAX if self._matcher.reads_bodies else BLOCKS_MAX
        reached: Place | None = after
        while reached is not None:
            blocks = await self._log.log_blocks(
                LogQuery(
                    source_id=self._asked.source_id,
                    from_at=self._asked.from_at,
                    to_at=min(self._asked.to_at, after.at),
                    before=before,
                    limit=size,
                )
            )
            searched = await self.search(blocks)
            reached = None
            if len(blocks) == size:
                before = (blocks[-1].last_event_at, blocks[-1].num)
                reached = Place(int(before[0]), before[1], 0)
            yield Stretch(found=searched.found, unread=searched.unread, reached=reached)
            if searched.count < HITS_MAX:
                size = min(2 * size, most)

    async def search(self, blocks: Sequence[LogBlock]) -> Searched:
        """The hits in these blocks."""
        found = await asyncio.to_thread(self._by_columns, blocks)
        if not self._matcher.reads_bodies or not found:
            return Searched(found=found)
        bodies = await self._log.log_bodies([opened.block.num for opened, _ in found])
        return await asyncio.to_thread(self._by_bodies, found, bodies)

    def _by_columns(self, blocks: Sequence[LogBlock]) -> list[tuple[Opened, Sequence[int]]]:
        found = []
        for block in blocks:
            opened = Opened(block)
            positions = self._matcher.positions(opened.columns) if block.columns else ()
            if positions and (within := self._within(opened, positions)):
                found.append((opened, within))
        return found

    def _within(self, opened: Opened, positions: Sequence[int]) -> Sequence[int]:
        """Those in the time that is asked for."""
        from_at, to_at, block = self._asked.from_at, self._asked.to_at, opened.block
        if from_at <= int(block.first_event_at) and block.last_event_at < to_at:
            return positions
        times = opened.times
        return [position for position in positions if from_at <= times[position] < to_at]

    def _by_bodies(self, found: list[tuple[Opened, Sequence[int]]], bodies: Mapping[int, bytes]) -> Searched:
        confirmed, unread = [], 0
        for opened, positions in found:
            body = readable(bodies.get(opened.block.num))
            if body is None:
                unread += len(positions)
            elif kept := self._matcher.confirmed(body, opened.columns.starts, positions):
                confirmed.append((opened, kept))
        return Searched(found=confirmed, unread=unread)


def readable(stored: bytes | None) -> bytes | None:
    """A stored body inflated; None if there is none, or it is damaged: that costs no search the other batches."""
    try:
        return None if stored is None else plain(stored)
    except Invalid:
        return None
