"""The API over real parts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.asgi import Client
from support.clock import FakeClock
from support.parts import ADMIN, parts_on
from trailhook.api.server import create_app
from trailhook.app import Parts


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def parts(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Parts]:
    async with parts_on(tmp_path, clock=clock) as built:
        yield built


@pytest.fixture
def api(parts: Parts) -> Client:
    return Client(create_app(parts), ADMIN)
