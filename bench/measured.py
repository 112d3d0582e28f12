"""What processes use, as the kernel counts it, and what they run on: of this process's own children, on Linux."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import apsw

_TICKS = os.sysconf("SC_CLK_TCK")
_CORES = os.sched_getaffinity(0)
"""What there was before anything was put on a core of its own."""

NOTHING_READ = "unknown"


@dataclass(frozen=True, slots=True)
class Usage:
    """So far."""

    cpu_s: float
    written_bytes: int
    """Handed to the disk."""
    peak_bytes: int
    """The most memory that was resident at a time."""
    resident_bytes: int
    """What is resident now."""


def usage(pid: int) -> Usage:
    """Of a process that runs, all its threads together."""
    place = Path(f"/proc/{pid}")
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    status = _fields(place / "status")
    return Usage(
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS,
        written_bytes=int(_fields(place / "io")["write_bytes"]),
        peak_bytes=int(status["VmHWM"].split()[0]) * 1024,
        resident_bytes=int(status["VmRSS"].split()[0]) * 1024,
    )


NOTHING_USED = Usage(cpu_s=0.0, written_bytes=0, peak_bytes=0, resident_bytes=0)


def children(pid: int) -> list[int]:
    """The processes that another one has started and that run."""
    return [int(each) for task in Path(f"/proc/{pid}/task").glob("*/children") for each in task.read_text().split()]


def usages(pids: Mapping[str, int]) -> dict[str, Usage]:
    """Of several, by name."""
    return {name: usage(pid) for name, pid in pids.items()}


@contextmanager
def on_core(first: bool) -> Iterator[None]:
    """What is started inside runs on the first core, which is the product's, or on all the others."""
    own = {min(_CORES)}
    with _on(own if first or len(_CORES) == 1 else _CORES - own):
        yield


def on_every_core() -> AbstractContextManager[None]:
    """What is started inside runs wherever there is room."""
    return _on(_CORES)


@contextmanager
def _on(cores: set[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def machine() -> dict[str, str]:
    """What the figures were measured on; no names of it."""
    processor = _fields(Path("/proc/cpuinfo")).get("model name", NOTHING_READ)
    memory_kib = int(_fields(Path("/proc/meminfo"))["MemTotal"].split()[0])
    return {
        "processor": processor,
        "cores": str(len(_CORES)),
        "memory": f"{memory_kib / 2**20:.0f} GiB",
        "Linux": os.uname().release,
        "Python": sys.version.split()[0],
        "SQLite": apsw.sqlite_lib_version(),
        **{name: version(name) for name in ("trailhook", "uvloop", "msgspec", "isal", "pymongo")},
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def _fields(path: Path) -> dict[str, str]:
    """What the kernel tells as `name: value`, the first of each name."""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    fields: dict[str, str] = {}
    for name, _, value in lines:
        fields.setdefault(name.strip(), value.strip())
    return fields
