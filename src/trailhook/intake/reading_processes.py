"""Reading in other processes: started when they are needed, started again when they die, ended with this one."""

import asyncio
import itertools
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Final, Self, TypeVar

import msgspec

from trailhook.body import LaidOut
from trailhook.clock import Clock
from trailhook.errors import ReaderLost
from trailhook.intake import pipe
from trailhook.intake.harvest import Found, Terms
from trailhook.intake.readers import Group
from trailhook.intake.reading import Bounds, Fetched
from trailhook.model import NewBatch, Value
from trailhook.settings import Settings

log = logging.getLogger(__name__)

MODULE = "trailhook.intake.reading_process"
END_S = 5.0
"""What a process may take to end what it does; it reads one group at a time."""
REST_S_MAX = 60.0
"""Longest wait before another one is started when they keep dying. The first time there is none."""
KEPT_VARIABLES: Final = ("PATH", "PYTHON", "LD_", "LANG", "LC_", "TZ", "MALLOC_")
"""What these processes see of the environment, by how the names begin: no secret has such a name."""

T = TypeVar("T", bound=Value)


class InProcesses:
    """See `readers.Reader`. Up to `reading_processes` read for this one, each for several groups in turn."""

    def __init__(self, settings: Settings, laid_out: LaidOut, clock: Clock) -> None:
        self._most = settings.reading_processes
        self.groups = self._most + 2  # while each reads one, one is fetched and one committed
        self._start = pipe.Start(
            bounds=Bounds.of(settings),
            laid_out_bytes_max=settings.laid_out_bytes_max,
            log_level=settings.log_level,
            log_format=settings.log_format,
        )
        self._patience_s = settings.unit_lease_s  # what is answered later is nobody's any more
        self._laid_out = laid_out
        self._clock = clock
        self._processes: list[_Process] = []
        self._numbers = itertools.count(1)
        self._losses = 0
        """In a row: an answer ends it."""
        self._rest_until_at = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def end(self) -> None:
        """End them all, once each has done what it was asked."""
        await asyncio.gather(*(process.end() for process in self._processes if not process.left))

    @property
    def pids(self) -> list[int]:
        """Of those that run."""
        return [process.pid for process in self._processes if process.runs]

    @asynccontextmanager
    async def read(self, terms: Terms, fetched: Sequence[Fetched]) -> AsyncIterator[Group]:
        process = await self._chosen()
        number = next(self._numbers)
        process.groups += 1
        try:
            found = await process.ask(pipe.Read(number=number, terms=terms, fetched=fetched), Found)
            self._losses = 0
            yield _Elsewhere(process, number, found, self._laid_out)
        finally:
            process.groups -= 1
            if process.runs:
                process.tell(pipe.Forget(number=number))
            elif not (process.groups or process.left):
                process.leave()

    async def _chosen(self) -> "_Process":
        """The one that reads least; a new one rather than one that reads already."""
        while True:
            self._bury()
            least = min(self._processes, key=lambda process: process.groups, default=None)
            wait_s = self._rest_until_at - self._clock.now()
            if len(self._processes) < self._most and (least is None or least.groups) and wait_s <= 0:
                least = _Process(self._start, self._patience_s)
                self._processes.append(least)
            if least is not None:
                return least
            await self._clock.sleep(wait_s)

    def _bury(self) -> None:
        for process in [each for each in self._processes if not each.runs]:
            self._processes.remove(process)
            if not (process.groups or process.left):
                process.leave()
            rest_s = min(REST_S_MAX, 2.0 ** min(self._losses, 10) - 1)
            self._losses += 1
            self._rest_until_at = self._clock.now() + rest_s
            log.error("a reading process ended with status %s; the next in %.0f s", process.status, rest_s)


class _Process:
    """One process, and the thread that talks to it: one request after another."""

    def __init__(self, start: pipe.Start, patience_s: float) -> None:
        """Raises `ReaderLost` when there can be no more processes. Each answer may take `patience_s`."""
        self.groups = 0
        """That it reads or holds."""
        self.left = False
        """Whether nothing more is said to it."""
        self._killed = False
        self._patience_s = patience_s
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
                [sys.executable, "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_bare(os.environ),
                process_group=0,  # a Ctrl-C is this process's affair
            )
        except OSError as error:
            raise ReaderLost(f"no process to read it could be started: {error.strerror}") from error
        assert self._popen.stdin is not None and self._popen.stdout is not None  # noqa: S101, PT018 - asked for above
        self._requests, self._answers = self._popen.stdin, self._popen.stdout
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"reading-{self.pid}")
        self.tell(start)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def runs(self) -> bool:
        return not self._killed and self._popen.poll() is None

    @property
    def status(self) -> int | None:
        """It ended with, None while it runs."""
        return self._popen.returncode

    async def ask(self, request: Value, answer: type[T]) -> T:
        """What it answers. Raises `ReaderLost` if it ends instead; it is made to, when it takes too long."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience_s):
                return await loop.run_in_executor(self._thread, self._exchange, request, answer)
        except TimeoutError:
            self._killed = True
            self._popen.kill()
            raise ReaderLost(f"the process that read it did not answer for {self._patience_s:.0f} s") from None

    def tell(self, message: Value) -> None:
        """Say what has no answer, after all that was said before."""
        self._thread.submit(self._say, message)

    def leave(self) -> Future[None]:
        """Once: hear and say nothing more; when it has ended."""
        self.left = True
        ended = self._thread.submit(self._leave)
        self._thread.shutdown(wait=False)
        return ended

    async def end(self) -> None:
        """Let it end by itself, or kill it after a while."""
        ended = asyncio.wrap_future(self.leave())
        _, late = await asyncio.wait([ended], timeout=END_S)
        if late:
            self._popen.kill()
        await ended

    def _exchange(self, request: Value, answer: type[T]) -> T:
        self._say(request)
        encoded = pipe.receive(self._answers)
        if encoded is None:
            self._popen.kill()
            raise ReaderLost(f"the process that read it ended with status {self._popen.wait()}")
        return msgspec.msgpack.decode(encoded, type=answer)

    def _say(self, message: Value) -> None:
        with suppress(BrokenPipeError):  # then there is no answer either
            pipe.send(self._requests.fileno(), message)

    def _leave(self) -> None:
        self._requests.close()
        self._popen.wait()
        self._answers.close()


class _Elsewhere:
    """A group whose records a process holds."""

    def __init__(self, process: _Process, number: int, found: Found, laid_out: LaidOut) -> None:
        self.found = found
        self._process = process
        self._number = number
        self._laid_out = laid_out

    async def freeze(self, known: Collection[bytes]) -> Sequence[NewBatch]:
        if len(known) and not any(key not in known for key in self.found.keys):
            return ()
        frozen = await self._process.ask(pipe.Freeze(number=self._number, known=list(known)), pipe.Frozen)
        for batch, plain in zip(frozen.batches, frozen.laid_out, strict=True):
            if plain is not None:
                self._laid_out.keep(batch.sha256, plain)
        return frozen.batches


def _bare(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(KEPT_VARIABLES)}
