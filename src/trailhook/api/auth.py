"""Who may do what: everything but the liveness probes needs a token or the dashboard's session, and each route says
which scope.

What a browser sends by itself, the session's cookie, is not enough to change anything: such a request must come from
a page of ours (`is_same_origin`) and name what only such a page knows (the header `x-csrf-token`).
"""

import hmac
from functools import partial
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import Depends, Security
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from trailhook.api.problems import Forbidden, problem
from trailhook.security.sessions import Guest, Sessions
from trailhook.security.tokens import Scope, TokenInfo, Tokens
from trailhook.settings import Settings

CHALLENGE = {"www-authenticate": 'Bearer realm="trailhook"'}
UNKNOWN = "What was given is not a token of this Trailhook: Authorization: Bearer TOKEN."
FORGED = "A change that comes with the dashboard's session must come from the dashboard: reload the page and try again."
SIGN_IN = "/ui/sign-in"
STATIC = "/ui/static/"
CSRF_HEADER = "x-csrf-token"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def cookie_name(settings: Settings) -> str:
    """What the session's cookie is called: over TLS browsers keep a `__Host-` cookie for this host alone."""
    return "__Host-trailhook" if is_secure(settings) else "trailhook"


def is_secure(settings: Settings) -> bool:
    """Whether browsers reach us over TLS."""
    return settings.tls_cert is not None or settings.behind_proxy


class Authentication:
    """Lets nobody in without a token or a session, before the request is routed or its body read."""

    def __init__(self, app: ASGIApp, *, tokens: Tokens, sessions: Sessions, cookie: str) -> None:
        self._app = app
        self._tokens = tokens
        self._sessions = sessions
        self._cookie = cookie

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope):
            await self._app(scope, receive, send)
            return
        refused = await self._refused(scope)
        await (refused or self._app)(scope, receive, send)

    async def _refused(self, scope: Connection) -> Response | None:
        """None for those who are let in: then the scope's state says who they are, and `still` whether they would be
        let in now, for an answer that takes long.
        """
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        if authorization := headers.get("authorization", ""):
            text = _bearer_token(authorization)
            token = await self._tokens.authenticate(text) if text else None
            if token is None:
                return problem(401, UNKNOWN, headers=CHALLENGE)
            key = self._tokens.key_of(text)
            state |= {"token": token, "token_key": key, "guest": None, "still": partial(self._tokens.by_key, key)}
            return None
        guest = await self._guest(headers)
        if guest is None:
            return _to_sign_in(scope, headers) or problem(401, headers=CHALLENGE)
        if scope["method"] not in _SAFE and not _is_ours(headers, guest):
            return problem(403, FORGED, headers={"hx-refresh": "true"})
        still = partial(self._guest, headers)
        state |= {"token": guest.token, "token_key": guest.token_key, "guest": guest, "still": still}
        return None

    async def _guest(self, headers: Headers) -> Guest | None:
        session = cookie_parser(headers.get("cookie", "")).get(self._cookie)
        return await self._sessions.guest(session) if session else None


def _bearer_token(authorization: str) -> str:
    """The token, empty if there is none."""
    scheme, _, text = authorization.partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _is_ours(headers: Headers, guest: Guest) -> bool:
    named = headers.get(CSRF_HEADER, "").encode()
    return is_same_origin(headers) and hmac.compare_digest(named, guest.csrf.encode())


def is_same_origin(headers: Headers) -> bool:
    """Whether a request was made by a page of ours, by what browsers say of it; others say nothing."""
    if site := headers.get("sec-fetch-site"):
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host", "")


def _to_sign_in(scope: Connection, headers: Headers) -> Response | None:
    """Where a browser goes that asks for a page: to sign in, and then to that page. None for everybody else."""
    if headers.get("hx-request"):  # a part of a page: the whole page has to go
        return problem(401, headers={**CHALLENGE, "hx-redirect": SIGN_IN})
    if scope["method"] not in _SAFE or "text/html" not in headers.get("accept", ""):
        return None
    query = scope["query_string"].decode("latin-1")
    page = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"{SIGN_IN}?next={quote(page, safe='/')}" if page != "/" else SIGN_IN, 303)


def _is_open(scope: Connection) -> bool:
    """The probes (whether it lives, and, without a word more, whether it is ready), signing in, and static files."""
    path = scope["path"]
    if path == "/readyz":
        return not scope["query_string"]
    return path in ("/healthz", SIGN_IN) or path.startswith(STATIC)


_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="`trailhook token create` makes one.")


def _covered(request: Request, wanted: SecurityScopes, _: Annotated[object, Depends(_bearer)]) -> None:
    token: TokenInfo = request.state.token
    for scope in map(Scope, wanted.scopes):
        if not token.allows(scope):
            raise Forbidden(f"This needs a token with the scope {scope}.")


READ = Security(_covered, scopes=[Scope.READ])
WRITE = Security(_covered, scopes=[Scope.WRITE])
ADMIN = Security(_covered, scopes=[Scope.ADMIN])
