"""The reference pages: settings, command line and API as the product itself tells of them."""

import asyncio
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

from trailhook.api.server import create_app
from trailhook.app import build
from trailhook.cli.main import app
from trailhook.clock import SystemClock
from trailhook.settings import PREFIX, Settings

METHODS = ("get", "post", "patch", "delete")


def write_reference(folder: Path) -> None:
    """Write `settings.md`, `command-line.md` and `api.md` into `folder`; unchanged pages keep their time."""
    folder.mkdir(exist_ok=True)
    for name, text in {"settings": settings(), "command-line": command_line(), "api": api()}.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def settings() -> str:
    """A table of every setting with its default and its reason."""
    rows = [
        f"| `{PREFIX}{each.name.upper()}` | {_value(each.default)} | {each.metadata['doc']} |"
        for each in dataclasses.fields(Settings)
    ]
    intro = (
        "Each comes from the environment, else from the file that the same name with `_FILE` names, else from "
        "`trailhook.toml` (in lower case, without the prefix), else it is the default. Unknown names are refused."
    )
    return "\n".join(["# Settings", "", intro, "", "| setting | default | |", "|---|---|---|", *rows, ""])


def command_line() -> str:
    """Every command with its options."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="trailhook", title="Command line")
    return text.rstrip() + "\n"


def api() -> str:
    """Every call, by what it is about."""
    return "\n".join(["# REST API", "", *_api_lines(asyncio.run(_described())), ""])


async def _described() -> dict[str, Any]:
    """The description that a running Trailhook gives of itself."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        async with build(settings, clock=SystemClock(), announce=lambda _: None, first_token=False) as parts:
            description: dict[str, Any] = create_app(parts).openapi()
            return description


def _api_lines(document: dict[str, Any]) -> Iterator[str]:
    yield (
        "`GET /docs` of a running Trailhook shows the same with every field, and `/openapi.json` is it for programs. "
        "Refusals are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem documents."
    )
    tags: dict[str, list[str]] = {}
    for path, calls in document["paths"].items():
        for method in METHODS:
            if call := calls.get(method):
                lines = tags.setdefault(call.get("tags", ["other"])[0], [])
                lines += ["", f"### `{method.upper()} {path}`", "", *_call(call)]
    for tag, lines in tags.items():
        yield from ["", f"## {tag.capitalize()}", *lines]


def _call(call: dict[str, Any]) -> Iterator[str]:
    yield call.get("description") or call.get("summary", "")
    parameters = call.get("parameters", [])
    if parameters:
        yield ""
        for each in parameters:
            yield f"- `{each['name']}` ({each['in']}) {each.get('description', '')}".rstrip()
    answers = ", ".join(
        f"{status} {answer.get('description', '')}".rstrip() for status, answer in call["responses"].items()
    )
    yield from ["", f"Answers: {answers}."]


def _value(value: Any) -> str:
    if value is None or value in ((), ""):
        return "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
