"""The REST API as one ASGI application."""

from fastapi import Depends, FastAPI

from trailhook import __version__
from trailhook.api import (
    backfill,
    completeness,
    deliveries,
    events,
    filters,
    health,
    openapi,
    preflight,
    problems,
    quarantine,
    replay,
    sign_in_links,
    sources,
    tokens,
)
from trailhook.api.auth import Authentication, cookie_name
from trailhook.api.context import known_queries
from trailhook.api.shell import BodyLimit, Shell
from trailhook.app import Parts


def create_app(parts: Parts) -> FastAPI:
    """The API over parts that are running. It starts and stops nothing itself."""
    app = _application(parts)
    routes = (sources, backfill, replay, preflight, completeness, filters, deliveries, events, quarantine, tokens)
    for module in (*routes, sign_in_links, openapi):
        app.include_router(module.router, dependencies=[Depends(known_queries)])
    app.openapi = openapi.describer(app)  # type: ignore[method-assign] # the framework's own way to replace it
    return app


def create_probes(parts: Parts) -> FastAPI:
    """What a worker answers: probes and metrics, under the same rules."""
    return _application(parts)


def _application(parts: Parts) -> FastAPI:
    """What every process answers, inside everything that guards an answer."""
    app = FastAPI(
        title="Trailhook",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.parts = parts
    app.include_router(health.router)
    problems.install(app)
    app.add_middleware(BodyLimit, bytes_max=parts.settings.request_bytes_max)
    cookie = cookie_name(parts.settings)
    app.add_middleware(Authentication, tokens=parts.tokens, sessions=parts.sessions, cookie=cookie)
    app.add_middleware(Shell)
    return app
