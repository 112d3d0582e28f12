"""`trailhook events`: the log of events, searched and watched."""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.status import Status

from trailhook.cli import output
from trailhook.cli.client import Client, Document, from_environment
from trailhook.cli.completion import source_names
from trailhook.cli.sources import source_id
from trailhook.clock import Clock, SystemClock, from_rfc3339, rfc3339
from trailhook.errors import SettingsError

LIMIT = 50
"""Of events in a table, unless it is said."""
PAGE = 500
TABLE_WIDTH_MIN = 120
"""On a narrower terminal a line for each event is easier to read."""
EXPORT_SILENCE_S = 3_600.0
"""For so long an export may find nothing."""
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
COLUMNS = {
    "TIME": "time",
    "EVENT": "eventName",
    "SERVICE": "service",
    "USER": "who",
    "IP": "ip",
    "ERROR": "errorCode",
}

_AGO = re.compile(r"(\d{1,6})([smhdw])")


def events(
    query: Annotated[
        str, typer.Argument(help="Such as 'eventName:Console* NOT errorCode:*'; docs/searching.md tells it all.")
    ] = "",
    source: Annotated[
        str | None, typer.Option(help="Only those of this source (id or name).", autocompletion=source_names)
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Not before: a time, or how long ago, as in 2h.")] = None,
    to: Annotated[str | None, typer.Option(help="Before: a time, or how long ago.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"How many at most: by default {LIMIT} in a table, all as JSON.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, an event a line.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Show events as they come, until Ctrl-C.")] = False,
) -> None:
    """Search the log of events, newest first; or watch them come."""
    client, clock = from_environment(os.environ), SystemClock()
    if follow and (from_ or to or limit):
        raise SettingsError("--follow shows what comes: it takes no --from, --to or --limit.")
    asked: dict[str, object] = {
        "q": query or None,
        "source": source_id(client, source) if source else None,
        "from": time(from_, "--from", clock),
        "to": time(to, "--to", clock),
    }
    if follow:
        _follow(client, asked, as_json=as_json)
    elif as_json:
        for line in client.patient(EXPORT_SILENCE_S).lines(
            "events", query={**asked, "limit": limit}, accept="application/x-ndjson"
        ):
            print(line)
    else:
        _table(client, asked, limit or LIMIT)


def time(text: str | None, option: str, clock: Clock) -> str | None:
    """A time as the API takes it, from one with an offset or from how long ago it was. Raises `SettingsError`."""
    if text is None:
        return None
    try:
        if ago := _AGO.fullmatch(text):
            return rfc3339(clock.now() - int(ago[1]) * UNITS_S[ago[2]])
        return rfc3339(from_rfc3339(text))
    except (ValueError, OverflowError):
        raise SettingsError(
            f"{option} is a time like 2026-01-31T12:00:00Z, or how long ago: 90s, 30m, 2h, 7d"
        ) from None


def _table(client: Client, asked: Mapping[str, object], limit: int) -> None:
    found: list[Document] = []
    without_record = 0
    wanted = dict(asked)
    with _progress() as progress:
        while True:
            answer = client.call("GET", "events", query={**wanted, "limit": min(PAGE, limit - len(found))})
            found += answer["events"]
            without_record += answer["withoutRecord"]
            if answer["complete"] or len(found) >= limit:
                break
            progress.update(f"{len(found)} found, searched back to {answer['searchedBackTo']}")
            wanted["cursor"] = answer["next"]
    console = output.console()
    if console.is_terminal and console.width < TABLE_WIDTH_MIN and found:
        output.say("\n".join(map(_brief, found)))
    else:
        output.show_table(COLUMNS, map(_row, found), nothing="No events.")
    if not answer["complete"]:
        output.say(f"The newest {limit}. There may be more before {answer['searchedBackTo']}: see --limit and --to.")
    if without_record:
        output.say(f"{without_record} more could not be searched for the text: their records are no longer kept.")


def _follow(client: Client, asked: Mapping[str, object], *, as_json: bool) -> None:
    try:
        for line in client.lines("events", "tail", query=asked, accept="text/event-stream"):
            name, _, data = line.partition(": ")
            if name == "data":
                output.say_now(data if as_json else _brief(json.loads(data)))
    except KeyboardInterrupt:
        return


@contextmanager
def _progress() -> Iterator[Status]:
    """How far it has got, on a terminal."""
    console = Console(stderr=True, quiet=not sys.stderr.isatty(), highlight=False, markup=False)
    with console.status("searching") as status:
        yield status


def _row(event: Document) -> Document:
    return {**event, "service": (event["eventSource"] or "").removesuffix(".amazonaws.com"), "who": _who(event)}


def _who(event: Mapping[str, Any]) -> str:
    """Of an ARN what it names: the account and the region are other columns' matter."""
    user = event["user"] or ""
    return user.split(":", 5)[-1] if user.startswith("arn:") else user


def _brief(event: Document) -> str:
    row = _row(event)
    parts = [row[name] for name in ("time", "service", "eventName", "who", "ip", "region", "errorCode")]
    return "  ".join(part for part in parts if part)
