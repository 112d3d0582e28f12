"""The transport over TLS: verified always, against the system's authorities or the source's own."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.certificates import Authority
from support.webserver import Script, Visit, WebServer, response, say_ok
from trailhook.net.base import CertificateRefused, ExchangeFailed, Phase, Request
from trailhook.net.guard import Guard
from trailhook.net.transport import HttpTransport
from trailhook.settings import Settings

AUTHORITY = Authority.new()
NAME = "hook.example"


async def loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def talking_to(
    context: ssl.SSLContext | None, script: Script = say_ok, **settings: object
) -> AsyncIterator[tuple[HttpTransport, WebServer]]:
    given = Settings(allow_callback_hosts=(NAME, "127.0.0.1"), **settings)  # type: ignore[arg-type]
    guard = Guard.for_callbacks(given, resolver=loopback)
    async with WebServer(script, tls=context) as server, HttpTransport(guard, given) as transport:
        yield transport, server


def get(server: WebServer, *, host: str = NAME, ca: str | None = AUTHORITY.pem) -> Request:
    return Request(method="GET", url=f"https://{host}:{server.port}/", ca_certificate=ca, deadline_s=5)


@pytest.fixture
def good(tmp_path: Path) -> ssl.SSLContext:
    return AUTHORITY.server_context(tmp_path, NAME, "127.0.0.1")


@pytest.mark.parametrize("host", [NAME, "127.0.0.1"])
async def test_a_source_s_own_authority_is_trusted_and_the_connection_kept(good: ssl.SSLContext, host: str) -> None:
    async with talking_to(good) as (transport, server):
        for _ in range(3):
            assert (await transport.send(get(server, host=host))).body == b"ok"
    assert [len(visit.received) for visit in server.visits] == [3]


async def test_a_certificate_of_an_unknown_authority_is_refused(good: ssl.SSLContext) -> None:
    async with talking_to(good) as (transport, server):
        for ca in (None, Authority.new("Another").pem):
            with pytest.raises(CertificateRefused, match="does not verify"):
                await transport.send(get(server, ca=ca))
    assert server.received == []


async def test_a_connection_is_never_shared_between_authorities(good: ssl.SSLContext) -> None:
    async with talking_to(good) as (transport, server):
        assert (await transport.send(get(server))).status == 200
        with pytest.raises(CertificateRefused):
            await transport.send(get(server, ca=None))


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    async with talking_to(AUTHORITY.server_context(tmp_path, "other.example")) as (transport, server):
        with pytest.raises(CertificateRefused, match="mismatch"):
            await transport.send(get(server))


async def test_a_certificate_whose_time_is_over_is_refused(tmp_path: Path) -> None:
    async with talking_to(AUTHORITY.server_context(tmp_path, NAME, ended=True)) as (transport, server):
        with pytest.raises(CertificateRefused, match="expired"):
            await transport.send(get(server))


@pytest.mark.parametrize("pem", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "ä"])
async def test_an_authority_that_cannot_be_read_trusts_nobody(good: ssl.SSLContext, pem: str) -> None:
    async with talking_to(good) as (transport, server):
        with pytest.raises(CertificateRefused, match="cannot be read"):
            await transport.send(get(server, ca=pem))


async def test_tls_older_than_1_2_is_not_spoken(good: ssl.SSLContext) -> None:
    good.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        good.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        good.maximum_version = ssl.TLSVersion.TLSv1_1
    async with talking_to(good) as (transport, server):
        with pytest.raises(ExchangeFailed) as failed:
            await transport.send(get(server))
        assert (failed.value.phase, failed.value.sent) == (Phase.TLS, False)


async def test_a_server_that_does_not_speak_tls_is_a_failure_of_tls() -> None:
    async def script(visit: Visit) -> None:
        await visit.send(response(400))

    async with talking_to(None, script) as (transport, server):
        with pytest.raises(ExchangeFailed) as failed:
            await transport.send(get(server))
        assert (failed.value.phase, failed.value.sent) == (Phase.TLS, False)


async def test_a_handshake_that_breaks_off_is_a_failure_of_tls() -> None:
    async def script(visit: Visit) -> None:
        visit.reset()

    async with talking_to(None, script) as (transport, server):
        with pytest.raises(ExchangeFailed) as failed:
            await transport.send(get(server))
        assert (failed.value.phase, failed.value.sent, failed.value.timed_out) == (Phase.TLS, False, False)


async def test_a_handshake_that_hangs_has_its_own_time() -> None:
    async with talking_to(None, Visit.hang, tls_timeout_s=0.05) as (transport, server):
        with pytest.raises(ExchangeFailed) as failed:
            await transport.send(get(server))
        assert (failed.value.phase, failed.value.timed_out) == (Phase.TLS, True)
        async with asyncio.timeout(5):
            await (await server.visit()).gone.wait()


async def test_large_bodies_go_both_ways(good: ssl.SSLContext) -> None:
    async def echo(visit: Visit) -> None:
        while True:
            await visit.send(response(body=(await visit.request()).body))

    body = bytes(range(250)) * 8_000
    async with talking_to(good, echo) as (transport, server):
        request = get(server).but(method="POST", body=body, body_bytes_max=len(body))
        for _ in range(2):
            assert (await transport.send(request)).body == body
    assert len(server.visits) == 1


async def test_an_answer_that_comes_while_the_request_is_still_being_sent_is_the_answer(good: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        await visit.head()
        await visit.send(response(413, b"too large"))
        await visit.stall()

    async with talking_to(good, script) as (transport, server):
        request = get(server).but(method="POST", body=b"x" * 20_000_000)
        for _ in range(2):
            assert (await transport.send(request)).status == 413
    assert len(server.visits) == 2


async def test_a_server_that_never_answers_may_have_taken_the_request(good: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.hang()

    async with talking_to(good, script) as (transport, server):
        with pytest.raises(ExchangeFailed) as failed:
            await transport.send(get(server).but(deadline_s=0.2))
        assert (failed.value.phase, failed.value.sent, failed.value.timed_out) == (Phase.ANSWER, True, True)


async def test_a_server_that_never_reads_has_not_taken_the_request(good: ssl.SSLContext) -> None:
    async with talking_to(good, Visit.stall) as (transport, server):
        request = get(server).but(method="POST", body=b"x" * 20_000_000, deadline_s=0.3)
        with pytest.raises(ExchangeFailed) as failed:
            await transport.send(request)
        assert (failed.value.phase, failed.value.sent) == (Phase.SEND, False)


async def test_a_kept_connection_that_closes_under_a_request_is_replaced_once(good: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.send(response())
        await visit.request()

    async with talking_to(good, script) as (transport, server):
        for _ in range(2):
            assert (await transport.send(get(server))).status == 200
    assert len(server.visits) == 2
