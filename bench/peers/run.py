"""A shape through another forwarder."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.corpus import Shape, corpus
from bench.floor import floor_cpu_s
from bench.forwarding import until_through
from bench.measured import on_core, usages
from bench.result import PRODUCT, Result, costs, percentiles_ms
from bench.stage import START_S, staged
from trailhook.demo.children import Child

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another forwarder: a module that is told the two ends, in an environment that has what it needs."""

    name: str
    module: str
    python: str = sys.executable


NAIVE = Peer("naive", "bench.peers.naive")
TRAILSCRAPER = Peer("trailscraper", "bench.peers.with_trailscraper", str(ROOT / ".venv" / ".peers" / "bin" / "python"))
PEERS = (NAIVE, TRAILSCRAPER)


def through(peer: Peer, shape: Shape) -> Result:
    """Run it. Raises `NotRight` unless every distinct event came once, byte for byte: signatures are not asked for."""
    files = corpus(shape)
    floor_s = floor_cpu_s(files)
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    with staged(files) as stage:
        with on_core(first=True):
            ends = [f"http://{stage.stub}", f"http://{stage.sink}/"]
            child = Child(peer.name, peer.module, ends, environ, python=peer.python)
        with child:
            child.wait_for("started", START_S)
            pids = {PRODUCT: child.pid, **stage.pids}
            before, started_s = usages(pids), time.monotonic()
            until_through(child, stage, files.distinct)
            took = costs(before, usages(pids))
        stage.check()
        taken, delays_s = stage.taken(), stage.listed_to_answered_s()
    return Result(
        shape=shape.name,
        who=peer.name,
        files=shape.files,
        events=files.events,
        event_bytes=files.inflated_bytes // files.events,
        wall_s=taken["last_at"] - started_s,
        floor_cpu_s=floor_s,
        cost=took.pop(PRODUCT),
        beside=took,
        requests=taken["requests"],
        listed_to_answered_ms=percentiles_ms(delays_s),
    )
