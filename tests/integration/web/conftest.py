"""The API with its pages, over real parts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from support.asgi import Client
from support.clock import FakeClock
from support.parts import ADMIN, parts_on
from support.web import Browser
from trailhook.app import Parts
from trailhook.web.server import create_site


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def parts(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Parts]:
    async with parts_on(tmp_path, clock=clock) as built:
        yield built


@pytest.fixture
def site(parts: Parts) -> FastAPI:
    return create_site(parts)


@pytest.fixture
def api(site: FastAPI) -> Client:
    """The REST API with the admin token."""
    return Client(site, ADMIN)


@pytest.fixture
async def browser(site: FastAPI) -> Browser:
    """Signed in with the admin token."""
    browser = Browser(site)
    assert (await browser.sign_in(ADMIN)).status == 200
    return browser
