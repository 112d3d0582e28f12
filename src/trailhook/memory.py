"""What a long-running process does about memory that it has done with: Python's objects, and the C library's blocks."""

import ctypes
import gc
import os
from typing import Final

GARBAGE_OBJECTS: Final = 20_000
"""So many containers are made before cycles among them are looked for; Python looks after 700. Records make none."""
KEPT_BYTES: Final = 24 * 1024 * 1024
"""So much that is free is kept for the next time rather than given back to the system, whose pages must be cleared
again: by itself glibc keeps some 4 MB. Measured, a third of the page faults remain; with 64 MiB no fewer, and a large
object then takes 50 MiB more.
"""
MAPPED_BYTES: Final = 32 * 1024 * 1024
"""Blocks beyond this are given back at once: the largest objects. It is the most that glibc takes."""
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_SET_OUTSIDE = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def settle() -> None:
    """Once all that stays is there: look for garbage less often and not among that, and keep what is freed at hand.

    The second only where the C library is glibc and nobody has told it otherwise.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None and not any(name in os.environ for name in _SET_OUTSIDE):
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
