"""`trailhook source backfill` and `replay`: fetching what lies in the past, sending again what was sent."""

import os
import re
import time
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from trailhook.cli import output
from trailhook.cli.client import ApiRefused, Client, Document, from_environment
from trailhook.cli.sources import AsJson, SourceId, source_id
from trailhook.errors import SettingsError

LOOK_EVERY_S = 1.0
BEGIN_TIMEOUT_S = 120.0
"""Judging the cost lists a part of the bucket."""
STEER = "`trailhook source backfill {source} --{verb}`"

From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="A date, or a time as 2026-01-31T12:00:00Z.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="The same; by default now.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it would take.")]


def backfill(
    source: SourceId,
    from_: From = None,
    to: To = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the one that runs; what it found is kept.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the one that was stopped last.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch and forward what lies in the past and is not known yet, after everything live.

    It shows the estimated cost and asks. Ctrl-C ends the watching only. With --json it does not watch either.
    """
    client = from_environment(os.environ).patient(BEGIN_TIMEOUT_S)
    which = source_id(client, source)
    if stop or resume:
        begun = _steer(client, which, "stop" if stop else "resume")
    else:
        begun = _begin(client, which, _span(from_, to), dry_run=dry_run, yes=yes, quiet=as_json)
    if as_json:
        output.show_json(begun)
    elif stop:
        output.say(f"Stopped at {begun['progress']:.0%}. {STEER.format(source=which, verb='resume')} goes on.")
    elif not dry_run:
        _follow(client, which, begun, detach=detach)


def replay(
    source: SourceId,
    from_: From = None,
    to: To = None,
    batch: Annotated[list[str] | None, typer.Option("--batch", help="A delivery's id, in place of a span.")] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send again what the receiver took, under new ids: batches with events of the span, or those named."""
    client = from_environment(os.environ).patient(BEGIN_TIMEOUT_S)
    which = source_id(client, source)
    wanted: Document = {"batches": batch} if batch else _span(from_, to)
    if not (yes or dry_run):
        planned = _replayed(client, which, {**wanted, "dryRun": True})
        typer.confirm(f"Send {planned['batches']} batches with {planned['events']} events again?", abort=True, err=True)
    done = _replayed(client, which, {**wanted, "dryRun": dry_run})
    if as_json:
        output.show_json(done)
        return
    verb = "would be sent" if dry_run else "are on their way"
    output.say(f"{done['batches']} batches with {done['events']} events {verb} again.")
    if done["gone"]:
        output.say(f"{done['gone']} batches are not kept any more.")


def _begin(client: Client, which: str, span: Document, *, dry_run: bool, yes: bool, quiet: bool) -> Document:
    """The backfill, begun once the user has seen the estimate; the estimate alone for a dry run."""
    if dry_run or not yes:
        planned: Document = client.call("POST", "sources", which, "backfill", body={**span, "dryRun": True})
        if not quiet:
            _show_estimate(planned)
        if dry_run:
            return planned
        typer.confirm("Begin?", abort=True, err=True)
    begun: Document = client.call("POST", "sources", which, "backfill", body=span)
    return begun


def _show_estimate(planned: Document) -> None:
    estimate = planned["estimate"]
    output.say(f"From {planned['from']} to {planned['to']}, about:")
    if estimate["listRequests"]:
        output.say(
            f"  {estimate['objects']:,} log files: {estimate['listRequests']:,} LIST and "
            f"{estimate['getRequests']:,} GET requests, ${estimate['dollars']:.2f}"
        )
    if estimate["lookupRequests"]:
        output.say(f"  {estimate['lookupRequests']:,} LookupEvents requests or more, at no cost")
    output.say(f"  {estimate['basis']}")
    for note in planned["notes"]:
        output.say(f"Note: {note}")


def _steer(client: Client, which: str, verb: str) -> Document:
    wanted = "running" if verb == "stop" else "stopped"
    found = [each for each in client.call("GET", "sources", which, "backfills")["backfills"] if each["state"] == wanted]
    if not found:
        raise ApiRefused(f"No backfill of this source is {wanted}.", status=404)
    steered: Document = client.call("POST", "sources", which, "backfills", found[0]["id"], verb)
    return steered


def _follow(client: Client, which: str, begun: Document, *, detach: bool) -> None:
    if not detach:
        try:
            _watch(client, which, begun["id"])
        except KeyboardInterrupt:
            pass
        else:
            return
    output.say(f"The backfill goes on by itself. {STEER.format(source=which, verb='stop')} stops it.")


def _watch(client: Client, which: str, backfill_id: str) -> None:
    """Show how it comes on until it does not any more."""
    words = TextColumn("{task.description}", markup=False)
    columns = (words, BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = output.console()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("backfill", total=1.0)
        while True:
            view: Document = client.call("GET", "sources", which, "backfills", backfill_id)
            detail = view["detail"] or f"{view['objectsFound']:,} found, {view['unitsLeft']:,} to read"
            progress.update(task, completed=view["progress"], description=" ".join(output.printable(detail)))
            if view["state"] != "running":
                break
            time.sleep(LOOK_EVERY_S)
    known = f"{view['objectsKnown']:,} of them known before"
    output.say(f"The backfill is {view['state']}: {view['objectsFound']:,} found, {known}.")


def _replayed(client: Client, which: str, wanted: Document) -> Document:
    """Call by call to the end, waiting while too much waits to be sent; the sums."""
    done = {"batches": 0, "events": 0, "gone": 0}
    console = output.console()
    columns = (TextColumn("replaying"), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("replay", total=None)
        while True:
            answer = client.call("POST", "sources", which, "replay", body=wanted)
            done = {name: number + answer[name] for name, number in done.items()}
            progress.update(task, completed=done["batches"])
            if answer["next"] is None:
                return done
            if not (answer["batches"] or answer["gone"]):
                time.sleep(LOOK_EVERY_S)
            wanted = {**wanted, "cursor": answer["next"]}


def _span(from_: str | None, to: str | None) -> Document:
    if from_ is None:
        raise SettingsError("Say from when: --from 2026-01-31.")
    return {"from": _time(from_)} | ({"to": _time(to)} if to else {})


def _time(text: str) -> str:
    """A date is its midnight in UTC."""
    return f"{text}T00:00:00Z" if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else text
