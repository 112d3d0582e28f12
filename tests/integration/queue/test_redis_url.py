"""What the URL of a Redis says: the database, the password, TLS. It is never shown."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from support.certificates import Authority
from support.queues import Work, eventually, redis_queue, running
from support.valkey import own_valkey
from trailhook.errors import SettingsError, Transient
from trailhook.model import Job


def poll(source_id: str) -> Job:
    return Job(kind="poll", source_id=source_id)


async def test_the_database_in_the_url_is_the_one_that_is_used(redis_url: str) -> None:
    other_url = redis_url.rpartition("/")[0] + "/7"
    async with redis_queue(redis_url) as queue, redis_queue(other_url) as other, Redis.from_url(other_url) as client:
        await client.flushdb()
        before = (await queue.depth())["delayed"]
        await other.hint(poll("elsewhere"), delay_s=60.0)
        assert ((await queue.depth())["delayed"], (await other.depth())["delayed"]) == (before, 1)
        await client.flushdb()


@pytest.mark.parametrize("url", ["http://:hunter2@here", "redis://:hunter2@here:port", "redis://:hunter2@here?half=1"])
async def test_a_url_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match="TRAILHOOK_REDIS_URL") as refused:
        async with redis_queue(url):
            pass
    assert "hunter2" not in f"{refused.value}"


async def test_a_wrong_password_is_told_of_without_showing_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="trailhook")
    polls = Work.quick()
    with own_valkey("--requirepass", "right") as valkey:
        right, wrong = (f"redis://:{word}@127.0.0.1:{valkey.port}" for word in ("right", "hunter2"))
        async with redis_queue(wrong) as worker, running(worker, poll=polls):
            with pytest.raises(Transient) as refused:
                await worker.check()
            await worker.hint(poll("a"))
            await eventually(lambda: polls.started == ["a"])
        assert "AuthenticationError" in caplog.text
        assert "hunter2" not in f"{caplog.text}{refused.value!r}{refused.value.__cause__!r}"
        async with redis_queue(right) as queue:
            await queue.check()


async def test_rediss_is_tls_whose_certificate_is_verified(tmp_path: Path) -> None:
    authority = Authority.new()
    trusted = tmp_path / "authority.pem"
    trusted.write_text(authority.pem)
    with own_valkey() as valkey:
        async with ending_tls(valkey.port, authority.server_context(tmp_path, "127.0.0.1")) as port:
            async with redis_queue(f"rediss://127.0.0.1:{port}?ssl_ca_certs={trusted}") as queue:
                await queue.check()
            async with redis_queue(f"rediss://127.0.0.1:{port}") as queue:
                with pytest.raises(Transient):
                    await queue.check()


@asynccontextmanager
async def ending_tls(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A port where TLS ends before the server on `port`, which speaks none."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
