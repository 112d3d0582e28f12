"""Processes that are ended by their own handles, and that end by themselves when the demo is gone.

A child holds the reading end of a pipe whose other end is the demo's alone: when the demo dies, however it dies,
the pipe breaks. A child is a process group of its own, so that a Ctrl-C reaches the demo only, which then ends its
children in their order.
"""

import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from trailhook.errors import TrailhookError

TAIL_LINES = 30
END_S = 25.0


class ChildFailed(TrailhookError):
    """A process of the demo ended, or did not come up."""


class Child:
    """One Python module, running in a process of its own while it is entered."""

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        *,
        python: str = sys.executable,
    ) -> None:
        self._name = name
        self._process = subprocess.Popen(  # noqa: S603 - an interpreter of ours, a module of ours
            [python, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            text=True,
            errors="replace",
            process_group=0,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._awaited = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def last_words(self) -> str:
        """What it said last, by its name."""
        return "\n".join([f"The {self._name}'s last words:", *(self._tail or ["(none)"])])

    def check(self) -> None:
        """Raise `ChildFailed` if it is not running."""
        if self._process.poll() is not None:
            raise self._failure(f"ended with status {self._process.returncode}")

    def wait_for(self, word: str, timeout_s: float) -> str:
        """What follows `word` in the first line of its output that holds it. Raises `ChildFailed`."""
        until = time.monotonic() + timeout_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise self._failure(f"did not come up within {timeout_s:.0f} s") from None
            if line is None:
                raise self._failure("ended before it came up")
            if word in line:
                self._awaited = False
                return line.partition(word)[2].strip()

    def end(self, timeout_s: float = END_S) -> None:
        """Ask it to end, wait, and kill it if it does not. Nothing happens if it has ended."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        for line in self._process.stdout:
            self._tail.append(line.rstrip())
            if self._awaited:
                self._lines.put(line.rstrip())
        self._lines.put(None)

    def _failure(self, what: str) -> ChildFailed:
        return ChildFailed(f"The {self._name} {what}. {self.last_words}")
