"""The cost of an event against the keys that the ledger holds already."""

import time
from collections.abc import Iterator, Sequence

from bench.corpus import Shape, corpus
from bench.engines import MONGO, SQLITE, installed
from bench.floor import floor_cpu_s
from bench.forwarding import until_through
from bench.growth.keys import fill
from bench.growth.series import Point, Series
from bench.growth.settling import settle
from bench.measured import usages
from bench.product import product
from bench.result import PRODUCT, costs
from bench.stage import staged

SHAPE = Shape("ledger", 1_000, 53)
WALK_S_MAX = 900.0
M = 1_000_000
QUICK = {SQLITE: (0, M // 10, M), MONGO: (0, M // 10)}
FULL = {SQLITE: (0, M, 10 * M, 50 * M), MONGO: (0, M, 10 * M)}


def measure(*, full: bool) -> Series:
    """Each size in an installation of its own."""
    sizes = FULL if full else QUICK
    return Series(
        title="Ledger",
        axis="keys in the ledger",
        how=f"{SHAPE.files * SHAPE.records:,} new events in files of {SHAPE.records}, whose keys come between those of "
        "the last of 45 days. The walk is what the janitor does once a day to forget what is old, MongoDB's part "
        "included. The machine's memory holds all of it.",
        points=[point for engine, keys in sizes.items() for point in _points(engine, keys)],
        plotted=("CPU-s/M", "walk CPU-s"),
    )


def _points(engine: str, sizes: Sequence[int]) -> Iterator[Point]:
    floor_s = floor_cpu_s(corpus(SHAPE))
    for keys in sizes:
        yield Point(keys, _figures(engine, keys, floor_s), engine)


def _figures(engine: str, keys: int, floor_s: float) -> dict[str, float]:
    files, now = corpus(SHAPE), time.time()
    with staged(files, revealed=False) as stage, installed(engine) as place:
        with product(stage, place) as running:
            source = running.add_source(SHAPE.name)
            settle(running.child, place.servers, within_s=WALK_S_MAX)
        filling_s = time.monotonic()
        fill(place, source["id"], keys, now)
        filling_s = time.monotonic() - filling_s
        with product(stage, place) as running:
            walk_cpu_s = settle(running.child, place.servers, within_s=WALK_S_MAX)
            pids = {PRODUCT: running.child.pid, **place.servers}
            before, started_s = usages(pids), time.monotonic()
            stage.reveal(0)
            running.fetch(source)
            until_through(running.child, stage, files.distinct)
            running.wait(source, files.events)
            took = costs(before, usages(pids))
            wall_s = float(stage.taken()["last_at"]) - started_s
            stage.check(source["signingSecret"])
    figures = {
        "CPU-s/M": took[PRODUCT].cpu_s / files.events * M,
        "× floor": took[PRODUCT].cpu_s / floor_s,
        "events/s": files.events / wall_s,
        "peak MiB": took[PRODUCT].peak_mib,
        "walk CPU-s": walk_cpu_s,
        "keys/s when filled": keys / filling_s,
    }
    return figures | ({"mongod CPU-s/M": took["mongod"].cpu_s / files.events * M} if engine == MONGO else {})
