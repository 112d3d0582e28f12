"""Plots as SVG, by hand: bars beside their names, and lines over a logarithmic axis."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

BAR_PX, GAP_PX, LABEL_PX, WIDTH_PX = 18, 6, 170, 540
PANEL_PX, PANEL_HEIGHT_PX, MARGIN_PX = 400, 250, 46
DARK = "#31587d"
COLOURS = (DARK, "#d08a2e", "#5a9367", "#9c5a8c")
FRAME = '<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{}" font-family="sans-serif" font-size="12">'
PAPER = '<rect width="100%" height="100%" fill="#fff"/>'


@dataclass(frozen=True, slots=True)
class Bar:
    """A value, and the part of it that could not be less."""

    name: str
    value: float
    least: float
    colour: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Some lines, each a name and its points, over one axis."""

    title: str
    axis: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def bars(title: str, shown: Sequence[Bar], most: float) -> str:
    """One below another; what is beyond `most` is cut off."""
    height = (len(shown) + 2) * (BAR_PX + GAP_PX)
    rows = [_bar((index + 1) * (BAR_PX + GAP_PX), each, most) for index, each in enumerate(shown)]
    frame = FRAME.format(LABEL_PX + WIDTH_PX + 90, height)
    return "\n".join([frame + PAPER, f'<text x="8" y="16">{escape(title)}</text>', *rows, "</svg>", ""])


def panels(shown: Sequence[Panel]) -> str:
    """Two beside each other, as many rows as it takes."""
    rows = math.ceil(len(shown) / 2)
    drawn = [
        f'<g transform="translate({index % 2 * PANEL_PX},{index // 2 * PANEL_HEIGHT_PX})">{_panel(each)}</g>'
        for index, each in enumerate(shown)
    ]
    return "\n".join([FRAME.format(2 * PANEL_PX, rows * PANEL_HEIGHT_PX) + PAPER, *drawn, "</svg>", ""])


def short(value: float) -> str:
    """A number in few characters: 12M, 50k, 3.4."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _bar(y: int, bar: Bar, most: float) -> str:
    wide, least = (min(each / most, 1.0) * WIDTH_PX for each in (bar.value, bar.least))
    over = " …" if bar.value > most else ""
    middle = y + BAR_PX - 5
    return (
        f'<text x="8" y="{middle}">{escape(bar.name)}</text>'
        f'<rect x="{LABEL_PX}" y="{y}" width="{wide:.0f}" height="{BAR_PX}" fill="{bar.colour}"/>'
        f'<rect x="{LABEL_PX}" y="{y}" width="{least:.0f}" height="{BAR_PX}" fill="{DARK}"/>'
        f'<text x="{LABEL_PX + wide + 6:.0f}" y="{middle}">{bar.value:.1f}{over}</text>'
    )


def _panel(panel: Panel) -> str:
    points = [point for line in panel.lines.values() for point in line]
    places = sorted({x for x, _ in points})
    top = 1.25 * max((y for _, y in points), default=1.0) or 1.0
    left, right, low, high = MARGIN_PX, PANEL_PX - 16, PANEL_HEIGHT_PX - MARGIN_PX, 40
    first, last = math.log10(max(places[0], 1)), math.log10(max(places[-1], 10))

    def across(x: float) -> float:
        return left + (math.log10(max(x, 1)) - first) / ((last - first) or 1) * (right - left)

    def up(y: float) -> float:
        return low - y / top * (low - high)

    parts = [f'<text x="{left}" y="18" font-weight="bold">{escape(panel.title)}</text>']
    parts += [f'<path d="M{left} {high}V{low}H{right}" fill="none" stroke="#999"/>']
    parts += [f'<text x="{across(x):.0f}" y="{low + 15}" text-anchor="middle">{short(x)}</text>' for x in places]
    parts += [f'<text x="{left - 5}" y="{up(y) + 4:.0f}" text-anchor="end">{short(y)}</text>' for y in (0, top / 1.25)]
    parts += [f'<text x="{(left + right) / 2:.0f}" y="{low + 32}" text-anchor="middle">{escape(panel.axis)}</text>']
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{across(x):.0f},{up(y):.0f}" for x, y in line)
        parts += [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
        parts += [f'<circle cx="{across(x):.0f}" cy="{up(y):.0f}" r="3" fill="{colour}"/>' for x, y in line]
        parts += [f'<text x="{left + 8 + 130 * number}" y="34" fill="{colour}">{escape(name)}</text>']
    return "\n".join(parts)
