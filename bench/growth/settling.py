"""Waiting until a product does no more than it always does."""

import time
from collections.abc import Callable, Mapping, Sequence

from bench.measured import usage
from bench.stage import NotRight
from trailhook.demo.children import Child

LOOK_S = 1.0
IDLE_CPU_S = 0.05
"""What may be taken in a look and still be called idle: a sweep takes some milliseconds, as MongoDB does."""
LOOKS = 4
"""So often in a row: where others want the cores too, one second without progress says little."""


def settle(child: Child, servers: Mapping[str, int], *, within_s: float) -> float:
    """Return how much processor time the product and its servers took until they were idle. Raises `NotRight` if they
    never are.
    """
    pids = [child.pid, *servers.values()]
    started_cpu_s = seen_cpu_s = _cpu_s(pids)
    calm = 0

    def idle() -> bool:
        nonlocal calm, seen_cpu_s
        now_cpu_s = _cpu_s(pids)
        calm = calm + 1 if now_cpu_s - seen_cpu_s <= IDLE_CPU_S else 0
        seen_cpu_s = now_cpu_s
        return calm >= LOOKS

    until(idle, child, within_s=within_s, every_s=LOOK_S)
    return seen_cpu_s - started_cpu_s


def until(holds: Callable[[], bool], child: Child, *, within_s: float, every_s: float = 0.2) -> None:
    """Ask again and again until it holds. Raises `NotRight` if it does not in time."""
    end_s = time.monotonic() + within_s
    while not holds():
        child.check()
        if time.monotonic() > end_s:
            raise NotRight(f"not so after {within_s:.0f} s. {child.last_words}")
        time.sleep(every_s)


def _cpu_s(pids: Sequence[int]) -> float:
    return sum(usage(pid).cpu_s for pid in pids)
