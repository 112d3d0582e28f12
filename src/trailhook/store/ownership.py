"""One process owns a data directory: two writers on one SQLite file would hand out the same lease twice."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trailhook.errors import SettingsError

LOCK_FILE = "trailhook.lock"


@contextmanager
def own(data_dir: Path) -> Iterator[None]:
    """Own `data_dir` (made if missing, for this user only) until the context ends, or the process does.

    Raises SettingsError naming the process that owns it already.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingsError(f"the data directory {data_dir} cannot be written: {error.strerror}") from error
    try:
        _take(lock, data_dir)
        yield
    finally:
        os.close(lock)


def _take(lock: int, data_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        raise SettingsError(
            f"the data directory {data_dir} belongs to process {owner}: stop that one first, "
            "or use MongoDB for more than one process"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def owner(data_dir: Path) -> int | None:
    """The process that seems to own `data_dir`, found out without taking it from anybody; None if there is none."""
    try:
        pid = int((data_dir / LOCK_FILE).read_text())
    except (OSError, ValueError):
        return None
    return pid if _lives(pid) else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # somebody else's
    except OSError:
        return False
    return True
