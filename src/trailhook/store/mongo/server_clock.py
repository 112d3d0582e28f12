"""One time for all workers: the server's, which its answers tell."""

from trailhook.clock import Clock


class ServerClock:
    """The machine's clock, corrected by what the server says the time is."""

    def __init__(self, machine: Clock) -> None:
        self._machine = machine
        self._ahead_s = 0.0

    def now(self) -> float:
        return self.machine_now() + self._ahead_s

    def machine_now(self) -> float:
        """What `heard` takes as the time of asking."""
        return self._machine.now()

    async def sleep(self, seconds: float) -> None:
        await self._machine.sleep(seconds)

    def heard(self, server_at: float, *, asked_at: float) -> None:
        """The server said `server_at` in answer to what was asked at `asked_at`.

        It said so between the asking and now: only what contradicts that is corrected, so the clock does not jitter
        with every answer's way.
        """
        least, most = server_at - self.machine_now(), server_at - asked_at
        self._ahead_s = min(max(self._ahead_s, least), most)
