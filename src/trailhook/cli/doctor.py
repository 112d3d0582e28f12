"""`trailhook doctor`: whether the parts are there and fit together."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from trailhook.cli import output

COLUMNS = {"PART": "name", "IS": "verdict", "FINDING": "finding", "WHAT TO DO": "remedy"}


def doctor(
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded store lives.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that each part may take.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every setting.")] = False,
) -> None:
    """Look at the store, the queue, the keys, the clock, the disk and the settings, and say what to do.

    Reads only, also while Trailhook runs. The exit status is 1 if anything failed.
    """
    from trailhook.clock import SystemClock  # noqa: PLC0415 - the other commands start faster without the drivers
    from trailhook.doctor import examine  # noqa: PLC0415 - the same
    from trailhook.settings import PREFIX, load  # noqa: PLC0415 - the same

    given = {} if data_dir is None else {f"{PREFIX}DATA_DIR": str(data_dir)}
    report = asyncio.run(examine(load({**os.environ, **given}), SystemClock(), within_s=timeout))
    if as_json:
        output.show_json({"well": report.well, **msgspec.to_builtins(report)})
    else:
        output.show_table(COLUMNS, msgspec.to_builtins(report.checks), nothing="")
    if not report.well:
        raise typer.Exit(output.FAILED)
