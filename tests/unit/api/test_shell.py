"""The outermost layer of the API, around applications that misbehave."""

import logging

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from support.asgi import Client
from trailhook.api.problems import BadField, BadRequest, Forbidden
from trailhook.api.shell import BodyLimit, Shell
from trailhook.errors import Conflict, KeyUnavailable, LeaseLost, NotFound, Refused, StoreUnavailable, TrailhookError

CANARY = "canary"


def raising(error: Exception) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return app


async def reader(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


async def test_what_nobody_expected_is_a_500_that_tells_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    reply = await Client(Shell(raising(ValueError(CANARY)))).call("GET", "/canary")
    assert (reply.status, reply.json["status"]) == (500, 500)
    assert CANARY.encode() not in reply.body
    assert "ValueError" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadRequest(BadField(field="name", message="is missing")), 422),
        (Forbidden("This needs a token with the scope write."), 403),
        (NotFound(CANARY), 404),
        (Conflict("Not now."), 409),
        (Refused("Not there."), 422),
        (StoreUnavailable(CANARY), 503),
        (KeyUnavailable(CANARY), 500),
        (LeaseLost(CANARY), 500),
    ],
)
async def test_each_known_error_has_its_status(error: TrailhookError, status: int) -> None:
    reply = await Client(Shell(raising(error))).call("GET", "/")
    assert (reply.status, reply.json["status"]) == (status, status)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json["detail"]
    assert CANARY.encode() not in reply.body


@pytest.mark.parametrize(("asked_s", "told"), [(None, "5"), (0.1, "1"), (12.2, "13")])
async def test_a_503_says_when_to_come_back(asked_s: float | None, told: str) -> None:
    reply = await Client(Shell(raising(StoreUnavailable("gone", retry_after_s=asked_s)))).call("GET", "/")
    assert reply.headers["retry-after"] == told


async def test_an_answer_that_broke_off_is_not_mended_with_another(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError(CANARY)

    with pytest.raises(ValueError, match=CANARY):
        await Client(Shell(app)).call("GET", "/")
    assert "a request failed" in caplog.text


async def test_a_client_that_left_is_nobodys_fault(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[object] = []

    async def send(message: object) -> None:
        sent.append(message)

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with caplog.at_level(logging.WARNING):
        await Shell(raising(ClientDisconnect()))({"type": "http", "method": "GET"}, receive, send)
    assert sent == []
    assert caplog.text == ""


async def test_a_route_may_set_its_own_headers() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("x", headers={"cache-control": "max-age=60"})(scope, receive, send)

    headers = (await Client(Shell(app)).call("GET", "/")).headers
    assert headers["cache-control"] == "max-age=60"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("chunks", "status"), [([b"x" * 5, b"y" * 5], 200), ([b"x" * 5, b"y" * 6], 413)])
async def test_a_body_is_counted_however_it_comes(chunks: list[bytes], status: int) -> None:
    client = Client(Shell(BodyLimit(reader, bytes_max=10)))
    assert (await client.call("POST", "/", chunks=chunks)).status == status
    assert (await client.call("POST", "/", b"".join(chunks))).status == status
