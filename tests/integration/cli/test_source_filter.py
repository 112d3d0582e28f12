"""`trailhook source filter`: a filter tried out before it is set."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from support.api import ScriptedApi, scripted_api
from trailhook.cli.main import app

ID = "6f1c0c80-0000-4000-8000-000000000001"
PATH = f"/sources/{ID}/filter/test"
WANTED = {"filter": {"exclude": {"readOnly": ["true"]}}}
EXAMPLE = {
    "eventId": "6f1c0c80-0000-4000-8000-00000000000a",
    "eventTime": "2025-06-15T12:00:11.000Z",
    "eventName": "ListBuckets",
    "why": 'exclude names readOnly "true"',
}
DONE: dict[str, Any] = {
    "tried": 10_000,
    "dropped": 9_500,
    "redacted": 3,
    "examples": [EXAMPLE],
    "complete": True,
    "note": "Tried on the stored log.",
}


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as running:
        yield running


@pytest.fixture
def document(tmp_path: Path) -> str:
    path = tmp_path / "filter.json"
    path.write_text(json.dumps(WANTED))
    return str(path)


def trailhook(api: ScriptedApi, *arguments: str) -> Result:
    surroundings = {"TRAILHOOK_URL": api.url, "TRAILHOOK_API_TOKEN": "th_x", "COLUMNS": "160"}
    return CliRunner().invoke(app, list(arguments), env=surroundings)


def test_it_says_what_would_have_happened_and_shows_examples(api: ScriptedApi, document: str) -> None:
    api.on("POST", PATH, DONE)
    result = trailhook(api, "source", "filter", ID, document)
    assert result.exit_code == 0
    first, *_, last = result.stdout.splitlines()
    assert first == "Would have dropped 9,500 of the last 10,000 events stored, and redacted 3 of the others."
    assert EXAMPLE["why"] in result.stdout
    assert last == "Tried on the stored log."
    assert api.asked[-1].body == WANTED


def test_it_says_when_not_all_could_be_tried(api: ScriptedApi, document: str) -> None:
    api.on("POST", PATH, {**DONE, "complete": False, "examples": []})
    result = trailhook(api, "source", "filter", ID, document, "--last", "50000")
    assert "Not all that you asked for could be tried." in result.stdout
    assert api.asked[-1].body == {**WANTED, "last": 50_000}


def test_json(api: ScriptedApi, document: str) -> None:
    api.on("POST", PATH, DONE)
    assert json.loads(trailhook(api, "source", "filter", ID, document, "--json").stdout) == DONE
