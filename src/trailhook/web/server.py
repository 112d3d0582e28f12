"""The API with the dashboard: one ASGI application."""

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from trailhook.api.auth import STATIC
from trailhook.api.server import create_app
from trailhook.app import Parts
from trailhook.errors import NotFound
from trailhook.web import (
    bulk,
    completeness,
    dead_letters,
    deliveries,
    events,
    live,
    overview,
    past,
    payload,
    quarantine,
    settings,
    signing_in,
    source_form,
    sources,
)
from trailhook.web.pages import Entry, Pages, page_router
from trailhook.web.signing_in import FailedSignIns
from trailhook.web.static_files import StaticFiles

MODULES = (
    signing_in,
    overview,
    source_form,
    sources,
    deliveries,
    payload,
    dead_letters,
    bulk,
    quarantine,
    settings,
    events,
    live,
    completeness,
    past,
)
"""Each has a `router`."""
NAV: tuple[Entry, ...] = (
    overview.NAV,
    events.NAV,
    live.NAV,
    deliveries.NAV,
    dead_letters.NAV,
    quarantine.NAV,
    settings.NAV,
)
"""In the order shown."""


def create_site(parts: Parts) -> FastAPI:
    """The API and the pages over parts that are running. It starts and stops nothing itself."""
    app = create_app(parts)
    app.state.pages = Pages(StaticFiles.load(), NAV)
    app.state.failed_sign_ins = FailedSignIns(parts.clock)
    for module in MODULES:
        app.include_router(module.router)
    app.include_router(_rest())
    return app


def _rest() -> APIRouter:
    router = page_router()

    @router.get(STATIC + "{rest:path}")
    async def static_file(request: Request) -> Response:
        """A script or a style."""
        pages: Pages = request.app.state.pages
        return pages.static.answer(request.url.path)

    @router.get("/ui/{rest:path}")
    async def no_such_page() -> Response:
        """Anything else below /ui/."""
        raise NotFound("no such page")

    return router
