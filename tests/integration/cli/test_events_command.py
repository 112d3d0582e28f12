"""`trailhook events` as a user types it, against a real HTTP server that answers as the API does."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from typer.testing import CliRunner, Result

from support.api import ScriptedApi, scripted_api
from support.clock import FakeClock
from trailhook.cli.events import time
from trailhook.cli.main import app
from trailhook.clock import rfc3339
from trailhook.errors import SettingsError

EVENT = {
    "time": "2026-01-31T12:00:00.000Z",
    "eventName": "GetObject",
    "eventSource": "s3.amazonaws.com",
    "user": "arn:aws:iam::111122223333:user/alice",
    "ip": "192.0.2.7",
    "errorCode": None,
    "account": "111122223333",
    "region": "eu-west-1",
    "readOnly": True,
    "source": "s",
    "batch": "msg_a",
    "state": "delivered",
    "position": 4,
    "event": {"eventID": "1"},
}
Trailhook = Callable[..., Result]


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as running:
        yield running


@pytest.fixture
def trailhook(api: ScriptedApi) -> Trailhook:
    def run(*arguments: str) -> Result:
        surroundings = {"TRAILHOOK_URL": api.url, "TRAILHOOK_API_TOKEN": "th_x"}
        return CliRunner().invoke(app, ["events", *arguments], env=surroundings)

    return run


def page(*events: dict[str, Any], back_to: str | None = None, cursor: str | None = None, without: int = 0) -> Any:
    return {
        "events": list(events),
        "next": cursor,
        "searchedBackTo": back_to,
        "complete": cursor is None,
        "withoutRecord": without,
    }


def test_events_are_a_table_of_what_matters(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("GET", "/events?" + urlencode({"q": "eventName:Get*", "limit": 50}), page(EVENT))
    result = trailhook("eventName:Get*")
    assert result.exit_code == 0
    heading, row = result.output.splitlines()
    assert heading.split() == ["TIME", "EVENT", "SERVICE", "USER", "IP", "ERROR"]
    assert row.split() == ["2026-01-31T12:00:00.000Z", "GetObject", "s3", "user/alice", "192.0.2.7", "–"]


def test_a_search_that_takes_long_goes_on_until_it_is_through(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("GET", "/events?q=word&limit=50", page(back_to="2026-01-31T00:00:00.000Z", cursor="c1"))
    api.on("GET", "/events?q=word&cursor=c1&limit=50", page(EVENT, back_to="2026-01-30T00:00:00.000Z", cursor="c2"))
    api.on("GET", "/events?q=word&cursor=c2&limit=49", page(without=3))
    result = trailhook("word")
    assert result.exit_code == 0
    assert result.output.count("GetObject") == 1
    assert "3 more could not be searched" in result.output


def test_it_stops_at_the_limit_and_says_how_far_it_looked(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("GET", "/events?limit=1", page(EVENT, back_to="2026-01-31T12:00:00.000Z", cursor="c1"))
    result = trailhook("--limit", "1")
    assert "The newest 1. There may be more before 2026-01-31T12:00:00.000Z" in result.output
    assert len(api.asked) == 1


def test_nothing_found_is_said(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("GET", "/events?limit=50", page())
    assert trailhook().output == "No events.\n"


def test_json_is_the_apis_own_lines(api: ScriptedApi, trailhook: Trailhook) -> None:
    lines = b'{"time":"t","event":{"a":1.0}}\n{"time":"u","event":null}\n'
    api.on("GET", "/events?q=x&limit=2", raw=lines, headers={"content-type": "application/x-ndjson"})
    result = trailhook("x", "--json", "--limit", "2")
    assert (result.exit_code, result.output.encode()) == (0, lines)
    assert api.asked[0].headers["accept"] == "application/x-ndjson"
    assert api.asked[0].headers["authorization"] == "Bearer th_x"


def test_an_export_that_breaks_off_fails(api: ScriptedApi, trailhook: Trailhook) -> None:
    first_chunk = b'd\r\n{"time":"t"}\n\r\n'
    api.on("GET", "/events", raw=first_chunk, headers={"transfer-encoding": "chunked"})
    result = trailhook("--json")
    assert result.exit_code == 1
    assert result.output.startswith('{"time":"t"}\nerror: No answer')


def test_events_are_followed_as_they_come(api: ScriptedApi, trailhook: Trailhook) -> None:
    stream = f": ping\n\ndata: {json.dumps(EVENT)}\nid: 7\n\n"
    api.on("GET", "/events/tail?q=x", raw=stream.encode(), headers={"content-type": "text/event-stream"})
    assert trailhook("x", "--follow").output.split() == [
        "2026-01-31T12:00:00.000Z",
        "s3",
        "GetObject",
        "user/alice",
        "192.0.2.7",
        "eu-west-1",
    ]
    assert json.loads(trailhook("x", "--follow", "--json").output) == EVENT


def test_a_source_may_be_named(api: ScriptedApi, trailhook: Trailhook) -> None:
    api.on("GET", "/sources", {"sources": [{"id": "some-id", "name": "prod"}], "next": None})
    api.on("GET", "/events?source=some-id&limit=50", page())
    assert trailhook("--source", "prod").exit_code == 0


def test_a_refused_query_fails_with_the_place(api: ScriptedApi, trailhook: Trailhook) -> None:
    problem = {"title": "Bad", "detail": "No.", "errors": [{"field": "q", "message": "character 1: this is no field"}]}
    api.on("GET", "/events?q=a%3Ab&limit=50", problem, status=422)
    result = trailhook("a:b")
    assert result.exit_code == 1
    assert "q: character 1: this is no field" in result.output


@pytest.mark.parametrize("arguments", [["--follow", "--from", "2h"], ["--from", "yesterday"], ["--to", "2026-01-31"]])
def test_what_makes_no_sense_is_a_usage_error(trailhook: Trailhook, arguments: list[str]) -> None:
    assert trailhook(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("text", "ago_s"), [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("7d", 604_800), ("1w", 604_800)]
)
def test_a_time_may_be_how_long_ago(text: str, ago_s: int) -> None:
    clock = FakeClock()
    assert time(text, "--from", clock) == rfc3339(clock.now() - ago_s)


def test_a_time_is_sent_as_the_api_takes_it() -> None:
    assert time("2026-01-31T13:00:00+01:00", "--from", FakeClock()) == "2026-01-31T12:00:00.000Z"
    with pytest.raises(SettingsError, match="--to"):
        time("999999w", "--to", FakeClock())
