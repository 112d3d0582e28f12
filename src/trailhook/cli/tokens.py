"""`trailhook token …`: who may use the API."""

import os
from typing import Annotated

import typer

from trailhook.cli import output
from trailhook.cli.client import from_environment

commands = output.group("Make, list and revoke API tokens.")

LISTED = {"ID": "id", "NAME": "name", "SCOPES": "scopes", "CREATED": "createdAt", "LAST USED": "lastUsedAt"}


@commands.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[list[str] | None, typer.Option("--scope", help="read, write or admin; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a token. It is shown this once."""
    answer = from_environment(os.environ).call("POST", "tokens", body={"name": name, "scopes": scope or ["read"]})
    if as_json:
        output.show_json(answer)
    else:
        output.say(answer["token"])


@commands.command(name="list")
def list_tokens(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Every token, without the token itself."""
    found = list(from_environment(os.environ).every("tokens", "tokens"))
    if as_json:
        output.show_json({"tokens": found})
    else:
        output.show_table(LISTED, found, nothing="No tokens but the bootstrap one.")


@commands.command()
def revoke(token: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Make a token worthless at once."""
    from_environment(os.environ).call("DELETE", "tokens", token)
    output.say(f"Revoked {token}.")
