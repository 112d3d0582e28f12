"""A service over a simulated AWS, and people who look at it. All tests share one loop: browsers live for a session."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from support.aws import SimulatedAws
from support.browsing import PATIENCE_MS, Person, browsing, chromium_path, somebody
from support.digests import simulated_aws_with_digests
from support.receiver import Receiver, receiving
from support.service import Service, environment, serving
from support.trail import Trail


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium here: install one, or name it in TRAILHOOK_TEST_CHROMIUM")
    expect.set_options(timeout=PATIENCE_MS)
    async with browsing(path) as browser:
        yield browser


@pytest.fixture(scope="session")
def aws() -> Iterator[SimulatedAws]:
    """A simulated account that knows of digests, too."""
    with simulated_aws_with_digests() as (account, _):
        yield account


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service(
    chromium: Browser, aws: SimulatedAws, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """One for all tests: each has sources of its own in it."""
    place: Path = tmp_path_factory.mktemp("browser")
    env = environment(place, hosts=("127.0.0.1",), endpoints=(aws.host,), TRAILHOOK_SWEEP_EVERY_S="0.2")
    async with serving(env) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


@pytest_asyncio.fixture(loop_scope="session")
async def trail(aws: SimulatedAws, service: Service, receiver: Receiver) -> AsyncIterator[Trail]:
    """A bucket that CloudTrail writes to; the sources over it are gone afterwards."""
    made = Trail(aws, service.api, receiver)
    yield made
    await made.remove_sources()


@pytest_asyncio.fixture(loop_scope="session")
async def person(chromium: Browser, service: Service) -> AsyncIterator[Person]:
    """Somebody who has not signed in yet."""
    async with somebody(chromium, f"http://127.0.0.1:{service.api.port}") as one:
        yield one
