"""Turning what was typed, piped or kept in files into the documents that the API takes.

Secrets never come from the command line itself, where every process can read them: they come from a credentials
file, from the environment, from a JSON document, or from a hidden prompt.
"""

import configparser
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from trailhook.errors import SettingsError

Document = dict[str, Any]


def read_json(path: str) -> Document:
    """The JSON object in a file, or on stdin for `-`. Raises SettingsError, which never shows its content."""
    try:
        content = sys.stdin.read() if path == "-" else Path(path).read_text()
        document = json.loads(content)
    except (OSError, ValueError) as error:
        raise SettingsError(f"--json {path}: cannot be read as JSON: {_why(error)}.") from error
    if not isinstance(document, dict):
        raise SettingsError(f"--json {path}: must hold one JSON object, in the form that POST /add-source takes.")
    return document


def read_credentials(
    *, access_key_id: str | None, file: Path | None, profile: str, environ: Mapping[str, str]
) -> Document:
    """The keys, as the API names them; empty if none were meant (then the machine's own identity is used).

    A credentials file says it all. Else the secret that belongs to `access_key_id` is the environment's
    (AWS_SECRET_ACCESS_KEY, if AWS_ACCESS_KEY_ID is that same key) or is asked for, unseen.
    """
    if file is not None:
        return _from_file(file, profile)
    if access_key_id is None:
        return {}
    if environ.get("AWS_ACCESS_KEY_ID") == access_key_id and environ.get("AWS_SECRET_ACCESS_KEY"):
        return _keys(access_key_id, environ["AWS_SECRET_ACCESS_KEY"], environ.get("AWS_SESSION_TOKEN"))
    return _keys(access_key_id, typer.prompt("Secret access key", hide_input=True), None)


def without_absent(document: Mapping[str, Any]) -> Document:
    """Without what was not given; objects that end up empty go too."""
    kept: Document = {}
    for name, value in document.items():
        content = without_absent(value) if isinstance(value, dict) else value
        if content not in (None, {}, []):
            kept[name] = content
    return kept


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Document:
    """`under` with what `over` says, object by object."""
    result: Document = dict(under)
    for name, value in over.items():
        below = result.get(name)
        result[name] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _from_file(path: Path, profile: str) -> Document:
    """A profile of a file in the form that the AWS command line keeps."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text())
    except (OSError, ValueError, configparser.Error) as error:
        raise SettingsError(f"{path} cannot be read as a credentials file: {_why(error)}.") from None
    section = parser[profile] if parser.has_section(profile) else {}
    if "aws_access_key_id" not in section or "aws_secret_access_key" not in section:
        raise SettingsError(
            f"{path} has no aws_access_key_id and aws_secret_access_key under [{profile}]; see --profile."
        )
    return _keys(section["aws_access_key_id"], section["aws_secret_access_key"], dict(section).get("aws_session_token"))


def _why(error: Exception) -> str:
    """What the system says; never what a parser says, for it repeats the content."""
    return (isinstance(error, OSError) and error.strerror) or "it is not in that form"


def _keys(access_key_id: str, secret_access_key: str, session_token: str | None) -> Document:
    keys = {"accessKeyId": access_key_id, "secretAccessKey": secret_access_key}
    return {**keys, "sessionToken": session_token} if session_token else keys
