"""What becomes of cost and memory as an installation grows: `make bench-growth`, `make bench-growth FULL=1`."""

import argparse
from datetime import UTC, datetime

from bench import report
from bench.growth import bucket, ledger, outbox, sources
from bench.growth.series import Measured, keep, read
from bench.measured import machine

PARTS = {"ledger": ledger.measure, "bucket": bucket.measure, "outbox": outbox.measure, "sources": sources.measure}


def main() -> None:
    """Measure, tell, keep: each part as soon as it is there, beside the others of before."""
    parser = argparse.ArgumentParser(prog="make bench-growth ARGS=…", description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="the sizes that large installations reach")
    parser.add_argument("--only", action="append", choices=sorted(PARTS), help="some parts only")
    options = parser.parse_args()
    path = report.RESULTS / ("growth.json" if options.full else "growth-quick.json")
    measured = read(path)
    for name, measure in PARTS.items():
        if not options.only or name in options.only:
            here, at = machine(), datetime.now(UTC).isoformat(timespec="seconds")
            measured[name] = Measured(at, here, measure(full=options.full))
            print(f"\n## {measured[name].series.title}\n\n{measured[name].series.table()}", flush=True)
            keep(path, {each: measured[each] for each in PARTS if each in measured})


if __name__ == "__main__":
    main()
