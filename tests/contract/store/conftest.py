"""Every store there is, each test on a fresh one with a clock that the test moves."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.stores import STORES, OpenStore, mongo, sqlite
from trailhook.store.base import Store


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=STORES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> OpenStore:
    if request.param == "mongo":
        return mongo(f"{request.getfixturevalue('mongodb_url')}contract", clock)
    return sqlite(tmp_path, clock)


@pytest.fixture
async def store(open_store: OpenStore) -> AsyncIterator[Store]:
    async with open_store() as store:
        yield store
