"""Results as tables, as JSON beside a baseline, and as a plot."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import plot
from bench.engines import ENGINES
from bench.result import Result

RESULTS = Path(__file__).parent / "results"
COLOURS = {"sqlite": "#8fb8de", "mongo": "#9fcf9f"}
OTHERS = "#cccccc"

Baseline = Mapping[str, Any] | None

COLUMNS: Mapping[str, Callable[[Result], str]] = {
    "events/s": lambda each: f"{each.events_per_s:,.0f}",
    "objects/s": lambda each: f"{each.objects_per_s:,.0f}",
    "CPU-s/M": lambda each: f"{each.cpu_s_per_million:.1f}",
    "× floor": lambda each: f"{each.times_floor:.1f}",
    "mongod CPU-s/M": lambda each: "" if (spent := each.store_cpu_s_per_million) is None else f"{spent:.1f}",
    "peak MiB": lambda each: f"{each.cost.peak_mib:.0f}",
    "written MiB": lambda each: f"{each.written_mib:.0f}",
    "p50 ms": lambda each: _delay(each, "p50"),
    "p95 ms": lambda each: _delay(each, "p95"),
}
DEAREST = "single"
"""A request for every event takes so much that a plot with room for it would show nothing else."""
WHEN_IDLE = frozenset({"peak MiB", "p50 ms", "p95 ms"})
"""What says something of a product that mostly waits."""


def table(results: Sequence[Result], baseline: Baseline) -> str:
    """The figures, a run a line."""
    rows = [
        [each.shape, each.who]
        + [show(each) if not each.idle or name in WHEN_IDLE else "" for name, show in COLUMNS.items()]
        + [_of_baseline(each, baseline)]
        for each in results
    ]
    return markdown(["shape", "who", *COLUMNS, "of baseline"], rows)


def cores(results: Sequence[Result]) -> str:
    """How busy each process was, in hundredths of a core, while the product forwarded."""
    rows = [
        [each.shape, each.who, *(_share(each, name) for name in ("product", "helpers", "mongod", "stub", "sink"))]
        for each in results
        if not each.idle
    ]
    return markdown(["shape", "who", "forwarder", "of it helpers", "mongod", "S3 stub", "sink"], rows)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def described(machine: Mapping[str, str]) -> str:
    """The machine, in a line."""
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def read(path: Path) -> Baseline:
    """Results kept earlier, None if there are none."""
    return json.loads(path.read_text()) if path.exists() else None


def keep(path: Path, results: Sequence[Result], machine: Mapping[str, str], baseline: Baseline) -> None:
    """Write the results as JSON, and beside it the tables and the plot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    document = {"at": at, "machine": machine, "results": [each.document() for each in results]}
    path.write_text(json.dumps(document, indent=1) + "\n")
    path.with_suffix(".svg").write_text(_plot(results))
    path.with_suffix(".md").write_text(_page(path.stem, at, machine, results, baseline))


def _page(name: str, at: str, machine: Mapping[str, str], results: Sequence[Result], baseline: Baseline) -> str:
    parts = [
        f"# {name}: what forwarding takes",
        f"{at[:10]}, {described(machine)}. What the columns mean: [README](../README.md). Every run was proven right.",
        table(results, baseline),
        f"![CPU seconds per million events]({name}.svg)",
        "How busy each process was, in hundredths of a core, from the start to the last answer:",
        cores(results),
    ]
    return "\n\n".join(parts) + "\n"


def _plot(results: Sequence[Result]) -> str:
    shown = [each for each in results if not each.idle]
    most = max((each.cpu_s_per_million for each in shown if each.who in ENGINES and each.shape != DEAREST), default=1.0)
    drawn = [
        plot.Bar(
            f"{each.shape}, {each.who}",
            each.cpu_s_per_million,
            each.floor_cpu_s / each.events * 1e6,
            COLOURS.get(each.who, OTHERS),
        )
        for each in shown
    ]
    return plot.bars("CPU seconds per million events; dark: the floor (inflate, split, join)", drawn, most)


def _delay(result: Result, name: str) -> str:
    return f"{result.listed_to_answered_ms[name]:,.0f}" if result.listed_to_answered_ms else ""


def _share(result: Result, name: str) -> str:
    cost = result.cost if name == "product" else result.beside.get(name)
    return "" if cost is None else f"{cost.cpu_s / result.wall_s:.0%}"


def _of_baseline(result: Result, baseline: Baseline) -> str:
    """CPU time against the baseline's, both as multiples of the floor: machines differ, ratios less."""
    if result.idle or not baseline:
        return ""
    for each in baseline["results"]:
        if (each["shape"], each["who"]) == (result.shape, result.who):
            return f"{result.times_floor / each['times_floor']:.2f}"
    return ""
