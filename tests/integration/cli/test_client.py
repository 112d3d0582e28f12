"""The client against a real HTTP server."""

import socket
from collections.abc import Iterator

import pytest

from support.api import ScriptedApi, scripted_api
from trailhook.cli.client import ApiRefused, Client, Unreachable


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as running:
        yield running


def test_it_sends_the_token_and_reads_json(api: ScriptedApi) -> None:
    api.on("GET", "/sources/x", {"id": "x"})
    assert Client(api.url, "th_secret").call("GET", "sources", "x") == {"id": "x"}
    assert api.asked[0].headers["authorization"] == "Bearer th_secret"


def test_it_sends_a_body_as_json(api: ScriptedApi) -> None:
    api.on("POST", "/add-source", {"id": "x"}, status=201)
    Client(api.url).call("POST", "add-source", body={"name": "zoë"})
    assert api.asked[0].body == {"name": "zoë"}
    assert api.asked[0].headers["content-type"] == "application/json"
    assert "authorization" not in api.asked[0].headers


def test_what_was_typed_stays_one_segment_of_the_path(api: ScriptedApi) -> None:
    with pytest.raises(ApiRefused):
        Client(api.url).call("GET", "sources", "../tokens?x=1#y")
    assert api.calls == ["GET /sources/..%2Ftokens%3Fx%3D1%23y"]


def test_a_path_in_the_url_is_kept(api: ScriptedApi) -> None:
    api.on("GET", "/base/sources?status=active", {"sources": []})
    Client(api.url + "/base").call("GET", "sources", query={"status": "active", "source": None})
    assert api.calls == ["GET /base/sources?status=active"]


def test_a_list_is_read_to_its_last_page(api: ScriptedApi) -> None:
    api.on("GET", "/sources", {"sources": [{"id": "1"}, {"id": "2"}], "next": "abc="})
    api.on("GET", "/sources?cursor=abc%3D", {"sources": [{"id": "3"}], "next": None})
    assert [each["id"] for each in Client(api.url).every("sources", "sources")] == ["1", "2", "3"]


def test_a_problem_becomes_a_sentence_with_its_fields(api: ScriptedApi) -> None:
    errors = [{"field": "credentials.region", "message": "is missing"}, {"field": "callbackUrl", "message": "is bad"}]
    api.on("POST", "/add-source", {"title": "x", "detail": "Some fields are wrong.", "errors": errors}, status=422)
    with pytest.raises(ApiRefused) as caught:
        Client(api.url).call("POST", "add-source", body={})
    assert str(caught.value) == "Some fields are wrong.\n  credentials.region: is missing\n  callbackUrl: is bad"
    assert caught.value.status == 422


def test_a_missing_token_says_where_to_get_one(api: ScriptedApi) -> None:
    api.on("GET", "/sources", {"title": "Unauthorized", "detail": "A token is needed."}, status=401)
    with pytest.raises(ApiRefused, match="TRAILHOOK_API_TOKEN"):
        Client(api.url).call("GET", "sources")


def test_a_refusal_that_is_no_problem_document_is_told_by_its_status(api: ScriptedApi) -> None:
    api.on("GET", "/sources", status=502, raw=b"<html>Bad Gateway</html>")
    with pytest.raises(ApiRefused, match=r"502.*TRAILHOOK_URL"):
        Client(api.url).call("GET", "sources")


def test_a_redirect_is_not_followed_so_the_token_stays_here(api: ScriptedApi) -> None:
    with scripted_api() as elsewhere:
        api.on("GET", "/sources", status=307, headers={"location": f"{elsewhere.url}/sources"})
        with pytest.raises(ApiRefused, match="307"):
            Client(api.url, "th_secret").call("GET", "sources")
        assert elsewhere.asked == []


def test_something_that_is_not_the_api_is_said_to_be_that(api: ScriptedApi) -> None:
    api.on("GET", "/sources", raw=b"<html>Welcome</html>")
    with pytest.raises(Unreachable, match="TRAILHOOK_URL"):
        Client(api.url).call("GET", "sources")


def test_an_empty_answer_is_none(api: ScriptedApi) -> None:
    api.on("DELETE", "/tokens/x", status=204)
    assert Client(api.url).call("DELETE", "tokens", "x") is None


def test_nobody_there_says_what_to_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match="trailhook serve"):
        Client(f"http://127.0.0.1:{port}").call("GET", "sources")


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.1)
        with pytest.raises(Unreachable, match="timed out"):
            client.call("GET", "sources")


def test_an_answer_that_breaks_off_is_no_answer(api: ScriptedApi) -> None:
    api.on("GET", "/sources", raw=b"{", headers={"content-length": "100"})
    with pytest.raises(Unreachable):
        Client(api.url).call("GET", "sources")
