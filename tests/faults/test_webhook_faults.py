"""A webhook breaks off in every way there is: nothing is lost, and a second send has the same id and the same bytes."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.aws import SimulatedAws
from support.samples import record
from support.story import MINUTE_S, Story, telling
from support.webserver import Script, Visit, WebServer, response


async def _hangs_before_headers(visit: Visit) -> None:
    await visit.request()
    await visit.hang()


async def _drips(visit: Visit) -> None:
    await visit.request()
    await visit.send(b"HTTP/1.1 200 OK\r\nx-slow: ")
    await visit.hang()


async def _resets(visit: Visit) -> None:
    await visit.request()
    visit.reset()


async def _answers_half(visit: Visit) -> None:
    await visit.request()
    await visit.send(b"HTTP/1.1 200 OK\r\ncontent-le")


async def _talks_nonsense(visit: Visit) -> None:
    await visit.request()
    await visit.send(b"SSH-2.0-OpenSSH_9.6\r\n")


async def _fails(visit: Visit) -> None:
    while True:
        await visit.request()
        await visit.send(response(500))


async def _takes_and_breaks_the_body(visit: Visit) -> None:
    await visit.request()
    await visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")


async def _takes_and_resets(visit: Visit) -> None:
    await visit.request()
    await visit.send(b"HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\n")
    visit.reset()


BROKEN = (_hangs_before_headers, _drips, _resets, _answers_half, _talks_nonsense, _fails)
TAKEN = (_takes_and_breaks_the_body, _takes_and_resets)


class Hook:
    """A webhook that does `fault` on its first connection and takes everything on later ones."""

    def __init__(self) -> None:
        self.fault: Script = _fails
        self.server = WebServer(self._script)

    async def _script(self, visit: Visit) -> None:
        if visit.number == 0:
            await self.fault(visit)
            return
        while True:
            await visit.request()
            await visit.send(response())

    def sent(self) -> list[tuple[str, str]]:
        """The id and the hash of every request."""
        return [(each.headers["webhook-id"], hashlib.sha256(each.body).hexdigest()) for each in self.server.received]


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    hook = Hook()
    async with hook.server:
        yield hook


@pytest.fixture
async def story(tmp_path: Path, aws: SimulatedAws, hook: Hook) -> AsyncIterator[Story]:
    hosts = (hook.server.host_and_port,)
    async with telling(tmp_path, aws, hosts=hosts, callback_timeout_s=0.4, idle_connections_max=0) as story:
        yield story


@pytest.mark.parametrize("fault", BROKEN, ids=lambda each: each.__name__)
async def test_an_answer_that_never_came_whole_leads_to_the_same_bytes_under_the_same_id(
    story: Story, hook: Hook, fault: Script
) -> None:
    hook.fault = fault
    story.put([record(1)])
    await story.add(callbackUrl=hook.server.url("/hook"))
    assert (await story.counts())["waiting"] == 1
    await story.after(5 * MINUTE_S)
    assert (await story.counts())["sent"] == 1
    assert len(hook.sent()) == 2
    assert len(set(hook.sent())) == 1


@pytest.mark.parametrize("fault", TAKEN, ids=lambda each: each.__name__)
async def test_a_status_of_200_stands_whatever_follows(story: Story, hook: Hook, fault: Script) -> None:
    hook.fault = fault
    story.put([record(1)])
    await story.add(callbackUrl=hook.server.url("/hook"))
    await story.after(5 * MINUTE_S)
    assert (await story.counts())["sent"] == 1
    assert len(hook.sent()) == 1
