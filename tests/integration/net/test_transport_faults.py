"""The transport when the network and the other side misbehave: what is known, and what is said of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from support.webserver import Script, Visit, WebServer, response
from trailhook.errors import Refused
from trailhook.net.base import ExchangeFailed, Phase, Request
from trailhook.net.guard import Guard, Resolver
from trailhook.net.transport import HttpTransport
from trailhook.settings import Settings

SHORT_S = 0.1
LARGE = b"x" * 20_000_000


def settings_for(*hosts: str, **others: object) -> Settings:
    return Settings(allow_http_callbacks=True, allow_callback_hosts=hosts, **others)  # type: ignore[arg-type]


@asynccontextmanager
async def talking_to(script: Script, **settings: object) -> AsyncIterator[tuple[HttpTransport, WebServer]]:
    async with WebServer(script) as server:
        given = settings_for(server.host_and_port, **settings)
        async with HttpTransport(Guard.for_callbacks(given), given) as transport:
            yield transport, server


@asynccontextmanager
async def resolving_with(resolver: Resolver, *hosts: str, **settings: object) -> AsyncIterator[HttpTransport]:
    given = settings_for(*hosts, **settings)
    async with HttpTransport(Guard.for_callbacks(given, resolver=resolver), given) as transport:
        yield transport


def after_the_request(data: bytes, *, reset: bool = False, hang: bool = False) -> Script:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.send(data)
        if hang:
            await visit.hang()
        if reset:
            visit.reset()

    return script


def post(server: WebServer, *, body: bytes = b"{}", deadline_s: float = 5.0) -> Request:
    return Request(method="POST", url=server.url(), body=body, deadline_s=deadline_s)


async def failure_of(transport: HttpTransport, request: Request) -> ExchangeFailed:
    with pytest.raises(ExchangeFailed) as failed:
        await transport.send(request)
    return failed.value


# ----------------------------------------------------------------------------------------------------- no status came


async def test_a_server_that_never_answers_may_have_taken_the_request() -> None:
    async with talking_to(after_the_request(b"", hang=True)) as (transport, server):
        failed = await failure_of(transport, post(server, deadline_s=SHORT_S))
        assert (failed.phase, failed.sent, failed.timed_out) == (Phase.ANSWER, True, True)
        async with asyncio.timeout(5):
            await server.visits[0].gone.wait()


async def test_a_server_that_never_reads_has_not_taken_the_request() -> None:
    async with talking_to(Visit.stall) as (transport, server):
        failed = await failure_of(transport, post(server, body=LARGE, deadline_s=SHORT_S))
        assert (failed.phase, failed.sent, failed.timed_out) == (Phase.SEND, False, True)


@pytest.mark.parametrize("reset", [True, False])
async def test_a_connection_that_ends_before_the_answer_leaves_the_request_in_doubt(reset: bool) -> None:
    async with talking_to(after_the_request(b"", reset=reset)) as (transport, server):
        failed = await failure_of(transport, post(server))
        assert (failed.phase, failed.sent, failed.timed_out) == (Phase.ANSWER, True, False)
    assert len(server.visits) == 1


async def test_a_reset_while_sending_is_known_to_have_stopped_the_request() -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        visit.reset()

    async with talking_to(script) as (transport, server):
        failed = await failure_of(transport, post(server, body=LARGE))
        assert (failed.phase, failed.sent) == (Phase.SEND, False)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-le", "closed before the answer was whole"),
        (b"SSH-2.0-OpenSSH_9.0\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x-header: value\r\n" * 10_000, "headers are over 65536 bytes"),
    ],
    ids=["half a head", "another protocol", "header bomb"],
)
async def test_half_an_answer_is_none(data: bytes, why: str) -> None:
    async with talking_to(after_the_request(data)) as (transport, server):
        failed = await failure_of(transport, post(server))
        assert why in str(failed)
        assert (failed.phase, failed.sent, failed.timed_out) == (Phase.ANSWER, True, False)


async def test_a_cancelled_exchange_closes_its_connection() -> None:
    async with talking_to(after_the_request(b"", hang=True)) as (transport, server):
        sending = asyncio.create_task(transport.send(post(server)))
        visit = await server.visit()
        sending.cancel()
        async with asyncio.timeout(5):
            await visit.gone.wait()
        assert sending.cancelled()


# ----------------------------------------------------------------------------------------- the status came: it decides


@pytest.mark.parametrize("reset", [True, False])
async def test_a_status_stands_though_the_body_breaks_off(reset: bool) -> None:
    data = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"
    async with talking_to(after_the_request(data, reset=reset)) as (transport, server):
        answer = await transport.send(post(server))
        assert (answer.status, answer.cut) == (200, False)
        assert "before the answer was whole" in answer.broken


async def test_a_body_that_drips_past_the_deadline_is_broken_and_its_status_stands() -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while not visit.gone.is_set():
            await visit.send(b".")
            await asyncio.sleep(0.005)

    async with talking_to(script) as (transport, server):
        answer = await transport.send(post(server, deadline_s=SHORT_S))
        assert answer.status == 200
        assert set(answer.body) == {ord(".")}
        assert "deadline" in answer.broken


async def test_headers_that_drip_past_the_deadline_are_no_answer() -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\nx: ")
        while True:
            await visit.send(b".")
            await asyncio.sleep(0.005)

    async with talking_to(script) as (transport, server):
        failed = await failure_of(transport, post(server, deadline_s=SHORT_S))
        assert (failed.sent, failed.timed_out) == (True, True)


@pytest.mark.parametrize("closing", [True, False])
async def test_an_answer_that_comes_while_the_request_is_still_being_sent_is_the_answer(closing: bool) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(response(413, b"too large"))
        if not closing:
            await visit.stall()

    async with talking_to(script) as (transport, server):
        for _ in range(2):
            answer = await transport.send(post(server, body=LARGE))
            assert (answer.status, answer.body) == (413, b"too large")
    assert len(server.visits) == 2


# --------------------------------------------------------------------------------------------------- stale connections


async def test_a_kept_connection_that_has_closed_meanwhile_costs_nothing() -> None:
    async with talking_to(after_the_request(response())) as (transport, server):
        for _ in range(3):
            assert (await transport.send(post(server))).status == 200
    assert len(server.visits) == 3


@pytest.mark.parametrize("reset", [True, False])
async def test_a_kept_connection_that_closes_under_a_request_is_replaced_once(reset: bool) -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.send(response())
        await visit.request()
        if reset:
            visit.reset()

    async with talking_to(script) as (transport, server):
        assert (await transport.send(post(server))).status == 200
        assert (await transport.send(post(server, body=b"second"))).status == 200
    assert [each.body for each in server.received] == [b"{}", b"second", b"second"]


async def test_the_replacement_is_not_replaced_again() -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        if visit.number == 0:
            await visit.send(response())
            await visit.request()

    async with talking_to(script) as (transport, server):
        assert (await transport.send(post(server))).status == 200
        assert (await failure_of(transport, post(server))).sent
    assert len(server.visits) == 2


async def test_a_kept_connection_that_gave_half_an_answer_is_not_replaced() -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.send(response())
        await visit.request()
        await visit.send(b"HTTP/1.1 2")

    async with talking_to(script) as (transport, server):
        assert (await transport.send(post(server))).status == 200
        assert (await failure_of(transport, post(server))).sent
    assert len(server.visits) == 1


async def test_a_request_that_a_kept_connection_took_stays_in_doubt_though_no_other_can_be_had() -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.send(response())
        await visit.request()

    addresses = ["127.0.0.1"]

    async def resolver(host: str, port: int) -> Sequence[str]:
        return [addresses.pop()]

    async with WebServer(script) as server:
        given = settings_for("hook.example")
        async with HttpTransport(Guard.for_callbacks(given, resolver=resolver), given) as transport:
            request = Request(method="POST", url=server.url(host="hook.example"))
            assert (await transport.send(request)).status == 200
            addresses.append("no address any more")
            failed = await failure_of(transport, request)
            assert (failed.phase, failed.sent) == (Phase.ANSWER, True)


async def test_bytes_that_nobody_asked_for_close_a_kept_connection() -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.send(response() + response(500, b"poison"))
        await visit.hang()

    async with talking_to(script) as (transport, server):
        for _ in range(2):
            assert (await transport.send(post(server))).status == 200
    assert len(server.visits) == 2


# ------------------------------------------------------------------------------------------------ before the connection


async def test_nobody_listening_is_a_failure_to_connect() -> None:
    async with WebServer() as server:
        request = post(server)
    given = settings_for("127.0.0.1")
    async with HttpTransport(Guard.for_callbacks(given), given) as transport:
        failed = await failure_of(transport, request)
        assert (failed.phase, failed.sent, failed.timed_out) == (Phase.CONNECT, False, False)
        assert str(failed) == "connecting failed: connection refused"


async def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "::1", "127.0.0.1"]

    async with WebServer() as server, resolving_with(resolver, "hook.example") as transport:
        answer = await transport.send(Request(method="GET", url=server.url(host="hook.example")))
        assert answer.status == 200


async def test_a_name_that_does_not_resolve_is_a_failure_of_dns() -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    async with resolving_with(resolver) as transport:
        failed = await failure_of(transport, Request(method="GET", url="https://hook.example"))
        assert (failed.phase, failed.sent, failed.timed_out) == (Phase.DNS, False, False)


@pytest.mark.parametrize(("dns_timeout_s", "deadline_s"), [(0.05, 5.0), (5.0, 0.05)], ids=["step", "deadline"])
async def test_a_resolver_that_hangs_is_not_waited_for(dns_timeout_s: float, deadline_s: float) -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with resolving_with(resolver, dns_timeout_s=dns_timeout_s) as transport:
        request = Request(method="GET", url="https://hook.example", deadline_s=deadline_s)
        failed = await failure_of(transport, request)
        assert (failed.phase, failed.sent, failed.timed_out) == (Phase.DNS, False, True)


# ----------------------------------------------------------------------------------------------------------- the guard


async def test_a_name_that_turns_to_loopback_after_it_was_checked_reaches_nothing() -> None:
    answers = [["9.9.9.9"], ["127.0.0.1"]]

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    async with WebServer() as canary:
        given = settings_for()
        guard = Guard.for_callbacks(given, resolver=rebinding)
        request = Request(method="GET", url=canary.url(host="hook.example"))
        await guard.resolve(guard.check_url(request.url))
        async with HttpTransport(guard, given) as transport:
            with pytest.raises(Refused):
                await transport.send(request)
        assert canary.visits == []


async def test_one_forbidden_address_among_good_ones_reaches_nothing() -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1", "9.9.9.9"]

    async with WebServer() as canary, resolving_with(resolver) as transport:
        with pytest.raises(Refused):
            await transport.send(Request(method="GET", url=canary.url(host="hook.example")))
        assert canary.visits == []


async def test_an_address_the_settings_do_not_list_is_refused_before_anything_is_connected() -> None:
    async with WebServer() as canary, WebServer() as listed:
        given = settings_for(listed.host_and_port)
        async with HttpTransport(Guard.for_callbacks(given), given) as transport:
            with pytest.raises(Refused):
                await transport.send(post(canary))
        assert canary.visits == []
