"""What a process uses, as the kernel counts it: of this process's own children, on Linux."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """So far."""

    cpu_s: float
    written_bytes: int
    """Handed to the disk."""
    peak_bytes: int
    """The most memory that was resident at a time."""


def usage(pid: int) -> Usage:
    """Of a process that runs, all its threads together."""
    place = Path(f"/proc/{pid}")
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    written = dict(line.split(":", 1) for line in (place / "io").read_text().splitlines())
    return Usage(
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS,
        written_bytes=int(written["write_bytes"]),
        peak_bytes=int(status["VmHWM"].split()[0]) * 1024,
    )


@contextmanager
def on_core(first: bool) -> Iterator[None]:
    """What is started inside runs on the first core, which is the product's, or on all the others."""
    cores = os.sched_getaffinity(0)
    own = {min(cores)}
    os.sched_setaffinity(0, own if first or len(cores) == 1 else cores - own)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
