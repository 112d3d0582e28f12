"""Memory against what waits for a webhook that is down: intake goes on at full speed until the outbox is full."""

import time
from collections.abc import Iterator, Sequence

from bench.corpus import Shape, corpus
from bench.engines import SQLITE, installed
from bench.growth.series import Point, Series
from bench.growth.settling import until
from bench.measured import usage
from bench.product import Document, Product, product
from bench.result import MIB
from bench.stage import staged

QUICK_SHAPE = Shape("outbox", 60, 2_000)
FULL_SHAPE = Shape("outbox", 1_500, 2_000)
QUICK_MIB = (2, 8, 16)
FULL_MIB = (32, 128, 512)
FULL_S_MAX = 400.0
DRAINED_S_MAX = 900.0
"""An open lane is probed after 5 s, 30 s, 2 min, 5 min: it may be that long until it sees that all is well."""


def measure(*, full: bool) -> Series:
    """Each size in an installation of its own; the largest is sent at last, and proven."""
    shape, sizes = (FULL_SHAPE, FULL_MIB) if full else (QUICK_SHAPE, QUICK_MIB)
    return Series(
        title="Outbox",
        axis="outbox_bytes_max, MiB",
        how="The sink answers 503 from the beginning, and there are more files of 2,000 events than fit. Peaks are "
        "from the start until the outbox was full. After the largest the sink takes everything, and that is proven.",
        points=list(_points(shape, sizes)),
        plotted=("peak MiB", "CPU-s/M"),
    )


def _points(shape: Shape, sizes: Sequence[int]) -> Iterator[Point]:
    for size_mib in sizes:
        yield Point(size_mib, _figures(shape, size_mib, drained=size_mib == max(sizes)))


def _figures(shape: Shape, size_mib: int, *, drained: bool) -> dict[str, float]:
    files = corpus(shape)
    settings = {"TRAILHOOK_OUTBOX_BYTES_MAX": str(size_mib * MIB)}
    with (
        staged(files) as stage,
        installed(SQLITE) as place,
        product(stage, place, settings=settings) as running,
    ):
        stage.open(opened=False)
        before, started_s = usage(running.child.pid), time.monotonic()
        source = running.add_source(shape.name)
        until(lambda: _is_full(running, source, size_mib), running.child, within_s=FULL_S_MAX)
        after, wall_s, status = usage(running.child.pid), time.monotonic() - started_s, running.status(source)
        figures = {
            "waiting MiB": status["outbox"]["bytes"] / MIB,
            "waiting events": float(status["counts"]["waiting"]),
            "events/s": status["counts"]["waiting"] / wall_s,
            "CPU-s/M": (after.cpu_s - before.cpu_s) / status["counts"]["waiting"] * 1e6,
            "peak MiB": after.peak_bytes / MIB,
        }
        if drained:
            stage.open(opened=True)
            until(lambda: stage.taken()["events"] >= files.distinct, running.child, within_s=DRAINED_S_MAX)
            stage.check(source["signingSecret"])
            figures["peak MiB, drained"] = usage(running.child.pid).peak_bytes / MIB
        return figures


def _is_full(running: Product, source: Document, size_mib: int) -> bool:
    status = running.status(source)
    return bool(status["outbox"]["bytes"] >= size_mib * MIB)
