"""Results as a table, as JSON beside a baseline, and as a plot."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bench.forwarding import Result

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("shape", "who", "events/s", "objects/s", "CPU-s/M", "× floor", "peak MiB", "written MiB", "of baseline")
BAR_PX = 18
WIDTH_PX = 560
LABEL_PX = 150


def table(results: Sequence[Result], baseline: dict[str, Any] | None) -> str:
    """The figures, one shape a line, in Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(_cells(each, baseline)) + " |" for each in results]
    for each in results:
        if delays := each.listed_to_answered_ms:
            lines += ["", f"From listed to answered, idle, {delays['files']} files: "]
            lines[-1] += f"p50 {delays['p50']:.0f} ms, p95 {delays['p95']:.0f} ms."
    return "\n".join(lines)


def _cells(result: Result, baseline: dict[str, Any] | None) -> tuple[str, ...]:
    if result.listed_to_answered_ms:
        return (result.shape, result.who, "", "", "", "", f"{result.peak_mib:.0f}", "", "")
    return (
        result.shape,
        result.who,
        f"{result.events_per_s:,.0f}",
        f"{result.objects_per_s:,.0f}",
        f"{result.cpu_s_per_million:.1f}",
        f"{result.times_floor:.1f}",
        f"{result.peak_mib:.0f}",
        f"{result.written_mib:.0f}",
        _of_baseline(result, baseline),
    )


def _of_baseline(result: Result, baseline: dict[str, Any] | None) -> str:
    """CPU time against the baseline's, both as multiples of the floor: machines differ, ratios less."""
    for each in (baseline or {}).get("results", ()):
        if (each["shape"], each["who"]) == (result.shape, result.who):
            return f"{result.times_floor / each['times_floor']:.2f}"
    return ""


def read(path: Path) -> dict[str, Any] | None:
    """Results kept earlier, None if there are none."""
    return json.loads(path.read_text()) if path.exists() else None


def keep(path: Path, results: Sequence[Result], machine: dict[str, str]) -> None:
    """Write the results, and the plot beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    document = {"at": at, "machine": machine, "results": [each.document() for each in results]}
    path.write_text(json.dumps(document, indent=1) + "\n")
    path.with_suffix(".svg").write_text(plot(results))


def plot(results: Sequence[Result]) -> str:
    """CPU seconds per million events as bars, each with its floor in a darker tone."""
    shown = [each for each in results if not each.listed_to_answered_ms]
    most = max((each.cpu_s_per_million for each in shown if each.who == "trailhook"), default=1.0)
    bars = "\n".join(_bar(index, each, most) for index, each in enumerate(shown))
    height = (len(shown) + 2) * (BAR_PX + 6)
    title = "CPU seconds per million events; dark: the floor (inflate, split, join)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LABEL_PX + WIDTH_PX + 90}" height="{height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="8" y="16">{title}</text>\n{bars}\n</svg>\n'
    )


def _bar(index: int, result: Result, most: float) -> str:
    y = (index + 1) * (BAR_PX + 6)
    floor = result.floor_cpu_s / result.events * 1e6
    width = min(result.cpu_s_per_million / most, 1.0) * WIDTH_PX
    over = " …" if result.cpu_s_per_million > most else ""
    fill = "#8fb8de" if result.who == "trailhook" else "#cccccc"
    middle = y + BAR_PX - 5
    return (
        f'<text x="8" y="{middle}">{escape(result.shape)}, {escape(result.who)}</text>'
        f'<rect x="{LABEL_PX}" y="{y}" width="{width:.0f}" height="{BAR_PX}" fill="{fill}"/>'
        f'<rect x="{LABEL_PX}" y="{y}" width="{min(floor / most, 1.0) * WIDTH_PX:.0f}" height="{BAR_PX}" '
        f'fill="#31587d"/>'
        f'<text x="{LABEL_PX + width + 6:.0f}" y="{middle}">{result.cpu_s_per_million:.1f}{over}</text>'
    )
