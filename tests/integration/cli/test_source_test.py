"""`trailhook source test` and `source add --verify`: what is printed, and how they end."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from support.api import ScriptedApi, scripted_api
from trailhook.cli.main import app

ID = "6f1c0c80-0000-4000-8000-000000000001"
PATH = f"/sources/{ID}/test"
GOOD = {"name": "identity", "ok": True, "detail": "There are keys to sign with.", "remedy": "", "action": ""}
BAD = {
    "name": "list",
    "ok": False,
    "detail": "The bucket may not be listed.",
    "remedy": "Allow s3:ListBucket.",
    "action": "s3:ListBucket",
}
POLICY = {"Version": "2012-10-17", "Statement": [{"Sid": "FindLogFiles"}]}


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as running:
        yield running


def report(*checks: Any, keys_policy: Any = None) -> dict[str, Any]:
    return {
        "ok": all(each["ok"] for each in checks),
        "checks": list(checks),
        "policy": POLICY,
        "keysPolicy": keys_policy,
    }


def trailhook(api: ScriptedApi, *arguments: str) -> Result:
    surroundings = {"TRAILHOOK_URL": api.url, "TRAILHOOK_API_TOKEN": "th_x", "COLUMNS": "120"}
    return CliRunner().invoke(app, list(arguments), env=surroundings)


def test_a_source_that_works_ends_with_0(api: ScriptedApi) -> None:
    api.on("POST", PATH, report(GOOD))
    result = trailhook(api, "source", "test", ID)
    assert result.exit_code == 0
    assert "identity" in result.stdout
    assert "FindLogFiles" not in result.stdout


def test_a_failed_check_ends_with_1_and_says_what_to_do(api: ScriptedApi) -> None:
    api.on("POST", PATH, report(GOOD, BAD))
    result = trailhook(api, "source", "test", ID)
    assert result.exit_code == 1
    assert "list: Allow s3:ListBucket." in result.stdout.splitlines()


def test_the_policy_is_printed_when_asked_for(api: ScriptedApi) -> None:
    api.on("POST", PATH, report(BAD, keys_policy={"Statement": [{"Sid": "AssumeTheRole"}]}))
    result = trailhook(api, "source", "test", ID, "--policy")
    assert result.exit_code == 1
    assert "FindLogFiles" in result.stdout
    assert "AssumeTheRole" in result.stdout


@pytest.mark.parametrize(("check", "status"), [(GOOD, 0), (BAD, 1)])
def test_json_is_the_whole_report_and_ends_alike(api: ScriptedApi, check: Any, status: int) -> None:
    api.on("POST", PATH, report(check))
    result = trailhook(api, "source", "test", ID, "--json")
    assert result.exit_code == status
    assert json.loads(result.stdout) == report(check)


def test_a_source_is_found_by_its_name(api: ScriptedApi) -> None:
    api.on("GET", "/sources", {"sources": [{"id": ID, "name": "prod"}], "next": None})
    api.on("POST", PATH, report(GOOD))
    assert trailhook(api, "source", "test", "prod").exit_code == 0


def test_what_the_report_says_cannot_steer_the_terminal(api: ScriptedApi) -> None:
    api.on("POST", PATH, report({**BAD, "detail": "\x1b[2Jgone", "remedy": "\x1b]0;x\x07"}))
    assert "\x1b" not in trailhook(api, "source", "test", ID).stdout


def test_add_verifies_when_asked_to_and_a_refusal_ends_with_1(api: ScriptedApi) -> None:
    refusal = {
        "title": "Unprocessable Content",
        "detail": "The request has fields that cannot be accepted.",
        "errors": [{"field": "s3Bucket", "message": "list: There is no such bucket."}],
    }
    api.on("POST", "/add-source?verify=true", refusal, status=422)
    options = ("--bucket", "logs", "--region", "eu-central-1", "--callback-url", "https://example.com/hook")
    result = trailhook(api, "source", "add", *options, "--verify")
    assert result.exit_code == 1
    assert "There is no such bucket." in result.stderr
