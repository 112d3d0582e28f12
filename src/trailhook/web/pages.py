"""What all pages share: how they are rendered, what they are told of who looks, and what they say when they cannot."""

import json
import logging
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from trailhook import __version__
from trailhook.api import problems
from trailhook.api.problems import BadRequest
from trailhook.errors import TrailhookError
from trailhook.model import Value
from trailhook.security.tokens import Scope
from trailhook.web import words
from trailhook.web.static_files import StaticFiles

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {"content-security-policy": POLICY, "referrer-policy": "same-origin", "vary": "cookie"}
"""Of every page. (Without a referrer at all, browsers would not say either which origin a form came from.)"""
THEMES = ("light", "dark")


class Entry(Value, frozen=True, kw_only=True):
    """A link of the navigation."""

    title: str
    path: str
    below: str = ""
    """How the addresses of the pages that belong to it begin, if not with its own."""
    scope: Scope = Scope.READ
    """Only those with that scope see it."""


class Pages:
    """Renders templates. `nav` is what the navigation holds."""

    def __init__(self, static: StaticFiles, nav: Sequence[Entry]) -> None:
        self.static = static
        self._nav = nav
        self._templates = Environment(
            loader=PackageLoader("trailhook.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._templates.globals |= {"static": static.path, "version": __version__, "Scope": Scope}
        self._templates.filters |= words.FILTERS

    def render(self, request: Request, template: str, code: int = 200, /, **context: Any) -> HTMLResponse:
        """`template` with `context`, and with what every page may use: `viewer`, `nav`, `theme`, `csrf`, `path`."""
        content = self._templates.get_template(template).render({**context, **self._surroundings(request)})
        return HTMLResponse(content, code, HEADERS)

    def has(self, template: str) -> bool:
        """Whether there is such a template."""
        return template in self._templates.list_templates()

    def _surroundings(self, request: Request) -> dict[str, Any]:
        token = getattr(request.state, "token", None)
        guest = getattr(request.state, "guest", None)
        theme = request.cookies.get("theme", "")
        return {
            "viewer": token,
            "nav": [each for each in self._nav if token and token.allows(each.scope)],
            "csrf": guest.csrf if guest else "",
            "theme": theme if theme in THEMES else "auto",
            "path": request.url.path,
        }

    def refusal(self, request: Request, error: Exception) -> Response:
        """A page, or a part of one, that says what a problem document of the API would say."""
        said = _said(error)
        status: int = said["status"]
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("a page failed: %s: %s", type(error).__name__, error, extra={"route": request.url.path})
        template = "_refusal.html" if is_part(request) else "refusal.html"
        return self.render(request, template, status, said=said)


def _said(error: Exception) -> dict[str, Any]:
    """The problem document that the API would answer."""
    match error:
        case TrailhookError():
            answer = problems.of(error)
        case RequestValidationError():
            fields = problems.bad_fields((each["loc"][1:], each) for each in error.errors())
            answer = problems.of(BadRequest(*fields))
        case HTTPException():
            answer = problems.problem(error.status_code)
        case _:
            raise error
    said: dict[str, Any] = json.loads(bytes(answer.body))
    return said


def is_part(request: Request) -> bool:
    """Whether htmx asks for a part of a page."""
    return "hx-request" in request.headers


def _pages(request: Request) -> Pages:
    pages: Pages = request.app.state.pages
    return pages


PagesOf = Annotated[Pages, Depends(_pages)]


class PageRoute(APIRoute):
    """A route that refuses in HTML."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except (TrailhookError, RequestValidationError, HTTPException) as error:
                return _pages(request).refusal(request, error)

        return handled


def page_router() -> APIRouter:
    """A router for a module of pages: out of the API's description, refusing in HTML."""
    return APIRouter(route_class=PageRoute, include_in_schema=False, default_response_class=HTMLResponse)


def sent_to(path: str) -> Response:
    """For htmx: go to another page."""
    return Response(status_code=204, headers={"hx-redirect": path})
