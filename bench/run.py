"""How fast Trailhook forwards, measured from outside: `make bench`, `make bench FULL=1`.

The product runs as its users run it, on one core, between a stub of S3 and a sink on the others. Before each shape the
floor is measured on the same files: inflate, split, join. A run whose events do not all arrive exactly once, byte for
byte and well signed, has no result.
"""

import argparse
from collections.abc import Iterator, Sequence

from bench import path, report
from bench.corpus import Shape
from bench.engines import ENGINES, MONGO
from bench.forwarding import forward
from bench.measured import machine
from bench.peers.run import NAIVE, PEERS, Peer, through
from bench.result import Result

BASELINE = "baseline"
LATEST = "latest"
BOTH = "both"
PEER_SHAPES = ("busy", "typical")
QUICK_MONGO_SHAPES = ("busy", "quiet")


def shapes(full: bool) -> list[Shape]:
    """What buckets look like: the first four as they differ in file size, then what makes events special."""
    times = 4 if full else 1
    return [
        Shape("busy", 60 * times, 2_000),
        Shape("typical", 1_000 * times, 53),
        Shape("quiet", 4_000 * times, 5),
        Shape("big", 1, 330_000),
        Shape("repeats", 1_000 * times, 53, repeat_share=0.21),
        Shape("replay", 60 * times, 2_000, waves=2),
        Shape("single", 100, 53, options=(("format", "single"),)),  # a request an event: it is long enough as it is
        Shape("idle", 12 * times, 53, one_by_one=True),
    ]


def planned(options: argparse.Namespace) -> Iterator[tuple[Shape, str | Peer]]:
    """Each shape with the engines and the other forwarders that it is to go through."""
    engines = ENGINES if options.engine in (None, BOTH) else (options.engine,)
    for shape in shapes(options.full):
        if options.only and shape.name not in options.only:
            continue
        for engine in engines:
            left_out = engine == MONGO and not (options.full or shape.name in QUICK_MONGO_SHAPES)
            if options.engine or options.only or not left_out:
                yield shape, engine
        if shape.name in PEER_SHAPES:
            yield from ((shape, peer) for peer in _peers(options))


def _peers(options: argparse.Namespace) -> Sequence[Peer]:
    if options.peers:
        return PEERS
    return () if options.only or options.engine else (NAIVE,)


def measured(plan: Iterator[tuple[Shape, str | Peer]], rounds: int, workers: int) -> Iterator[Result]:
    """Each run as it ends, the best of some rounds by CPU time."""
    for shape, who in plan:
        runs = (
            forward(shape, engine=who, workers=workers) if isinstance(who, str) else through(who, shape)
            for _ in range(rounds)
        )
        yield min(runs, key=lambda each: each.cost.cpu_s)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="four times as much of everything, on both engines")
    parser.add_argument("--engine", choices=(*ENGINES, BOTH), help="by default sqlite, and mongo for a shape or two")
    parser.add_argument("--only", action="append", default=[], metavar="SHAPE", help="some shapes only, and no peer")
    parser.add_argument("--peers", action="store_true", help="every other forwarder too: see make bench-peers")
    parser.add_argument("--rounds", type=int, default=1, help="the best of so many counts (default 1)")
    parser.add_argument("--workers", type=int, default=1, help="processes of the product (default 1)")
    parser.add_argument("--keep", metavar="NAME", help=f"keep under this name (whole runs are kept as {LATEST})")
    parser.add_argument("--path", action="store_true", help="measure the pure path by stages instead")
    return parser.parse_args()


def main() -> None:
    """Measure, tell, keep."""
    options = _options()
    if options.path:
        path.main([])
        return
    here = machine()
    print(report.described(here), flush=True)
    size = "full" if options.full else "quick"
    baseline = report.read(report.RESULTS / f"{BASELINE}-{size}.json")
    whole = not options.only and options.engine in (None, BOTH) and options.workers == 1
    name = options.keep or (LATEST if whole else None)
    kept = report.RESULTS / f"{name}-{size}.json"
    results = []
    for result in measured(planned(options), options.rounds, options.workers):
        results.append(result)
        if name:  # what there is, should the next one fail
            report.keep(kept, results, here, baseline)
        print(
            f"  {result.shape:8} {result.who:12} {result.cpu_s_per_million:8.1f} CPU-s/M {result.wall_s:7.2f} s",
            flush=True,
        )
    print(f"\n{report.table(results, baseline)}\n\n{report.cores(results)}")
    if name:
        print(f"\nKept in {kept}")


if __name__ == "__main__":
    main()
