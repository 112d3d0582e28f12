"""`trailhook key …`: the master keys that seal the stored credentials."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from trailhook.cli import output

commands = output.group("Make and rotate master keys.")


@commands.command()
def new() -> None:
    """Print a new key, in the form that TRAILHOOK_MASTER_KEYS takes. It is kept nowhere."""
    from trailhook.security.vault import new_key  # noqa: PLC0415 - the other commands start faster without it

    output.say(new_key())


@commands.command()
def rotate(data_dir: Annotated[Path | None, typer.Option(help="Where the embedded store lives.")] = None) -> None:
    """Seal all stored credentials under a new master key, while Trailhook is stopped.

    With TRAILHOOK_MASTER_KEYS the new key is the first one there; else it is made and put into the key file.

    Older keys stay: nothing is lost if this is interrupted, and running it again finishes it.
    """
    from trailhook.cli.rotation import rotate as rotate_keys  # noqa: PLC0415 - the same
    from trailhook.settings import PREFIX, load  # noqa: PLC0415 - the same

    given = {} if data_dir is None else {f"{PREFIX}DATA_DIR": str(data_dir)}
    done = asyncio.run(rotate_keys(load({**os.environ, **given}), announce=output.say))
    output.say(f"{done.values} sealed values of {done.sources} sources are under the key {done.key} now.")
