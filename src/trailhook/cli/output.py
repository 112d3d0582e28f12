"""What the command line prints: tables that fit the terminal, JSON on request, errors on stderr.

Nothing from outside is ever read as markup or as a terminal's control sequence.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from trailhook.errors import SettingsError, TrailhookError

FAILED = 1
USAGE = 2
PIPE_WIDTH = 240
"""Where nobody looks, columns need not fit a screen: what reads a pipe wants whole values."""


class Commands(TyperGroup):
    """A group of commands whose known errors become a sentence on stderr and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TrailhookError as error:
            fail(str(error), status=USAGE if isinstance(error, SettingsError) else FAILED)


def group(summary: str) -> typer.Typer:
    """A new group of commands."""
    return typer.Typer(
        cls=Commands, help=summary, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
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


def show_table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]], *, nothing: str) -> None:
    """Rows under headings: `columns` says which field (`a.b` reaches into objects) stands under which heading."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(columns):
        table.add_column(heading, overflow="fold", no_wrap=not number)
    for row in rows:
        table.add_row(*(_cell(_reach(row, path)) for path in columns.values()))
    if table.row_count:
        console().print(table)
    else:
        say(nothing)


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
