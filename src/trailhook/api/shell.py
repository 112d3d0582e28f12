"""The outermost layer: headers that every answer carries, and an end for every error."""

import logging
import re
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trailhook.api import problems
from trailhook.errors import TrailhookError

log = logging.getLogger(__name__)

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Unless a route sets its own."""

_ABOUT = {
    "source": ("source", re.compile(r"[0-9a-f-]{36}")),
    "batch": ("/deliveries/", re.compile(r"msg_[a-z2-7]{26}")),
}
"""By the name in the log: which routes an id belongs to, and how it looks."""


class Shell:
    """Turns known errors into their problems and unknown ones into a 500 that tells nothing but is logged."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # as GET; the server leaves the body out
            scope = {**scope, "method": "GET"}
        out = _WithHeaders(send)
        try:
            await self._app(scope, receive, out)
        except ClientDisconnect:
            return
        except TrailhookError as error:
            answer = _known(error, scope)
            if out.started:
                raise  # cut off in the middle, so that nobody takes it for the whole
        except Exception:
            log.exception("a request failed", extra=_what(scope))
            if out.started:
                raise
            answer = problems.problem(500)
        else:
            return
        await answer(scope, receive, out)


class _WithHeaders:
    """Adds the headers to an answer as it goes out."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _known(error: TrailhookError, scope: Scope) -> Response:
    answer = problems.of(error)
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("a request failed: %s: %s", type(error).__name__, error, extra=_what(scope))
    return answer


def _what(scope: Scope) -> dict[str, str]:
    """Which request it was, by its route's pattern and an id: a path may hold anything."""
    route = getattr(scope.get("route"), "path", "")
    given = str(scope.get("path_params", {}).get("id", ""))
    about = [kind for kind, (where, shape) in _ABOUT.items() if where in route and shape.fullmatch(given)]
    return {"method": scope["method"], "route": route, **dict.fromkeys(about, given)}


class BodyLimit:
    """Lets no more than `bytes_max` of a body be read, whatever its length says. Raises `TooLarge` into the reader."""

    def __init__(self, app: ASGIApp, *, bytes_max: int) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = self._bytes_max

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise problems.TooLarge("The body is over the limit.")
            return message

        await self._app(scope, counted, send)
