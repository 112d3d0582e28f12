"""`trailhook source backfill` and `replay` as a user types them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from support.api import ScriptedApi, scripted_api
from trailhook.cli.main import app

ID = "6f1c0c80-0000-4000-8000-000000000001"
RUN = "6f1c0c80-0000-4000-8000-00000000000b"
PATH = f"/sources/{ID}/backfill"
ESTIMATE = {
    "objects": 41_000,
    "listRequests": 42,
    "getRequests": 41_000,
    "lookupRequests": 0,
    "dollars": 0.0166,
    "basis": "2 of 2 directories were counted.",
}
VIEW = {
    "id": RUN,
    "sourceId": ID,
    "state": "running",
    "from": "2026-01-01T00:00:00.000Z",
    "to": "2026-02-01T00:00:00.000Z",
    "estimate": ESTIMATE,
    "progress": 0.25,
    "objectsFound": 1_000,
    "objectsKnown": 10,
    "unitsLeft": 500,
    "detail": "",
    "notes": ["Some of it may come twice."],
}
DONE = {**VIEW, "state": "done", "progress": 1.0, "unitsLeft": 0}
Trailhook = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as running:
        yield running


@pytest.fixture
def trailhook(api: ScriptedApi) -> Trailhook:
    def run(*arguments: str, stdin: str | None = None) -> Result:
        env = {"TRAILHOOK_URL": api.url, "TRAILHOOK_API_TOKEN": "th_x", "COLUMNS": "80"}
        return CliRunner().invoke(app, ["source", *arguments], input=stdin, env=env)

    return run


def bodies(api: ScriptedApi, path: str) -> list[Any]:
    return [each.body for each in api.asked if (each.method, each.path) == ("POST", path)]


def test_a_backfill_shows_its_cost_asks_and_is_watched_to_its_end(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("POST", PATH, {**VIEW, "id": None, "state": "planned"})
    api.on("POST", PATH, VIEW, status=202)
    api.on("GET", f"{PATH}s/{RUN}", DONE)
    result = trailhook("backfill", ID, "--from", "2026-01-01", "--to", "2026-02-01T00:00:00Z", stdin="y\n")
    assert result.exit_code == 0, result.output
    assert "41,000 log files: 42 LIST and 41,000 GET requests, $0.02" in result.output
    assert "Note: Some of it may come twice." in result.output
    assert "The backfill is done: 1,000 found, 10 of them known before." in result.output
    span = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
    assert bodies(api, PATH) == [{**span, "dryRun": True}, span]


def test_a_backfill_that_is_not_wanted_after_all_does_not_begin(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("POST", PATH, {**VIEW, "id": None, "state": "planned"})
    assert trailhook("backfill", ID, "--from", "2026-01-01", stdin="n\n").exit_code == 1
    assert bodies(api, PATH) == [{"from": "2026-01-01T00:00:00Z", "dryRun": True}]


def test_a_backfill_that_is_not_watched_says_how_to_stop_it(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("POST", PATH, VIEW, status=202)
    result = trailhook("backfill", ID, "--from", "2026-01-01", "--yes", "--detach")
    assert f"`trailhook source backfill {ID} --stop`" in result.output
    assert api.calls == [f"POST {PATH}"]


def test_as_json_a_backfill_is_begun_and_not_watched(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("POST", PATH, VIEW, status=202)
    result = trailhook("backfill", ID, "--from", "2026-01-01", "--yes", "--json")
    assert json.loads(result.stdout) == VIEW
    dry = trailhook("backfill", ID, "--from", "2026-01-01", "--dry-run", "--json")
    assert json.loads(dry.stdout)["estimate"] == ESTIMATE


def test_the_backfill_that_runs_is_stopped_and_the_one_that_was_stopped_is_resumed(
    api: ScriptedApi, trailhook: Trailhook
) -> None:
    stopped = {**VIEW, "id": "another", "state": "stopped"}
    api.on("GET", f"{PATH}s", {"backfills": [VIEW, stopped]})
    api.on("POST", f"{PATH}s/{RUN}/stop", {**VIEW, "state": "stopped"})
    api.on("POST", f"{PATH}s/another/resume", stopped)
    result = trailhook("backfill", ID, "--stop")
    assert "Stopped at 25%" in result.output
    assert f"`trailhook source backfill {ID} --resume`" in result.output
    assert trailhook("backfill", ID, "--resume", "--detach").exit_code == 0
    assert api.calls[-1] == f"POST {PATH}s/another/resume"


def test_there_may_be_nothing_to_stop_and_a_beginning_must_be_named(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("GET", f"{PATH}s", {"backfills": [DONE]})
    assert trailhook("backfill", ID, "--stop").exit_code == 1
    assert trailhook("backfill", ID).exit_code == 2


def test_a_replay_asks_first_and_goes_on_from_call_to_call(api: ScriptedApi, trailhook: Trailhook) -> None:
    path = f"/sources/{ID}/replay"
    for dry in (True, False):
        api.on("POST", path, {"batches": 100, "events": 9_000, "gone": 0, "next": f"more-{dry}"}, status=202)
        api.on("POST", path, {"batches": 3, "events": 50, "gone": 1, "next": None}, status=202)
    result = trailhook("replay", ID, "--from", "2026-01-01", stdin="y\n")
    assert "Send 103 batches with 9050 events again?" in result.output
    assert "103 batches with 9050 events are on their way again." in result.output
    assert "1 batches are not kept any more." in result.output
    span = {"from": "2026-01-01T00:00:00Z"}
    assert bodies(api, path) == [
        {**span, "dryRun": True},
        {**span, "dryRun": True, "cursor": "more-True"},
        {**span, "dryRun": False},
        {**span, "dryRun": False, "cursor": "more-False"},
    ]


def test_batches_are_replayed_by_name(api: ScriptedApi, trailhook: Trailhook) -> None:
    path = f"/sources/{ID}/replay"
    api.on("POST", path, {"batches": 2, "events": 5, "gone": 0, "next": None}, status=202)
    result = trailhook("replay", ID, "--batch", "msg_a", "--batch", "msg_b", "--yes", "--json")
    assert json.loads(result.stdout) == {"batches": 2, "events": 5, "gone": 0}
    assert bodies(api, path) == [{"batches": ["msg_a", "msg_b"], "dryRun": False}]
