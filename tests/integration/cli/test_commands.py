"""The commands as a user types them, against a real HTTP server that answers as the API does."""

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from support.api import ScriptedApi, scripted_api
from trailhook.cli.main import app
from trailhook.settings import Settings, load

ID = "6f1c0c80-0000-4000-8000-000000000001"
OTHER = "6f1c0c80-0000-4000-8000-000000000002"
SOURCE = {
    "id": ID,
    "name": "prod",
    "status": "active",
    "intake": ["s3"],
    "callbackUrl": "https://example.com/webhook",
    "lastFetchAt": None,
}
ADDED = {**SOURCE, "signingSecret": "whsec_abc", "warnings": ["Another source reads this bucket."]}
DEAD = {
    "id": "msg_a",
    "sourceId": ID,
    "count": 7,
    "attemptCount": 12,
    "settledAt": "2026-01-31T12:00:00.000Z",
    "lastError": "500 Internal Server Error",
}
Trailhook = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as running:
        yield running


@pytest.fixture
def trailhook(api: ScriptedApi) -> Trailhook:
    def run(*arguments: str, stdin: str | None = None, **environ: str) -> Result:
        clean = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_SESSION_TOKEN": None}
        surroundings = {**clean, "TRAILHOOK_URL": api.url, "TRAILHOOK_API_TOKEN": "th_x", "COLUMNS": "80", **environ}
        return CliRunner().invoke(app, list(arguments), input=stdin, env=surroundings, prog_name="trailhook")

    return run


# ----------------------------------------------------------------------------------------------------- sources


def test_add_sends_the_options_as_the_apis_document(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on(
        "POST",
        "/add-source",
        ADDED,
        status=201,
    )
    result = trailhook(
        "source", "add", "--name", "prod", "--bucket", "logs", "--region", "eu-central-1", "--callback-url",
        "https://example.com/webhook", "--interval", "60", "--format", "ndjson", "--max-events", "10", "--ordered",
        "--access-key-id", "AKIA1",
        AWS_ACCESS_KEY_ID="AKIA1", AWS_SECRET_ACCESS_KEY="hush",
    )  # fmt: skip
    assert result.exit_code == 0
    assert api.asked[0].body == {
        "sourceType": "aws_cloudtrail",
        "name": "prod",
        "credentials": {"accessKeyId": "AKIA1", "secretAccessKey": "hush", "region": "eu-central-1"},
        "logFetchInterval": 60,
        "callbackUrl": "https://example.com/webhook",
        "s3Bucket": "logs",
        "delivery": {"format": "ndjson", "maxEvents": 10, "ordered": True},
    }
    assert "whsec_abc" in result.stdout
    assert "Another source reads this bucket." in result.stdout
    assert "hush" not in result.output


def test_add_asks_for_the_secret_without_showing_it(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on(
        "POST",
        "/add-source",
        ADDED,
        status=201,
    )
    result = trailhook("source", "add", "--access-key-id", "AKIA1", "--region", "us-east-1", stdin="hush\n")
    assert api.asked[0].body["credentials"]["secretAccessKey"] == "hush"
    assert "hush" not in result.output


def test_there_is_no_option_for_a_secret(trailhook: Trailhook) -> None:
    assert trailhook("source", "add", "--secret-access-key", "hush").exit_code == 2


@pytest.mark.parametrize("from_file", [True, False])
def test_add_takes_a_document_and_answers_in_json(
    api: ScriptedApi, trailhook: Trailhook, tmp_path: Path, from_file: bool
) -> None:
    api.on(
        "POST",
        "/add-source",
        ADDED,
        status=201,
    )
    content = json.dumps({"name": "old", "filter": {"include": {"eventName": ["Put*"]}}})
    (tmp_path / "source.json").write_text(content)
    where = str(tmp_path / "source.json") if from_file else "-"
    result = trailhook("source", "add", "--json", where, "--name", "new", stdin=content)
    assert json.loads(result.stdout)["signingSecret"] == "whsec_abc"
    assert api.asked[0].body["name"] == "new"
    assert api.asked[0].body["filter"] == {"include": {"eventName": ["Put*"]}}


def test_fields_at_fault_are_named_on_stderr(api: ScriptedApi, trailhook: Trailhook) -> None:
    errors = [{"field": "credentials.region", "message": "is missing"}]
    api.on("POST", "/add-source", {"detail": "Some fields are wrong.", "errors": errors}, status=422)
    result = trailhook("source", "add", "--name", "prod")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "error: Some fields are wrong.\n  credentials.region: is missing\n"


def test_list_shows_a_table_or_json(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("GET", "/sources", {"sources": [SOURCE], "next": None})
    table = trailhook("source", "list").stdout
    assert [word in table for word in ("ID", ID, "prod", "active", "https://example.com/webhook")] == [True] * 5
    assert json.loads(trailhook("source", "list", "--json").stdout) == {"sources": [SOURCE]}


def test_an_empty_list_says_how_to_begin(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("GET", "/sources", {"sources": [], "next": None})
    assert "trailhook source add" in trailhook("source", "list").stdout


def test_a_source_may_be_named(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("GET", "/sources", {"sources": [SOURCE], "next": None})
    api.on("GET", f"/sources/{ID}", SOURCE)
    assert json.loads(trailhook("source", "show", "prod", "--json").stdout) == SOURCE
    assert "callbackUrl" in trailhook("source", "show", ID).stdout


@pytest.mark.parametrize(("names", "said"), [([], "No source has that name"), (["prod", "prod"], "2 sources have")])
def test_a_name_must_be_one_sources_alone(api: ScriptedApi, trailhook: Trailhook, names: list[str], said: str) -> None:
    api.on("GET", "/sources", {"sources": [{**SOURCE, "name": name} for name in names], "next": None})
    result = trailhook("source", "pause", "prod")
    assert (result.exit_code, said in result.stderr) == (1, True)


def test_a_name_that_is_none_brings_those_that_are_near(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("GET", "/sources", {"sources": [SOURCE, {**SOURCE, "name": "audit"}], "next": None})
    assert "Is prod meant? `trailhook source list`" in trailhook("source", "pause", "prd").stderr


@pytest.mark.parametrize(
    ("typed", "offered"), [("", ["prod", "audit"]), ("p", ["prod"]), (ID[:5], [ID, ID]), ("x", [])]
)
def test_the_shell_completes_names_and_ids_of_sources(
    api: ScriptedApi, trailhook: Trailhook, typed: str, offered: list[str]
) -> None:
    api.on("GET", "/sources?limit=100", {"sources": [SOURCE, {**SOURCE, "name": "audit"}], "next": None})
    for line in (f"trailhook source show {typed}", f"trailhook deadletters list --source {typed}"):
        asked = {"_TRAILHOOK_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        assert trailhook(**asked).stdout.split() == offered


def test_a_shell_that_asks_while_the_api_is_away_gets_nothing_and_no_words(trailhook: Trailhook) -> None:
    asked = {"_TRAILHOOK_COMPLETE": "complete_bash", "COMP_WORDS": "trailhook source show ", "COMP_CWORD": "3"}
    result = trailhook(TRAILHOOK_URL="http://127.0.0.1:9", **asked)
    assert result.output.strip() == ""


@pytest.mark.parametrize("verb", ["pause", "resume", "fetch"])
def test_verbs_are_told_to_the_api(api: ScriptedApi, trailhook: Trailhook, verb: str) -> None:
    api.on("POST", f"/sources/{ID}/{verb}", SOURCE, status=202)
    assert trailhook("source", verb, ID).exit_code == 0
    assert api.calls == [f"POST /sources/{ID}/{verb}"]


def test_set_changes_only_what_is_given(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("PATCH", f"/sources/{ID}", SOURCE)
    assert trailhook("source", "set", ID, "--interval", "60", "--unordered").exit_code == 0
    assert api.asked[0].body == {"logFetchInterval": 60, "delivery": {"ordered": False}}


def test_set_takes_a_document_and_answers_in_json(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("PATCH", f"/sources/{ID}", SOURCE)
    result = trailhook("source", "set", ID, "--json", "-", "--interval", "60", stdin='{"filter": null}')
    assert json.loads(result.stdout) == SOURCE
    assert api.asked[0].body == {"filter": None, "logFetchInterval": 60}


def test_set_with_nothing_to_change_is_a_usage_error(api: ScriptedApi, trailhook: Trailhook) -> None:
    result = trailhook("source", "set", ID)
    assert (result.exit_code, api.calls) == (2, [])


def test_remove_asks_first(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("DELETE", f"/remove-source/{ID}", {"id": ID, "removed": True, "discarded": {"waiting": 3}})
    assert trailhook("source", "remove", ID, stdin="n\n").exit_code == 1
    assert api.calls == []
    assert "waiting 3" in trailhook("source", "remove", ID, stdin="y\n").stdout
    assert trailhook("source", "remove", ID, "--yes").exit_code == 0


def test_status_shows_the_counts(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("GET", f"/sources/{ID}/status", {"counts": {"read": 12, "sent": 12}, "lagSeconds": 1.5})
    assert "counts.read" in trailhook("source", "status", ID).stdout


# ------------------------------------------------------------------------------------------------ dead letters


def test_dead_letters_are_listed_with_why(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("GET", "/deliveries?status=dead", {"deliveries": [DEAD], "next": None})
    api.on("GET", f"/deliveries?status=dead&source={ID}", {"deliveries": [], "next": None})
    assert "500 Internal Server Error" in trailhook("deadletters", "list").stdout
    assert json.loads(trailhook("deadletters", "list", "--json").stdout) == {"deliveries": [DEAD]}
    assert trailhook("deadletters", "list", "--source", ID).stdout == "No dead letters.\n"


def test_a_dead_letter_is_shown_with_its_attempts(api: ScriptedApi, trailhook: Trailhook) -> None:
    attempt = {"number": 1, "startedAt": "2026", "outcome": "transient", "status": 500, "error": "", "answer": "oops"}
    api.on("GET", "/deliveries/msg_a", {**DEAD, "attempts": [attempt]})
    assert "oops" in trailhook("deadletters", "show", "msg_a").stdout


def test_all_dead_letters_of_a_source_are_sent_again(api: ScriptedApi, trailhook: Trailhook) -> None:
    path = f"/deliveries?status=dead&source={ID}"
    api.on("GET", path, {"deliveries": [DEAD], "next": "n"})
    api.on("GET", f"{path}&cursor=n", {"deliveries": [{**DEAD, "id": "msg_b"}], "next": None})
    for each in ("msg_a", "msg_b"):
        api.on("POST", f"/deliveries/{each}/retry", DEAD)
    result = trailhook("deadletters", "retry", "--all", "--source", ID)
    assert (result.exit_code, result.stdout) == (0, "2 waiting again.\n")


def test_one_that_fails_does_not_keep_the_others_back(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("POST", "/deliveries/msg_a/retry", {"detail": "It was delivered."}, status=409)
    api.on("POST", "/deliveries/msg_b/retry", DEAD)
    result = trailhook("deadletters", "retry", "msg_a", "msg_b")
    assert (result.exit_code, result.stdout) == (1, "1 waiting again.\n")
    assert result.stderr == "error: msg_a: It was delivered.\n"


@pytest.mark.parametrize("wrong", [[], ["msg_a", "--all"], ["--source", ID], ["msg_a", "--source", ID]])
def test_which_dead_letters_must_be_clear(api: ScriptedApi, trailhook: Trailhook, wrong: list[str]) -> None:
    assert trailhook("deadletters", "retry", *wrong).exit_code == 2
    assert api.calls == []


def test_discarding_asks_first(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("DELETE", "/deliveries/msg_a", DEAD)
    assert trailhook("deadletters", "discard", "msg_a", stdin="n\n").exit_code == 1
    assert api.calls == []
    assert trailhook("deadletters", "discard", "msg_a", "--yes").stdout == "1 discarded.\n"


# -------------------------------------------------------------------------------------- quarantine, tokens, keys


def test_quarantine_is_listed_and_tried_again(api: ScriptedApi, trailhook: Trailhook) -> None:
    entry = {"id": "q1", "sourceId": ID, "kind": "unit", "name": "a.gz", "reason": "truncated", "detail": "…", "at": ""}
    api.on("GET", "/quarantine", {"quarantine": [entry], "next": None})
    api.on("POST", "/quarantine/q1/retry", entry)
    table = trailhook("quarantine", "list").stdout
    assert ("truncated" in table, "a.gz" in table) == (True, True)
    assert json.loads(trailhook("quarantine", "list", "--json").stdout) == {"quarantine": [entry]}
    assert trailhook("quarantine", "retry", "q1").exit_code == 0


def test_tokens_are_made_listed_and_revoked(api: ScriptedApi, trailhook: Trailhook) -> None:
    kept = {"id": "t1", "name": "ci", "scopes": ["read"], "createdAt": "2026"}
    api.on("POST", "/tokens", {**kept, "token": "th_new"}, status=201)
    api.on("GET", "/tokens", {"tokens": [kept], "next": None})
    api.on("DELETE", "/tokens/t1", {"id": "t1"})
    assert trailhook("token", "create", "ci", "--scope", "write").stdout == "th_new\n"
    assert api.asked[0].body == {"name": "ci", "scopes": ["write"]}
    assert json.loads(trailhook("token", "list", "--json").stdout) == {"tokens": [kept]}
    assert trailhook("token", "revoke", "t1").exit_code == 0


def test_a_new_key_is_one_that_the_settings_take(trailhook: Trailhook) -> None:
    from trailhook.security.vault import MasterKeys

    assert len(MasterKeys.parse(trailhook("key", "new").stdout).kids) == 1


# --------------------------------------------------------------------------------------------------- exit status


def test_wrong_usage_ends_with_2(trailhook: Trailhook) -> None:
    for wrong in (
        ["nonsense"],
        ["source", "nonsense"],
        ["source", "list", "--nonsense"],
        ["serve", "--port", "x"],
        ["listen", "--port", "99999"],
    ):
        result = trailhook(*wrong)
        assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(
    ("status", "detail", "next_step"),
    [
        (401, "There is no such token.", "TRAILHOOK_API_TOKEN"),
        (403, "This needs a token with the scope write.", "trailhook token create"),
        (404, "There is nothing here.", "There is nothing here."),
        (503, "The store does not answer.", "The store does not answer."),
    ],
)
def test_what_the_api_refuses_ends_with_1_and_the_next_step(
    api: ScriptedApi, trailhook: Trailhook, status: int, detail: str, next_step: str
) -> None:
    api.on("POST", f"/sources/{ID}/pause", {"detail": detail}, status=status)
    result = trailhook("source", "pause", ID)
    assert (result.exit_code, result.stdout) == (1, "")
    assert detail in result.stderr
    assert next_step in result.stderr


def test_a_wrong_setting_ends_with_2_and_names_it(trailhook: Trailhook) -> None:
    result = trailhook("serve", TRAILHOOK_NONSENSE="1")
    assert (result.exit_code, "TRAILHOOK_NONSENSE" in result.stderr) == (2, True)


def test_an_unreachable_api_ends_with_1(trailhook: Trailhook) -> None:
    result = trailhook("source", "list", TRAILHOOK_URL="http://127.0.0.1:9")
    assert (result.exit_code, "trailhook serve" in result.stderr) == (1, True)


def test_every_setting_is_listed_as_the_environment_takes_it(trailhook: Trailhook) -> None:
    listed = {each["name"]: each for each in json.loads(trailhook("settings", "--json").stdout)["settings"]}
    assert {f"TRAILHOOK_{each.name.upper()}" for each in fields(Settings)} == set(listed)
    written = {name: each["default"] for name, each in listed.items() if each["default"] is not None}
    assert load({"TRAILHOOK_CONFIG": "/dev/null", **written}) == Settings()
    assert "TRAILHOOK_LEDGER_DAYS" in trailhook("settings").stdout


def test_the_version_is_told(trailhook: Trailhook) -> None:
    from trailhook import __version__

    assert trailhook("--version").stdout == f"trailhook {__version__}\n"


def test_a_listening_port_that_is_taken_is_told(trailhook: Trailhook, api: ScriptedApi) -> None:
    result = trailhook("listen", "--port", api.url.rpartition(":")[2])
    assert (result.exit_code, "--port" in result.stderr) == (1, True)


def test_a_wrong_signing_secret_is_refused_unshown(trailhook: Trailhook) -> None:
    result = trailhook("listen", WEBHOOK_SECRET="whsec_hush!")
    assert (result.exit_code, "hush" in result.output) == (2, False)
