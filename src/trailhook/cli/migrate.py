"""`trailhook migrate`: an embedded installation becomes one over MongoDB."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trailhook.cli import output

if TYPE_CHECKING:
    from trailhook.settings import Settings


def migrate(
    to: Annotated[str | None, typer.Option(help="The MongoDB to move to; by default TRAILHOOK_MONGODB_URL.")] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Take back a move that is not finished.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded store lives.")] = None,
) -> None:
    """Move everything from the embedded store to MongoDB, while Trailhook is stopped.

    From the first row copied the old directory refuses to serve, so that nothing is sent from two homes. Interrupted,
    the same command goes on where it was; --rollback takes the copy back and the old directory serves again.
    """
    from trailhook.settings import PREFIX, load  # noqa: PLC0415 - the other commands start faster without it

    options = {"MONGODB_URL": to, "DATA_DIR": data_dir}
    settings = load(
        {**os.environ, **{PREFIX + name: str(value) for name, value in options.items() if value is not None}}
    )
    if settings.mongodb_url is None:
        output.fail("name the MongoDB to move to: --to mongodb://HOST/DATABASE?replicaSet=NAME", status=output.USAGE)
    if rollback:
        _roll_back(settings, settings.mongodb_url)
    else:
        _move(settings, settings.mongodb_url)


def _move(settings: "Settings", url: str) -> None:
    from trailhook.app import KEY_FILE  # noqa: PLC0415 - the same
    from trailhook.clock import SystemClock  # noqa: PLC0415 - the same
    from trailhook.migrate import move  # noqa: PLC0415 - the same

    with _progress() as told:
        moved = asyncio.run(move(settings, url, clock=SystemClock(), told=told))
    if moved.already:
        output.say(f"This was moved to {moved.home} before: there is nothing left to do.")
        return
    output.say(f"Moved {moved.sources} sources, {moved.rows} rows in all, to {moved.home}; the counts agree.")
    if settings.master_keys is None:
        output.say(f"Give the new processes the same keys: TRAILHOOK_MASTER_KEYS_FILE={settings.data_dir / KEY_FILE}")
    output.say(f"{settings.data_dir} refuses to serve from now on; keep it until you are content, then delete it.")


def _roll_back(settings: "Settings", url: str) -> None:
    from trailhook.clock import SystemClock  # noqa: PLC0415 - the same
    from trailhook.migrate import roll_back  # noqa: PLC0415 - the same

    asyncio.run(roll_back(settings, url, clock=SystemClock()))
    output.say(f"Taken back: {settings.data_dir} serves again, and nothing is left in the database.")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    console = output.console()
    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("begun", total=None)

        def told(what: str, done: int, total: int) -> None:
            if total:
                bar.update(task, description=what, completed=done, total=total)
            else:
                bar.update(task, description=what)

        yield told
