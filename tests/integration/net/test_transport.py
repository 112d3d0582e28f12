"""The transport against a real server on loopback, when all goes well: what is sent, kept, read and cut."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from support.webserver import Script, Visit, WebServer, response, say_ok
from trailhook.errors import Refused
from trailhook.net.base import AnswerTooLong, Request
from trailhook.net.guard import Guard
from trailhook.net.transport import HttpTransport
from trailhook.settings import Settings


@asynccontextmanager
async def talking_to(script: Script = say_ok, **settings: object) -> AsyncIterator[tuple[HttpTransport, WebServer]]:
    async with WebServer(script) as server:
        given = Settings(
            allow_http_callbacks=True,
            allow_callback_hosts=(server.host_and_port,),
            **settings,  # type: ignore[arg-type]
        )
        async with HttpTransport(Guard.for_callbacks(given), given) as transport:
            yield transport, server


def answering(data: bytes) -> Script:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.send(data)

    return script


async def test_a_request_arrives_as_given_with_host_and_length_added() -> None:
    async with talking_to() as (transport, server):
        url = server.url("/a//b%2F?c=d")
        await transport.send(Request(method="POST", url=url, headers=[("X-One", "1"), ("x-two", "")], body=b"{}"))
    (received,) = server.received
    assert (received.method, received.path, received.body) == ("POST", "/a//b%2F?c=d", b"{}")
    headers = {"host": server.host_and_port, "x-one": "1", "x-two": "", "content-length": "2"}
    assert received.headers == headers


@pytest.mark.parametrize(("method", "length"), [("POST", "0"), ("PUT", "0"), ("GET", None), ("HEAD", None)])
async def test_a_request_that_could_have_a_body_always_tells_its_length(method: str, length: str | None) -> None:
    async with talking_to(answering(b"HTTP/1.1 204 No\r\n\r\n")) as (transport, server):
        await transport.send(Request(method=method, url=server.url()))
    assert server.received[0].headers.get("content-length") == length


async def test_framing_headers_of_the_caller_do_not_reach_the_wire() -> None:
    smuggled = [("Host", "a"), ("Content-Length", "9"), ("Transfer-Encoding", "chunked"), ("Connection", "close")]
    async with talking_to() as (transport, server):
        await transport.send(Request(method="POST", url=server.url(), headers=smuggled, body=b"{}"))
    assert server.received[0].headers == {"host": server.host_and_port, "content-length": "2"}


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\ny", "a\ry", "a\0", "ä"])
async def test_a_header_that_would_end_its_line_is_refused(value: str) -> None:
    async with talking_to() as (transport, server):
        with pytest.raises(Refused, match="header"):
            await transport.send(Request(method="GET", url=server.url(), headers=[("x-a", value)]))
    assert server.visits == []


async def test_the_answer_comes_back_whole() -> None:
    data = b"HTTP/1.1 500 Oh\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"
    async with talking_to(answering(data)) as (transport, server):
        answer = await transport.send(Request(method="POST", url=server.url()))
    assert (answer.status, answer.header("retry-after"), answer.body) == (500, "3", b"no")
    assert (answer.cut, answer.broken) == (False, "")


async def test_one_connection_serves_one_request_after_another() -> None:
    async with talking_to() as (transport, server):
        for _ in range(3):
            assert (await transport.send(Request(method="POST", url=server.url(), body=b"x"))).body == b"ok"
    assert [len(visit.received) for visit in server.visits] == [3]


async def test_many_requests_at_a_time_do_not_share_a_connection() -> None:
    async def echo(visit: Visit) -> None:
        while True:
            await visit.send(response(body=(await visit.request()).body))

    async with talking_to(echo) as (transport, server):
        bodies = [str(number).encode() for number in range(50)]
        requests = [Request(method="POST", url=server.url(), body=body) for body in bodies]
        answers = await asyncio.gather(*map(transport.send, requests))
        assert [each.body for each in answers] == bodies
    assert len(server.visits) == 50


async def test_no_more_idle_connections_are_kept_than_the_settings_allow() -> None:
    async with talking_to(idle_connections_max=2) as (transport, server):
        request = Request(method="GET", url=server.url())
        await asyncio.gather(*[transport.send(request) for _ in range(5)])
        await asyncio.gather(*[transport.send(request) for _ in range(2)])
        gone = [visit for visit in server.visits if visit.gone.is_set()]
        assert (len(server.visits), len(gone)) == (5, 3)


async def test_without_room_for_idle_connections_every_request_has_its_own() -> None:
    async with talking_to(idle_connections_max=0) as (transport, server):
        for _ in range(2):
            await transport.send(Request(method="GET", url=server.url()))
    assert len(server.visits) == 2


async def test_a_connection_that_is_idle_for_too_long_is_closed() -> None:
    async with talking_to(idle_connection_s=0.01) as (transport, server):
        await transport.send(Request(method="GET", url=server.url()))
        async with asyncio.timeout(5):
            await server.visits[0].gone.wait()


async def test_closing_the_transport_closes_what_is_idle() -> None:
    async with WebServer() as server:
        given = Settings(allow_http_callbacks=True, allow_callback_hosts=(server.host_and_port,))
        async with HttpTransport(Guard.for_callbacks(given), given) as transport:
            await transport.send(Request(method="GET", url=server.url()))
            assert not server.visits[0].gone.is_set()
        async with asyncio.timeout(5):
            await server.visits[0].gone.wait()


@pytest.mark.parametrize(
    "data", [response(headers={"connection": "close"}), b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"]
)
async def test_a_connection_that_the_server_gives_up_is_not_used_again(data: bytes) -> None:
    async with talking_to(answering(data)) as (transport, server):
        for _ in range(2):
            assert (await transport.send(Request(method="POST", url=server.url()))).broken == ""
    assert len(server.visits) == 2


async def test_a_redirect_is_an_answer_and_is_never_followed() -> None:
    async with (
        WebServer() as canary,
        talking_to(answering(response(307, headers={"location": canary.url()}))) as (
            transport,
            server,
        ),
    ):
        answer = await transport.send(Request(method="POST", url=server.url(), body=b"{}"))
        assert (answer.status, answer.header("location")) == (307, canary.url())
        assert canary.visits == []


async def test_a_head_request_waits_for_no_body() -> None:
    async with talking_to(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")) as (transport, server):
        answer = await transport.send(Request(method="HEAD", url=server.url()))
    assert (answer.status, answer.body) == (200, b"")


async def test_an_answer_that_is_too_long_is_cut_and_its_connection_closed() -> None:
    async with talking_to(answering(response(body=b"x" * 1000))) as (transport, server):
        answer = await transport.send(Request(method="GET", url=server.url(), body_bytes_max=10))
        assert (answer.status, answer.body, answer.cut) == (200, b"x" * 10, True)
        async with asyncio.timeout(5):
            await server.visits[0].gone.wait()


async def test_an_answer_that_must_not_be_cut_is_refused_when_too_long() -> None:
    async with talking_to(answering(response(body=b"x" * 11))) as (transport, server):
        request = Request(method="GET", url=server.url(), body_bytes_max=11, cut_long_answers=False)
        assert len((await transport.send(request)).body) == 11
        with pytest.raises(AnswerTooLong):
            await transport.send(request.but(body_bytes_max=10))


@pytest.mark.parametrize("head", [b"content-length: 50000000\r\n\r\n", b"\r\n"], ids=["counted", "until close"])
async def test_fifty_megabytes_come_whole(head: bytes) -> None:
    body = bytes(range(250)) * 200_000
    async with talking_to(answering(b"HTTP/1.1 200 OK\r\n" + head + body)) as (transport, server):
        request = Request(method="GET", url=server.url(), body_bytes_max=100_000_000, cut_long_answers=False)
        assert (await transport.send(request)).body == body


async def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(250)) * 20_000
    async with talking_to() as (transport, server):
        for _ in range(2):
            assert (await transport.send(Request(method="POST", url=server.url(), body=body))).status == 200
    assert [each.body == body for each in server.received] == [True, True]
    assert len(server.visits) == 1


async def test_the_server_answers_at_the_address_that_was_vetted_under_the_name_that_was_asked_for() -> None:
    asked: list[tuple[str, int]] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    async with WebServer() as server:
        given = Settings(allow_http_callbacks=True, allow_callback_hosts=("hook.example",))
        async with HttpTransport(Guard.for_callbacks(given, resolver=resolver), given) as transport:
            for _ in range(2):
                await transport.send(Request(method="GET", url=server.url(host="hook.example")))
    assert server.received[0].headers["host"] == f"hook.example:{server.port}"
    assert asked == [("hook.example", server.port)]
