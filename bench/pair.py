"""Two checkouts of the product through one shape at the same time, on the same cores: `make bench-pair BEFORE=DIR`.

On a shared machine one run says little of another: its speed changes within minutes, by more than most changes bring.
What runs at the same moment on the same core has the same luck, so here only ratios count. Each run is proven right as
in `make bench`; how fast the two are says nothing, for they share what there is.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.engines import ENGINES, SQLITE
from bench.report import RESULTS, markdown

HERE = Path(__file__).parents[1]
RUN_S_MAX = 900.0
FIGURES: Mapping[str, Any] = {
    "CPU-s/M": lambda result: result["cpu_s_per_million"],
    "mongod CPU-s/M": lambda result: result["beside"].get("mongod", {}).get("cpu_s", 0.0) / result["events"] * 1e6,
    "peak MiB": lambda result: result["cost"]["peak_mib"],
}

Document = Mapping[str, Any]


def together(checkouts: Sequence[Path], shape: str, engine: str) -> list[Document]:
    """One run of each, at the same time."""
    running = [(each, *_start(each, shape, engine)) for each in checkouts]
    results = []
    for checkout, process, kept in running:
        said, _ = process.communicate(timeout=RUN_S_MAX)
        if process.returncode:
            raise SystemExit(f"{checkout}:\n{said}")
        results.append(json.loads(kept.read_text())["results"][0])
        for each in kept.parent.glob(f"{kept.stem}.*"):
            each.unlink()
    return results


def _start(checkout: Path, shape: str, engine: str) -> tuple["subprocess.Popen[str]", Path]:
    with tempfile.NamedTemporaryFile(prefix="pair-") as unique:
        name = Path(unique.name).name
    command = [sys.executable, "-m", "bench.run", "--only", shape, "--engine", engine, "--keep", name]
    environ = os.environ | {"PYTHONPATH": f"{checkout / 'src'}:{checkout / 'tests'}:{checkout}"}
    process = subprocess.Popen(
        command, cwd=checkout, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return process, checkout / RESULTS.relative_to(HERE) / f"{name}-quick.json"


def rows(shape: str, engine: str, pairs: Sequence[Sequence[Document]]) -> list[list[str]]:
    """A row a figure: the medians of both, and of the ratios of the pairs."""
    found = []
    for name, figure in FIGURES.items():
        befores, afters = ([figure(each) for each in side] for side in zip(*pairs, strict=True))
        if any(befores):
            ratios = [after / before for before, after in zip(befores, afters, strict=True)]
            middle = [f"{statistics.median(values):.1f}" for values in (befores, afters)]
            found.append([shape, engine, name, *middle, f"{statistics.median(ratios):.2f}", _spread(ratios)])
    return found


def _spread(ratios: Sequence[float]) -> str:
    return f"{min(ratios):.2f} to {max(ratios):.2f}"


def main() -> None:
    """Run the pairs and print the table."""
    parser = argparse.ArgumentParser(prog="make bench-pair", description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path, help="the other checkout, such as a worktree of an older commit")
    parser.add_argument("--only", action="append", metavar="SHAPE", help="by default busy and typical")
    parser.add_argument("--engine", choices=ENGINES, default=SQLITE)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    table: list[list[str]] = []
    for shape in asked.only or ["busy", "typical"]:
        pairs = [together([asked.before.resolve(), HERE], shape, asked.engine) for _ in range(asked.rounds)]
        table += rows(shape, asked.engine, pairs)
    print(markdown(["shape", "engine", "figure", "before", "after", "ratio", "of the pairs"], table))


if __name__ == "__main__":
    main()
