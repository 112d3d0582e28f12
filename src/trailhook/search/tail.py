"""Events as they are frozen, for somebody who watches."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Self

from trailhook.clock import Clock
from trailhook.errors import Throttled
from trailhook.search.base import Asked, Found, Place
from trailhook.search.found import found
from trailhook.search.scan import Hit, Scan
from trailhook.store.log import EventLog, LogBlock

BLOCKS_PER_LOOK: Final = 16
LOOK_EVERY_S: Final = 1.0
NUMBERS_SETTLE_S: Final = 60.0
"""After so long no batch turns up under a lower number than one that was seen: MongoDB ends transactions by then."""
MISSED_MAX: Final = 1_000
"""How many batches back a watcher who comes again is taken up where he left."""
RETRY_AFTER_S: Final = 30.0

Still = Callable[[], Awaitable[object]]
"""Asks whether somebody may watch any longer: a true value if so."""


async def for_ever() -> bool:
    """Whoever watches may go on watching."""
    return True


class Tails:
    """The watchers that a process has at a time."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._watching = 0
        self._closed = asyncio.Event()

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place for one more. Raises `Throttled` when all are taken."""
        if self._watching >= self._most:
            raise Throttled("too many watch already", retry_after_s=RETRY_AFTER_S)
        self._watching += 1
        try:
            yield
        finally:
            self._watching -= 1

    def close(self) -> None:
        """Let every tail come to its end: the process stops."""
        self._closed.set()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    async def rest(self, clock: Clock, seconds: float) -> None:
        """Wait so long, or until they are closed."""
        waiting = [asyncio.ensure_future(each) for each in (clock.sleep(seconds), self._closed.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()


class Tail:
    """What is frozen, block after block, each once. It holds no more than one look's worth: who reads slowly, waits."""

    def __init__(self, log: EventLog, clock: Clock, tails: Tails, asked: Asked, floor: int, still: Still) -> None:
        self._log = log
        self._clock = clock
        self._tails = tails
        self._asked = asked
        self._floor = floor
        self._still = still
        self.since = floor
        """What `begin` takes to go on behind the event that came last: amid a block, from the block's beginning."""
        self._seen: dict[int, float] = {}
        """Numbers above the floor, by when they were seen: below them others may yet turn up."""

    @classmethod
    async def begin(
        cls, log: EventLog, clock: Clock, tails: Tails, asked: Asked, *, since: int | None, still: Still
    ) -> Self:
        """From now on, or from after `since`."""
        end = await log.log_end()
        floor = end if since is None else min(end, max(since, end - MISSED_MAX))
        return cls(log, clock, tails, asked, floor, still)

    async def events(self) -> AsyncGenerator[Found, None]:
        """What fits, oldest first within a block, until the process stops, nobody reads any more, or none may."""
        scan = Scan(self._log, self._asked)
        while not self._tails.closed and await self._still():
            blocks = await self._log.log_after(
                self._floor, but=self._seen, source_id=self._asked.source_id, limit=BLOCKS_PER_LOOK
            )
            self._remember(blocks)
            searched = await scan.search(blocks)
            for opened, positions in searched.found:
                hits = [Hit(Place(opened.times[each], opened.block.num, each), opened) for each in positions]
                hits.sort(reverse=True)
                async for part in found(self._log, hits):
                    for event in part:
                        self.since = event.place.num - (event.place != hits[-1].place)
                        yield event
            if len(blocks) < BLOCKS_PER_LOOK:
                await self._tails.rest(self._clock, LOOK_EVERY_S)

    def _remember(self, blocks: Sequence[LogBlock]) -> None:
        now = self._clock.now()
        self._seen |= dict.fromkeys((block.num for block in blocks), now)
        for num in sorted(self._seen):
            if now - self._seen[num] < NUMBERS_SETTLE_S:
                return
            self._floor = num
            del self._seen[num]
