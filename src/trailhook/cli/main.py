"""The command `trailhook`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from trailhook import __version__
from trailhook.cli import (
    backfill,
    deadletters,
    doctor,
    events,
    examples,
    keys,
    listen,
    migrate,
    output,
    quarantine,
    settings,
    sources,
    tokens,
    verify,
)
from trailhook.settings import PREFIX, load

app = output.group(
    "Forward AWS CloudTrail events to a webhook: every event once, signed, never silently lost.", completion=True
)
sources.commands.command()(backfill.backfill)
sources.commands.command()(backfill.replay)
app.add_typer(sources.commands, name="source")
app.add_typer(deadletters.commands, name="deadletters")
app.add_typer(quarantine.commands, name="quarantine")
app.add_typer(tokens.commands, name="token")
app.add_typer(keys.commands, name="key")


def main() -> None:
    """Run the command line; the exit status is 0, 1 (failed) or 2 (usage)."""
    app(prog_name="trailhook")


def _version(wanted: bool) -> None:
    if wanted:
        output.say(f"trailhook {__version__}")
        raise typer.Exit


@app.callback()
def trailhook(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Forward AWS CloudTrail events to a webhook: every event once, signed, never silently lost."""


Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")]
LogLevel = Annotated[str | None, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")]


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded store lives.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that share the work: 1, or as many as there are cores.")
    ] = None,
    log_level: LogLevel = None,
) -> None:
    """Run Trailhook: the API and all the work, in one process or a few, until SIGTERM or Ctrl-C."""
    _run("serve", HOST=host, PORT=port, DATA_DIR=data_dir, WORKERS=workers, LOG_LEVEL=log_level)


@app.command()
def api(host: Host = None, port: Port = None, log_level: LogLevel = None) -> None:
    """Run the API and no work: one of any number of processes that share MongoDB and Redis."""
    _run("api", HOST=host, PORT=port, LOG_LEVEL=log_level)


@app.command()
def worker(host: Host = None, port: Port = None, log_level: LogLevel = None) -> None:
    """Do the work, with probes and metrics only: one of any number of processes that share MongoDB and Redis."""
    _run("worker", HOST=host, WORKER_PORT=port, LOG_LEVEL=log_level)


def _run(command: str, **options: object) -> None:
    given = {PREFIX + name: str(value) for name, value in options.items() if value is not None}
    chosen = load({**os.environ, **given})

    # Only now, so that the other commands start fast and a wrong setting is told at once.
    from trailhook import serving  # noqa: PLC0415
    from trailhook.telemetry import configure_logging  # noqa: PLC0415

    configure_logging(chosen, sys.stderr)
    serving.run(serving.ROLES[command], chosen, announce=output.say_now)


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(min=1, help="End by itself after so long; else Ctrl-C.")] = None,
    rate: Annotated[float, typer.Option(min=1, max=5_000, help="Events a second to write.")] = 100,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the product's data here instead of nowhere.")] = None,
) -> None:
    """See it work: a simulated AWS account, a webhook receiver that misbehaves a little, and the whole product."""
    from trailhook.demo import run  # noqa: PLC0415 - and without the simulated AWS account

    if not run.run(seconds=seconds, rate=rate, data_dir=data_dir, console=output.console()):
        raise typer.Exit(output.FAILED)


app.command()(listen.listen)
app.command()(events.events)
app.command()(doctor.doctor)
app.command()(migrate.migrate)
app.command()(verify.verify)
app.command()(settings.settings)
examples.show_examples(app)
