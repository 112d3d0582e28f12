"""How fast Trailhook forwards, measured from outside: `make bench`, `make bench FULL=1`.

The product runs as its users run it, on one core, between a stub of S3 and a sink on the others. Before each shape the
floor is measured on the same files: inflate, split, join. A run whose events do not all arrive exactly once, byte for
byte and well signed, has no result.
"""

import argparse
import platform
from pathlib import Path

from bench import path, report
from bench.corpus import Shape
from bench.forwarding import Result, forward, machine, naive

BASELINE = "baseline"
LATEST = "latest"


def shapes(full: bool) -> list[Shape]:
    """What buckets look like: the first four as they differ in file size, then what makes events special."""
    times = 4 if full else 1
    return [
        Shape("busy", 60 * times, 2_000),
        Shape("typical", 1_000 * times, 53),
        Shape("quiet", 4_000 * times, 5),
        Shape("big", 1, 230_000),
        Shape("repeats", 1_000 * times, 53, repeat_share=0.21),
        Shape("replay", 60 * times, 2_000, waves=2),
        Shape("single", 100 * times, 53, options=(("format", "single"),)),
        Shape("idle", 12 * times, 53, one_by_one=True),
    ]


def measured(wanted: list[Shape], *, rounds: int, peer: bool) -> list[Result]:
    """Each shape, the best of some rounds by CPU time; the peer on the first two."""
    results = []
    for shape in wanted:
        results.append(min((forward(shape) for _ in range(rounds)), key=lambda each: each.cpu_s))
        _tell(results[-1])
        if peer and shape.name in ("busy", "typical"):
            results.append(naive(shape))
            _tell(results[-1])
    return results


def _tell(result: Result) -> None:
    print(
        f"  {result.shape:8} {result.who:9} {result.cpu_s_per_million:8.1f} CPU-s/M {result.wall_s:7.2f} s", flush=True
    )


def main() -> None:
    """Measure, tell, keep."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="four times as much of everything")
    parser.add_argument("--only", action="append", default=[], metavar="SHAPE", help="some shapes only, and no peer")
    parser.add_argument("--rounds", type=int, default=1, help="the best of so many counts (default 1)")
    parser.add_argument("--keep", default=LATEST, metavar="NAME", help=f"keep under this name (default {LATEST})")
    parser.add_argument("--path", action="store_true", help="measure the pure path by stages instead")
    options = parser.parse_args()
    if options.path:
        path.main([])
        return
    here = machine()
    print(f"{platform.machine()}, {', '.join(f'{name} {value}' for name, value in here.items())}", flush=True)
    wanted = [each for each in shapes(options.full) if not options.only or each.name in options.only]
    results = measured(wanted, rounds=options.rounds, peer=not options.only)
    size = "full" if options.full else "quick"
    baseline = report.read(report.RESULTS / f"{BASELINE}-{size}.json")
    print("\n" + report.table(results, baseline))
    if not options.only:
        kept = Path(report.RESULTS / f"{options.keep}-{size}.json")
        report.keep(kept, results, here)
        print(f"\nKept in {kept}")


if __name__ == "__main__":
    main()
