"""What a queue promises: to run hints soon. It is allowed to lose them all; the sweep brings them back.

A job is a `Job(kind, source_id)`. Jobs with the same kind and source are one: a hint that is already waiting is
not queued again, and one that arrives while its job runs makes it run once more: afterwards, or meanwhile in
another process. Handlers never raise and return nothing (`jobs.py` sees to it); one that does raise, or hangs, is
logged and stops nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from typing import Protocol

from trailhook.model import Job

Handler = Callable[[str], Awaitable[None]]
"""Takes the source's id (empty for jobs that have none)."""


class Priority(IntEnum):
    """Lower runs first, so that a backfill never delays live work."""

    LIVE = 0
    BACKFILL = 1


class Queue(Protocol):
    """A queue of hints."""

    async def hint(self, job: Job, *, delay_s: float = 0.0, priority: Priority = Priority.LIVE) -> None:
        """Run the job's handler somewhere, not before `delay_s`, and soon after. Never blocks for long, never raises.

        A hint for a job that waits already keeps the earlier of the two times.
        """

    async def run(self, handlers: Mapping[str, Handler], *, concurrency: Mapping[str, int]) -> None:
        """Work until cancelled: at most `concurrency[kind]` jobs of a kind at a time in this process.

        When cancelled, it stops taking jobs, cancels those that run, waits for them, and ends. What waited still
        waits, for a later `run` of the same queue or for the sweep.
        """

    async def depth(self) -> Mapping[str, int]:
        """How many jobs are `waiting`, `delayed` and `running`, as far as this process can know."""

    async def check(self) -> None:
        """Raise `Transient` unless the queue can be reached: for readiness."""
