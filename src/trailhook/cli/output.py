"""What the command line prints: tables that fit the terminal, JSON on request, errors on stderr.

Nothing from outside is ever read as markup or as a terminal's control sequence.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from trailhook.errors import SettingsError, TrailhookError

FAILED = 1
USAGE = 2
PIPE_WIDTH = 240
"""Where nobody looks, columns need not fit a screen: what reads a pipe wants whole values."""
GAP = 2
"""Blanks between two columns."""
SENTENCE_WIDTH = 24
"""The narrowest column in which sentences can be read."""


class Commands(TyperGroup):
    """A group of commands whose known errors become a sentence on stderr and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TrailhookError as error:
            fail(str(error), status=USAGE if isinstance(error, SettingsError) else FAILED)


def group(summary: str, *, completion: bool = False) -> typer.Typer:
    """A new group of commands; the outermost one has `completion`."""
    return typer.Typer(
        cls=Commands, help=summary, no_args_is_help=True, add_completion=completion, pretty_exceptions_enable=False
    )


def fail(message: str, *, status: int = FAILED) -> NoReturn:
    """Say what went wrong on stderr and end with `status`."""
    print(
        "\n".join(f"error: {line}" if not at else line for at, line in enumerate(printable(message))), file=sys.stderr
    )
    raise typer.Exit(status)


def say(message: str) -> None:
    """One or more lines on stdout."""
    print("\n".join(printable(message)))


def say_now(message: str) -> None:
    """The same, at once even into a pipe: somebody waits for it."""
    say(message)
    sys.stdout.flush()


def show_json(value: object) -> None:
    """As JSON, for other programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(
    columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]], *, nothing: str, on: Console | None = None
) -> None:
    """Rows under headings: `columns` says which field (`a.b` reaches into objects) stands under which heading.

    No value is ever cut. Where a terminal is too narrow only sentences are broken, and where that does not do each row
    becomes a block of lines.
    """
    out = on or console()
    cells = [[_cell(_reach(row, path)) for path in columns.values()] for row in rows]
    widths = [max(cell_len(str(each)) for each in column) for column in zip(columns, *cells, strict=True)]
    sentences = [any(" " in cell.plain for cell in column) for column in zip(*cells, strict=True)]
    least = [min(width, SENTENCE_WIDTH) if wraps else width for width, wraps in zip(widths, sentences, strict=False)]
    if not cells:
        say(nothing)
    elif out.is_terminal and sum(least) + GAP * (len(least) - 1) > out.width:
        _show_blocks(out, list(columns), cells)
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading, wraps in zip(columns, sentences, strict=True):
            table.add_column(heading, overflow="fold", no_wrap=not (wraps and out.is_terminal))
        for row in cells:
            table.add_row(*row)
        out.print(table, width=None if out.is_terminal else max(PIPE_WIDTH, sum(widths) + GAP * len(widths)))


def _show_blocks(out: Console, headings: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    for number, row in enumerate(rows):
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True, style="bold", min_width=max(map(len, headings)))
        table.add_column(overflow="fold")
        for heading, cell in zip(headings, row, strict=True):
            table.add_row(heading, cell)
        out.print(*([""] if number else []), table, sep="\n")


def show_fields(value: Mapping[str, Any]) -> None:
    """One thing, a line a field; nested objects with dotted names."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, content in _flat(value):
        table.add_row(Text(name), _cell(content))
    console().print(table)


def console() -> Console:
    """Where tables and progress go."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def printable(text: str) -> Sequence[str]:
    """Its lines, with every character that could steer a terminal replaced."""
    return [
        "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)
        for line in text.split("\n")
    ]


def _cell(value: object) -> Text:
    if value is None or value in ("", [], {}):
        return Text("–")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ", ".join(value)
    return Text(" ".join(printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))))


def _reach(row: Mapping[str, Any], path: str) -> object:
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    for name, content in value.items():
        if isinstance(content, Mapping) and content:
            yield from _flat(content, f"{prefix}{name}.")
        else:
            yield prefix + name, content
