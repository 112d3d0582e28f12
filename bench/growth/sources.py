"""Memory, the cost of standing by, and speed against the number of sources that share the work."""

import time
from collections.abc import Iterator, Sequence

from bench.corpus import Shape, account, corpus
from bench.engines import SQLITE, installed
from bench.forwarding import until_through
from bench.growth.series import Point, Series
from bench.measured import usage
from bench.product import PREFIX, product
from bench.result import MIB
from bench.stage import staged

FILES, RECORDS = 1_000, 53
EVERY_S = 5
IDLE_S = 20
"""Some looks at every source: the sweep finds them due up to two seconds late."""
QUICK = (1, 100)
FULL = (1, 100, 1_000)


def measure(*, full: bool) -> Series:
    """Each number in an installation of its own."""
    return Series(
        title="Sources",
        axis="sources",
        how=f"Each source has a prefix of its own and is polled every {EVERY_S} s (by default it is every 300). "
        f"{FILES * RECORDS:,} events in files of {RECORDS}, shared by the sources, are there when a product starts "
        "that was stopped for a while, so that all polls are due at once. Idle is measured after that.",
        points=list(_points(FULL if full else QUICK)),
        plotted=("idle, % of a core", "CPU-s/M", "peak MiB"),
    )


def _points(sizes: Sequence[int]) -> Iterator[Point]:
    for sources in sizes:
        yield Point(sources, _figures(sources))


def _figures(sources: int) -> dict[str, float]:
    files = corpus(Shape(f"sources-{sources}", FILES, RECORDS, accounts=sources))
    with staged(files, revealed=False) as stage, installed(SQLITE) as place:
        with product(stage, place) as running:
            for number in range(sources):
                running.add_source(f"source {number}", prefix=f"{PREFIX}{account(number)}/", interval_s=EVERY_S)
        stage.reveal(0)
        time.sleep(EVERY_S)
        with product(stage, place) as running:
            ready, started_s = usage(running.child.pid), time.monotonic()
            until_through(running.child, stage, files.distinct)
            after = usage(running.child.pid)
            wall_s = float(stage.taken()["last_at"]) - started_s
            time.sleep(EVERY_S)
            before = usage(running.child.pid)
            time.sleep(IDLE_S)
            idle = usage(running.child.pid)
        stage.check()
    return {
        "idle, % of a core": (idle.cpu_s - before.cpu_s) / IDLE_S * 100,
        "idle MiB": idle.resident_bytes / MIB,
        "events/s": files.events / wall_s,
        "CPU-s/M": (after.cpu_s - ready.cpu_s) / files.events * 1e6,
        "peak MiB": after.peak_bytes / MIB,
    }
