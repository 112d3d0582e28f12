"""`trailhook quarantine …`: what could not be read, and is kept."""

import os
from typing import Annotated

import typer

from trailhook.cli import output
from trailhook.cli.client import from_environment
from trailhook.cli.completion import source_names
from trailhook.cli.sources import source_id

commands = output.group("Look at what could not be read, and try it again.")

LISTED = {
    "ID": "id",
    "SOURCE": "sourceId",
    "KIND": "kind",
    "OBJECT": "name",
    "REASON": "reason",
    "DETAIL": "detail",
    "AT": "at",
}


@commands.command(name="list")
def list_quarantine(
    source: Annotated[
        str | None, typer.Option("--source", help="Only that of this source (id or name).", autocompletion=source_names)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Every object and record in quarantine, newest first."""
    client = from_environment(os.environ)
    query = {"source": source_id(client, source) if source else None}
    found = list(client.every("quarantine", "quarantine", query=query))
    if as_json:
        output.show_json({"quarantine": found})
    else:
        output.show_table(LISTED, found, nothing="Nothing is in quarantine.")


@commands.command()
def retry(entry: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Read it again, or send the record as it is."""
    from_environment(os.environ).call("POST", "quarantine", entry, "retry")
    output.say(f"{entry} is on its way again.")
