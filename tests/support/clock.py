"""A clock that moves only when told to, or when somebody sleeps on it."""

import asyncio

START_AT = 1_750_000_000.0


class FakeClock:
    """`sleep` advances the clock at once (`automatic`), or waits until the test calls `advance`."""

    def __init__(self, at: float = START_AT, *, automatic: bool = True) -> None:
        self._now = at
        self._automatic = automatic
        self._sleepers: list[tuple[float, asyncio.Event]] = []
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self._automatic:
            self._now += seconds
            await asyncio.sleep(0)
            return
        event = asyncio.Event()
        self._sleepers.append((self._now + seconds, event))
        await event.wait()

    def advance(self, seconds: float) -> None:
        """Move on (or back) and wake whoever is due."""
        self._now += seconds
        due = [each for each in self._sleepers if each[0] <= self._now]
        self._sleepers = [each for each in self._sleepers if each[0] > self._now]
        for _, event in due:
            event.set()
