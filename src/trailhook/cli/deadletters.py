"""`trailhook deadletters …`: batches that were given up and are kept."""

import os
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from rich.progress import track

from trailhook.cli import output
from trailhook.cli.client import ApiRefused, Client, from_environment
from trailhook.cli.completion import source_names
from trailhook.cli.sources import source_id
from trailhook.errors import SettingsError

commands = output.group("Look at batches that were given up; send them again or discard them.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OfSource = Annotated[
    str | None, typer.Option("--source", help="Only those of this source (id or name).", autocompletion=source_names)
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Which ones.")]
All = Annotated[bool, typer.Option("--all", help="All of them, or all of --source.")]

LISTED = {
    "ID": "id",
    "SOURCE": "sourceId",
    "EVENTS": "count",
    "TRIES": "attemptCount",
    "SINCE": "settledAt",
    "WHY": "lastError",
}
ATTEMPTS = {
    "TRY": "number",
    "AT": "startedAt",
    "OUTCOME": "outcome",
    "STATUS": "status",
    "ERROR": "error",
    "ANSWER": "answer",
}


@commands.command(name="list")
def list_dead_letters(source: OfSource = None, as_json: AsJson = False) -> None:
    """Every dead letter, newest first."""
    client = from_environment(os.environ)
    found = list(client.every("deliveries", "deliveries", query=_dead(client, source)))
    if as_json:
        output.show_json({"deliveries": found})
    else:
        output.show_table(LISTED, found, nothing="No dead letters.")


@commands.command()
def show(dead_letter: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """One dead letter with every attempt."""
    answer = from_environment(os.environ).call("GET", "deliveries", dead_letter)
    if as_json:
        output.show_json(answer)
        return
    attempts = answer.get("attempts")
    output.show_fields({name: value for name, value in answer.items() if value is not attempts})
    if isinstance(attempts, list):
        output.show_table(ATTEMPTS, attempts, nothing="No attempts.")


@commands.command()
def retry(ids: Ids = None, every: All = False, source: OfSource = None) -> None:
    """Send again, the same bytes under the same id."""
    client = from_environment(os.environ)
    _each(
        _chosen(client, ids, every, source),
        lambda one: client.call("POST", "deliveries", one, "retry"),
        "waiting again",
    )


@commands.command()
def discard(
    ids: Ids = None,
    every: All = False,
    source: OfSource = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Give up for good; the events are counted as discarded."""
    client = from_environment(os.environ)
    chosen = _chosen(client, ids, every, source)
    if chosen and not yes:
        typer.confirm(f"Discard {len(chosen)} dead letter(s) for good?", abort=True, err=True)
    _each(chosen, lambda one: client.call("DELETE", "deliveries", one), "discarded")


def _dead(client: Client, source: str | None) -> dict[str, object]:
    return {"status": "dead", "source": source_id(client, source) if source else None}


def _chosen(client: Client, ids: list[str] | None, every: bool, source: str | None) -> Sequence[str]:
    if bool(ids) == every or (source and not every):
        raise SettingsError("Name the dead letters by their ids, or say --all (and --source to narrow it).")
    return ids or [each["id"] for each in client.every("deliveries", "deliveries", query=_dead(client, source))]


def _each(ids: Sequence[str], act: Callable[[str], object], done: str) -> None:
    """Do it to each; one that fails does not keep the others from it, but makes the whole fail."""
    failures = []
    console = output.console()
    for one in track(ids, console=console, disable=not console.is_terminal, transient=True):
        try:
            act(one)
        except ApiRefused as error:
            failures.append(f"{one}: {error}")
    output.say(f"{len(ids) - len(failures)} {done}.")
    if failures:
        output.fail("\n".join(failures))
