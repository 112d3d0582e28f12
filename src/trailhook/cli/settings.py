"""`trailhook settings`: every setting, from where they are defined."""

import dataclasses
from typing import Annotated, Any

import typer

from trailhook.cli import output
from trailhook.settings import PREFIX, Settings

LISTED = {"SETTING": "name", "DEFAULT": "default", "LEAST": "least", "MOST": "most", "WHAT": "what"}


def settings(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List every setting with its default.

    NAME comes from the environment, else from the file that NAME_FILE names, else from trailhook.toml as name.
    """
    rows = [_row(each) for each in dataclasses.fields(Settings)]
    if as_json:
        output.show_json({"settings": rows})
    else:
        output.show_table(LISTED, rows, nothing="")


def _row(setting: "dataclasses.Field[Any]") -> dict[str, Any]:
    return {
        "name": f"{PREFIX}{setting.name.upper()}",
        "default": _text(setting.default),
        "least": setting.metadata["least"],
        "most": setting.metadata["most"],
        "what": setting.metadata["doc"],
    }


def _text(default: Any) -> str | None:
    """As it would be written in the environment."""
    if default is None or default == ():
        return None
    return str(default).lower() if isinstance(default, bool) else str(default)
