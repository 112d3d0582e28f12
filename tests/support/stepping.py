"""A queue that runs nothing until the test says so, in the order hinted: the product, one step at a time."""

import asyncio
from collections.abc import Mapping

from trailhook.model import Job
from trailhook.queue.base import Handler, Priority


class StepQueue:
    """Implements `queue.base.Queue`; `drain` takes the place of `run`."""

    def __init__(self) -> None:
        self.hinted: dict[Job, None] = {}

    async def hint(self, job: Job, *, delay_s: float = 0.0, priority: Priority = Priority.LIVE) -> None:
        self.hinted.setdefault(job)

    async def run(self, handlers: Mapping[str, Handler], *, concurrency: Mapping[str, int]) -> None:
        await asyncio.Event().wait()

    async def depth(self) -> Mapping[str, int]:
        return {"waiting": len(self.hinted), "delayed": 0, "running": 0}

    async def check(self) -> None:
        return

    async def drain(self, handlers: Mapping[str, Handler]) -> None:
        """Run everything hinted, and what that hints, until nothing is left."""
        while self.hinted:
            job = next(iter(self.hinted))
            del self.hinted[job]
            await handlers[job.kind](job.source_id)
