"""Several pieces of work at a time, whose turns come in the order in which they were begun."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

Turn = Callable[[], Awaitable[None]]
"""Awaited, returns once all that was begun earlier has ended, however it did."""


class InOrder:
    """Entered, lets up to `most` pieces of work be under way. At the end of the block all of them have ended."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: deque[tuple[asyncio.Task[None], int]] = deque()

    @property
    def weight(self) -> int:
        """Of all that is under way."""
        return sum(weight for _, weight in self._under_way)

    async def begin(self, work: Callable[[Turn], Coroutine[Any, Any, None]], *, weight: int = 0) -> None:
        """Begin, and return when there is room for more. Raises what one of them raised."""
        before = self._under_way[-1][0] if self._under_way else None

        async def turn() -> None:
            if before is not None:
                await asyncio.wait([before])

        self._under_way.append((asyncio.create_task(work(turn)), weight))
        await self._until(self._most - 1)

    async def end(self) -> None:
        """Return when all have ended. Raises what one of them raised."""
        await self._until(0)

    async def _until(self, left: int) -> None:
        while len(self._under_way) > left:
            task, _ = self._under_way[0]
            await asyncio.wait([task])
            self._under_way.popleft()
            task.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """One that fails costs the others nothing; who is cancelled cancels all of them."""
        tasks = [task for task, _ in self._under_way]
        self._under_way.clear()
        try:
            if tasks and (error is None or isinstance(error, Exception)):
                await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks if error is None else ():
            task.result()
