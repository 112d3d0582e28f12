"""`trailhook source …`: the registered sources."""

import difflib
import os
import uuid
from typing import Annotated

import typer

from trailhook.cli import output
from trailhook.cli.client import ApiRefused, Client, from_environment
from trailhook.cli.completion import source_names
from trailhook.cli.documents import Document, merged, read_json, without_absent
from trailhook.cli.source_options import takes_source_options
from trailhook.errors import SettingsError

commands = output.group("Register, look at and steer sources.")

SourceId = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help="Its id, or its name if only one has it.", autocompletion=source_names),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DocumentFile = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="Take the API's document from a file; options win over it."),
]

TEST_TIMEOUT_S = 120.0
"""Trying a source out waits for AWS and for its webhook."""
TRIED = {"EVENT": "eventId", "TIME": "eventTime", "NAME": "eventName", "WHY": "why"}
CHECKS = {"CHECK": "name", "OK": "ok", "FINDING": "detail", "MISSING": "action"}

BASE: Document = {"sourceType": "aws_cloudtrail", "logFetchInterval": 300}
LISTED = {
    "ID": "id",
    "NAME": "name",
    "STATUS": "status",
    "INTAKE": "intake",
    "CALLBACK": "callbackUrl",
    "LAST FETCH": "lastFetchAt",
}


@commands.command()
@takes_source_options
def add(
    given: Document,
    document: DocumentFile = None,
    verify: Annotated[bool, typer.Option("--verify", help="Try it out first, and refuse what does not work.")] = False,
) -> None:
    """Register a source. Its signing secret is shown this once. With --json, the answer is JSON too."""
    described = merged(BASE, read_json(document) if document else {})
    client = from_environment(os.environ)
    query = None
    if verify:
        client, query = client.patient(TEST_TIMEOUT_S), {"verify": "true"}
    answer = client.call("POST", "add-source", query=query, body=merged(described, given))
    if document is not None:
        output.show_json(answer)
        return
    output.say(f"Added {answer['name']}: {answer['id']}")
    output.say(f"Signing secret, shown only now: {answer['signingSecret']}")
    for warning in answer["warnings"]:
        output.say(f"Note: {warning}")


@commands.command(name="set")
@takes_source_options
def change(given: Document, source: SourceId, document: DocumentFile = None) -> None:
    """Change what is given and leave the rest as it is. With --json, the answer is JSON too."""
    changes = merged(read_json(document) if document else {}, given)
    if not changes:
        raise SettingsError("Nothing to change: give at least one option, or a document with --json.")
    client = from_environment(os.environ)
    answer = client.call("PATCH", "sources", source_id(client, source), body=changes)
    if document is not None:
        output.show_json(answer)
        return
    output.say(f"Changed {answer['name']}: {answer['status']}")


@commands.command(name="list")
def list_sources(
    status: Annotated[str | None, typer.Option("--status", help="Only those in this state.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every registered source, those at work first."""
    sources = list(from_environment(os.environ).every("sources", "sources", query={"status": status}))
    if as_json:
        output.show_json({"sources": sources})
    else:
        output.show_table(LISTED, sources, nothing="No sources yet. Register one with `trailhook source add`.")


@commands.command()
def show(source: SourceId, as_json: AsJson = False) -> None:
    """One source in full, without its secrets."""
    client = from_environment(os.environ)
    _show(client.call("GET", "sources", source_id(client, source)), as_json)


@commands.command()
def status(source: SourceId, as_json: AsJson = False) -> None:
    """How far it is: lag, counts that add up, the last error, the next fetch."""
    client = from_environment(os.environ)
    _show(client.call("GET", "sources", source_id(client, source), "status"), as_json)


@commands.command()
def remove(
    source: SourceId, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, as_json: AsJson = False
) -> None:
    """Remove a source: its credentials are erased, what was not sent yet is discarded and counted."""
    client = from_environment(os.environ)
    which = source_id(client, source)
    if not yes:
        typer.confirm(f"Remove {which} and discard what it has not sent yet?", abort=True, err=True)
    answer = client.call("DELETE", "remove-source", which)
    if as_json:
        output.show_json(answer)
        return
    discarded = ", ".join(f"{name} {count}" for name, count in answer["discarded"].items())
    output.say(f"Removed {which}. Discarded: {discarded}")


@commands.command()
def pause(source: SourceId) -> None:
    """Hold a source: it neither fetches nor delivers, and loses nothing."""
    _tell(source, "pause", "Paused")


@commands.command()
def resume(source: SourceId) -> None:
    """Let a paused source go on where it stopped."""
    _tell(source, "resume", "Resumed")


@commands.command(name="test")
def try_out(
    source: SourceId,
    policy: Annotated[bool, typer.Option("--policy", help="Print the least that AWS must allow, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try everything a source needs, once and for real. The exit status is 1 if a check failed."""
    client = from_environment(os.environ).patient(TEST_TIMEOUT_S)
    report = client.call("POST", "sources", source_id(client, source), "test")
    if as_json:
        output.show_json(report)
    else:
        _show_report(report, with_policy=policy)
    if not report["ok"]:
        raise typer.Exit(output.FAILED)


@commands.command(name="filter")
def try_filter(
    source: SourceId,
    document: Annotated[str, typer.Argument(metavar="FILE|-", help='JSON with "filter", as `set --json` takes it.')],
    last: Annotated[int | None, typer.Option("--last", help="How many stored events to try it on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Try a filter on the stored log: what it would have dropped and redacted. Nothing is changed."""
    client = from_environment(os.environ).patient(TEST_TIMEOUT_S)
    wanted = without_absent({"last": last}) | {"filter": read_json(document).get("filter")}
    done = client.call("POST", "sources", source_id(client, source), "filter", "test", body=wanted)
    if as_json:
        output.show_json(done)
        return
    output.say(
        f"Would have dropped {done['dropped']:,} of the last {done['tried']:,} events stored, and redacted "
        f"{done['redacted']:,} of the others."
    )
    if done["examples"]:
        output.show_table(TRIED, done["examples"], nothing="")
    output.say(done["note"] if done["complete"] else f"{done['note']} Not all that you asked for could be tried.")


@commands.command()
def fetch(source: SourceId) -> None:
    """Look for new logs now."""
    _tell(source, "fetch", "Fetching")


def source_id(client: Client, given: str) -> str:
    """The id that an id or a name stands for. Raises `ApiRefused` if no source, or more than one, has the name."""
    try:
        return str(uuid.UUID(given))
    except ValueError:
        sources = list(client.every("sources", "sources"))
    found = [each["id"] for each in sources if each["name"] == given]
    if len(found) != 1:
        near = difflib.get_close_matches(given, [str(each["name"]) for each in sources], n=3)
        how_many = "No source has" if not found else f"{len(found)} sources have"
        meant = f" Is {' or '.join(near)} meant?" if near and not found else ""
        raise ApiRefused(f"{how_many} that name.{meant} `trailhook source list` shows the ids.", status=404)
    return str(found[0])


def _show(answer: Document, as_json: bool) -> None:
    if as_json:
        output.show_json(answer)
    else:
        output.show_fields(answer)


def _show_report(report: Document, *, with_policy: bool) -> None:
    output.show_table(CHECKS, report["checks"], nothing="")
    for check in report["checks"]:
        if check["remedy"]:
            output.say(f"{check['name']}: {check['remedy']}")
    if with_policy:
        output.show_json(report["policy"])
        if report["keysPolicy"] is not None:
            output.say("For the identity that assumes the role:")
            output.show_json(report["keysPolicy"])


def _tell(source: str, verb: str, done: str) -> None:
    client = from_environment(os.environ)
    which = source_id(client, source)
    client.call("POST", "sources", which, verb)
    output.say(f"{done} {which}.")
