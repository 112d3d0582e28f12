"""Figures over something that grows, and how they are told and kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import msgspec

from bench import plot, report


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured at one size; `line` says of what, where there is more than one."""

    size: float
    figures: Mapping[str, float]
    line: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One thing that grows."""

    title: str
    axis: str
    how: str
    """What was done, for who reads the table."""
    points: Sequence[Point]
    plotted: Sequence[str]
    """The figures that are worth a plot."""

    def table(self) -> str:
        """The points, a line each."""
        names = list(dict.fromkeys(name for point in self.points for name in point.figures))
        lines = [""] if any(point.line for point in self.points) else []
        rows = [
            [*([point.line] if lines else []), f"{point.size:,.0f}"]
            + [_shown(point.figures.get(name)) for name in names]
            for point in self.points
        ]
        return report.markdown([*lines, self.axis, *names], rows)

    def panels(self) -> list[plot.Panel]:
        """A plot for each figure that is worth one."""
        return [plot.Panel(f"{self.title}: {name}", self.axis, self._lines(name)) for name in self.plotted]

    def _lines(self, name: str) -> dict[str, list[tuple[float, float]]]:
        return {
            line: [(point.size, point.figures[name]) for point in points]
            for line, points in groupby(self.points, key=lambda point: point.line)
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """A series, and what it was measured on: parts may be measured one by one."""

    at: str
    machine: Mapping[str, str]
    series: Series


def read(path: Path) -> dict[str, Measured]:
    """What was kept earlier, by the part's name."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Measured]) if path.exists() else {}


def keep(path: Path, measured: Mapping[str, Measured]) -> None:
    """As JSON, and beside it as tables and as a plot."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n")
    path.with_suffix(".svg").write_text(
        plot.panels([panel for each in measured.values() for panel in each.series.panels()])
    )
    path.with_suffix(".md").write_text(_page(path.stem, list(measured.values())))


def _page(name: str, measured: Sequence[Measured]) -> str:
    parts = [
        "# Growth",
        "Made by `make bench-growth`, see [README](../README.md#growth). The axes across are logarithmic: what grows "
        "in proportion bends upwards.",
        f"![Growth]({name}.svg)",
    ]
    for each in measured:
        about = f"{each.at[:10]}, {report.described(each.machine)}."
        parts += [f"## {each.series.title}", each.series.how, each.series.table(), about]
    return "\n\n".join(parts) + "\n"


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
