"""`trailhook verify`: what is printed, and how it ends."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from typer.testing import CliRunner, Result

from support.api import ScriptedApi, scripted_api
from trailhook.cli.main import app

ID = "6f1c0c80-0000-4000-8000-000000000001"
RANGE = ("2026-01-31T12:00:00Z", "2026-01-31T14:00:00Z")
PATH = f"/sources/{ID}/completeness?{urlencode({'from': RANGE[0], 'to': RANGE[1]})}"
HOUR = {
    "account": "123456789012",
    "region": "us-east-1",
    "trail": "management-events_us-east-1",
    "from": "2026-01-31T12:01:31.000Z",
    "to": "2026-01-31T13:01:31.000Z",
    "state": "proved",
    "reason": "",
    "detail": "",
    "digest": "d.json.gz",
    "objects": 1,
    "proved": 1,
    "outside": 0,
    "missingCount": 0,
    "missing": [],
    "alteredCount": 0,
    "altered": [],
}
GONE = {**HOUR, "state": "missing", "missingCount": 1, "missing": [{"object": "log.json.gz", "why": "gone"}]}
OTHER = {"object": "log.json.gz", "expected": "aa", "found": "bb", "alsoExpected": False}
ALTERED = {**HOUR, "state": "altered", "alteredCount": 1, "altered": [OTHER]}
NONE = {**HOUR, "state": "no_digest", "reason": "none", "detail": "There is no digest.", "digest": None}


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as running:
        yield running


def verify(api: ScriptedApi, *hours: Any, options: tuple[str, ...] = ()) -> Result:
    api.on("GET", PATH, {"hours": list(hours[:1]), "next": "more"})
    api.on("GET", f"{PATH}&cursor=more", {"hours": list(hours[1:]), "next": None})
    surroundings = {"TRAILHOOK_URL": api.url, "TRAILHOOK_API_TOKEN": "th_x", "COLUMNS": "200"}
    arguments = ["verify", ID, "--from", RANGE[0], "--to", RANGE[1], *options]
    return CliRunner().invoke(app, arguments, env=surroundings)


def test_all_proved_ends_with_0_and_names_no_hour(api: ScriptedApi) -> None:
    result = verify(api, HOUR, HOUR)
    assert (result.exit_code, result.stdout) == (0, "2 hours of trails: 2 proved\n")
    assert "12:01:31" in verify(api, HOUR, options=("--all",)).stdout


@pytest.mark.parametrize(
    ("hour", "words"),
    [
        (GONE, "missing (gone): log.json.gz"),
        (ALTERED, "altered: log.json.gz: SHA-256 bb instead of aa"),
        (NONE, "There is no digest."),
    ],
)
def test_anything_else_ends_with_1_and_is_told(api: ScriptedApi, hour: Any, words: str) -> None:
    result = verify(api, HOUR, hour)
    assert result.exit_code == 1
    assert words in result.stdout
    assert f"1 {hour['state']}" in result.stdout


def test_nothing_at_all_is_no_proof(api: ScriptedApi) -> None:
    result = verify(api)
    assert result.exit_code == 1
    assert "Nothing is proved" in result.stdout


def test_json_has_every_hour_and_ends_alike(api: ScriptedApi) -> None:
    result = verify(api, HOUR, NONE, options=("--json",))
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["hours"] == [HOUR, NONE]
    assert told["states"] == {"proved": 1, "no_digest": 1}
    assert (told["from"], told["to"]) == RANGE
