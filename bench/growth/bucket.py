"""Memory and requests of a look through a bucket against the keys in it."""

import os
import time
from collections.abc import Iterator, Sequence

from bench import http_server
from bench.corpus import Shape, corpus
from bench.engines import SQLITE, Installation, installed
from bench.growth.series import Point, Series
from bench.growth.settling import until
from bench.measured import usage
from bench.product import Document, Product, product
from bench.result import MIB
from bench.stage import START_S, NotRight, Stage, ask, staged
from trailhook.demo.children import Child

QUICK = (1_000, 10_000, 100_000)
FULL = (10_000, 100_000, 1_000_000)
LOOK_S_MAX = 600.0
SHAPE = Shape("nothing", 1, 1)


def measure(*, full: bool) -> Series:
    """Each size in an installation of its own."""
    return Series(
        title="Bucket",
        axis="keys in the bucket",
        how="A year of files in four regions. The first look, from the beginning, lists all of them and keeps each as "
        "a unit to be read; the next one looks back a day. A full outbox keeps it from reading.",
        points=list(_points(FULL if full else QUICK)),
        plotted=("first: peak MiB", "first: requests", "next: requests", "next: CPU ms"),
    )


def _points(sizes: Sequence[int]) -> Iterator[Point]:
    for keys in sizes:
        with (
            staged(corpus(SHAPE)) as ends,
            Child("bucket", "bench.growth.full_bucket", [str(keys)], os.environ) as full,
        ):
            stage = Stage(ends.corpus, full.wait_for(http_server.READY, START_S), ends.sink, {})
            ends.open(opened=False)
            with installed(SQLITE) as place:
                yield Point(keys, _figures(stage, place, keys))


def _figures(stage: Stage, place: Installation, keys: int) -> dict[str, float]:
    with product(stage, place, settings={"TRAILHOOK_OUTBOX_BYTES_MAX": "1"}) as running:
        pid = running.child.pid
        started, started_s = usage(pid), time.monotonic()
        source = running.add_source("bucket")
        until(lambda: _has_looked(running, source), running.child, within_s=LOOK_S_MAX)
        first, first_s, lists = usage(pid), time.monotonic() - started_s, ask(stage.stub, "/-/counts")["lists"]
        known = running.status(source)["units"]
        if known["waiting"] + known["done"] != keys:
            raise NotRight(f"of {keys:,} keys: {known}")
        running.fetch(source)
        until(lambda: ask(stage.stub, "/-/counts")["lists"] > lists, running.child, within_s=LOOK_S_MAX)
        until(lambda: _has_looked(running, source), running.child, within_s=LOOK_S_MAX)
        second = usage(pid)
        return {
            "first: requests": lists,
            "first: s": first_s,
            "first: CPU µs a key": (first.cpu_s - started.cpu_s) / keys * 1e6,
            "first: peak MiB": first.peak_bytes / MIB,
            "next: requests": ask(stage.stub, "/-/counts")["lists"] - lists,
            "next: CPU ms": (second.cpu_s - first.cpu_s) * 1e3,
            "next: peak MiB": second.peak_bytes / MIB,
        }


def _has_looked(running: Product, source: Document) -> bool:
    """A look that is due or under way has not moved the time of the next one ahead yet."""
    status = running.status(source)
    return bool(status["lastFetchAt"]) and status["nextFetchAt"] > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
