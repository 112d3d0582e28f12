"""`trailhook verify`: was everything forwarded that CloudTrail delivered?"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from trailhook.cli import output
from trailhook.cli.client import from_environment
from trailhook.cli.documents import Document
from trailhook.cli.sources import AsJson, SourceId, source_id
from trailhook.clock import SystemClock, rfc3339

PAGE_TIMEOUT_S = 300.0
"""A page takes some seconds, and as long again for its last hours where objects are read anew."""
NEWEST_S = 7_200.0
"""How long CloudTrail takes for an hour and its digest."""
PROVED = "proved"
COLUMNS = {
    "ACCOUNT": "account",
    "REGION": "region",
    "TRAIL": "trail",
    "FROM": "from",
    "TO": "to",
    "STATE": "state",
    "MISSING": "missingCount",
    "ALTERED": "alteredCount",
    "WHY": "detail",
}


def verify(
    source: SourceId,
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="From when on (RFC 3339).")],
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Up to when; by default two hours ago, for digests are late."),
    ] = None,
    every_hour: Annotated[bool, typer.Option("--all", help="Show the hours that are proved, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hold what was forwarded against CloudTrail's digests, hour by hour. The exit status is 1 unless all is proved."""
    client = from_environment(os.environ).patient(PAGE_TIMEOUT_S)
    query = {"from": begin, "to": end or rfc3339(SystemClock().now() - NEWEST_S)}
    states = Counter[str]()
    hours: list[Document] = []
    with _progress() as tell:
        for hour in client.every("hours", "sources", source_id(client, source), "completeness", query=query):
            states[hour["state"]] += 1
            tell(states)
            if as_json or every_hour or hour["state"] != PROVED:
                hours.append(hour)
    if as_json:
        output.show_json({**query, "states": states, "hours": hours})
    else:
        _show(hours, states)
    if not states or set(states) != {PROVED}:
        raise typer.Exit(output.FAILED)


def _show(hours: list[Document], states: Counter[str]) -> None:
    if hours:
        output.show_table(COLUMNS, hours, nothing="")
    for hour in hours:
        for each in hour["missing"]:
            output.say(f"missing ({each['why']}): {each['object']}")
        for each in hour["altered"]:
            output.say(f"altered: {each['object']}: SHA-256 {each['found']} instead of {each['expected']}")
    if states:
        output.say(_sum(states))
    else:
        output.say("Nothing is proved: there are neither logs nor digests under the source's prefix.")


def _sum(states: Counter[str]) -> str:
    return f"{states.total():,} hours of trails: " + ", ".join(f"{count:,} {state}" for state, count in states.items())


@contextmanager
def _progress() -> Iterator["_Tell"]:
    """A bar while it lasts, on a terminal only. Regions are found on the way: how many there are shows at the end."""
    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=output.console(), transient=True, disable=not output.console().is_terminal) as bar:
        yield _Tell(bar)


class _Tell:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("asking", total=None)

    def __call__(self, states: Counter[str]) -> None:
        self._bar.update(self._task, description=_sum(states))
