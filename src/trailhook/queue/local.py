"""The queue inside one process: a few heaps and an event. What it forgets at its end, the sweep brings back."""

import asyncio
import heapq
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from trailhook.clock import Clock
from trailhook.model import Job
from trailhook.queue.base import Handler, Priority

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class _Hint:
    due_at: float
    priority: Priority
    number: int
    """Counts hints, so that the first hinted of equals runs first."""

    def sooner(self, other: "_Hint") -> "_Hint":
        """One hint for both: the earlier time, the better priority, the older place."""
        return _Hint(min(self.due_at, other.due_at), min(self.priority, other.priority), min(self.number, other.number))


class LocalQueue:
    """See `queue.base.Queue`. Of one event loop; a handler that raises is logged and costs its own job only, and so
    does one that is not done after `job_timeout_s`, which is cancelled. `ended` is called after every job.
    """

    def __init__(self, clock: Clock, *, job_timeout_s: float, ended: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self._job_timeout_s = job_timeout_s
        self._told_ended = ended
        self._hints: dict[Job, _Hint] = {}
        """What waits. The heaps below may also hold entries that a better hint has replaced: those do not count."""
        self._delayed: list[tuple[float, int, Job, _Hint]] = []
        self._ready: dict[str, list[tuple[Priority, int, Job, _Hint]]] = {}
        self._running: dict[Job, asyncio.Task[None]] = {}
        self._again: dict[Job, _Hint] = {}
        """Hints for jobs that run: they wait for their end."""
        self._changed = asyncio.Event()
        self._number = 0

    async def hint(self, job: Job, *, delay_s: float = 0.0, priority: Priority = Priority.LIVE) -> None:
        self._number += 1
        self._place(job, _Hint(self._clock.now() + delay_s, priority, self._number))

    async def run(self, handlers: Mapping[str, Handler], *, concurrency: Mapping[str, int]) -> None:
        try:
            while True:
                self._changed.clear()
                self._wake_delayed()
                self._start(handlers, concurrency)
                await self._wait()
        finally:
            await self._stop()

    async def depth(self) -> Mapping[str, int]:
        now = self._clock.now()
        hints = [*self._hints.values(), *self._again.values()]
        delayed = sum(hint.due_at > now for hint in hints)
        return {"waiting": len(hints) - delayed, "delayed": delayed, "running": len(self._running)}

    async def check(self) -> None:
        """Always within reach."""

    def in_hand(self) -> set[Job]:
        """The jobs that run or could run now."""
        now = self._clock.now()
        return {*self._running, *(job for job, hint in self._hints.items() if hint.due_at <= now)}

    def _place(self, job: Job, hint: _Hint) -> None:
        hints = self._again if job in self._running else self._hints
        old = hints.get(job)
        new = hint if old is None else old.sooner(hint)
        if new == old:
            return
        hints[job] = new
        if hints is self._hints:
            heapq.heappush(self._delayed, (new.due_at, new.number, job, new))
            self._changed.set()

    def _wake_delayed(self) -> None:
        now = self._clock.now()
        while self._delayed and self._delayed[0][0] <= now:
            _, number, job, hint = heapq.heappop(self._delayed)
            if self._hints.get(job) is hint:
                heapq.heappush(self._ready.setdefault(job.kind, []), (hint.priority, number, job, hint))

    def _start(self, handlers: Mapping[str, Handler], concurrency: Mapping[str, int]) -> None:
        busy = Counter(job.kind for job in self._running)
        for kind, handler in handlers.items():
            ready = self._ready.get(kind, [])
            while ready and busy[kind] < concurrency[kind]:
                _, _, job, hint = heapq.heappop(ready)
                if self._hints.get(job) is hint:
                    del self._hints[job]
                    self._running[job] = task = asyncio.create_task(self._work(handler, job))
                    task.add_done_callback(partial(self._ended, job))
                    busy[kind] += 1

    def _ended(self, job: Job, _task: "asyncio.Task[None]") -> None:
        del self._running[job]
        if (again := self._again.pop(job, None)) is not None:
            self._place(job, again)
        self._changed.set()
        self._told_ended()

    async def _work(self, handler: Handler, job: Job) -> None:
        deadline = asyncio.timeout(self._job_timeout_s)
        try:
            async with deadline:
                await handler(job.source_id)
        except Exception:
            if deadline.expired():
                log.error("job %s took too long and was cancelled", job.kind, extra={"source": job.source_id})
            else:
                log.exception("job %s raised, which jobs must not", job.kind, extra={"source": job.source_id})

    async def _wait(self) -> None:
        """Until a hint arrives, a job ends, or the first delay is over."""
        if not self._delayed:
            await self._changed.wait()
            return
        changed = asyncio.create_task(self._changed.wait())
        due = asyncio.create_task(self._clock.sleep(self._delayed[0][0] - self._clock.now()))
        try:
            await asyncio.wait((changed, due), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (changed, due):
                task.cancel()

    async def _stop(self) -> None:
        for task in self._running.values():
            task.cancel()
        if self._running:
            await asyncio.wait(self._running.values())
