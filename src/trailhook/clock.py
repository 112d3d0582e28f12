"""Time, injected: nothing in the product asks the operating system what time it is but `SystemClock`.

Points in time are seconds since the Unix epoch as a float (names end in `_at`); spans are seconds (`_s`).
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the product knows of time."""

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC. May jump either way: the machine's clock is not ours."""

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` of this clock have gone by; never blocks the event loop."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def rfc3339(at: float) -> str:
    """`1700000000.5` as `2023-11-14T22:13:20.500Z`: UTC, milliseconds, as the API and the logs write time."""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def from_rfc3339(text: str) -> float:
    """The reverse. Raises ValueError for anything that is no time or carries no offset."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time needs an offset, such as the Z in 2026-01-31T12:00:00Z")
    return at.timestamp()
