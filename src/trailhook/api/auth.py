"""Who may do what: everything but the liveness probes needs a token, and each route says which scope."""

from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from trailhook.api.problems import Forbidden, problem
from trailhook.security.tokens import Scope, TokenInfo, Tokens

CHALLENGE = {"www-authenticate": 'Bearer realm="trailhook"'}
UNKNOWN = "What was given is not a token of this Trailhook: Authorization: Bearer TOKEN."


class Authentication:
    """Lets nobody in without a token, before the request is routed or its body read."""

    def __init__(self, app: ASGIApp, *, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope):
            await self._app(scope, receive, send)
            return
        authorization = Headers(scope=scope).get("authorization", "")
        token = await self._token(authorization)
        if token is None:
            await problem(401, UNKNOWN if authorization else "", headers=CHALLENGE)(scope, receive, send)
            return
        scope.setdefault("state", {})["token"] = token
        await self._app(scope, receive, send)

    async def _token(self, authorization: str) -> TokenInfo | None:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            return None
        return await self._tokens.authenticate(text.strip())


def _is_open(scope: Connection) -> bool:
    """The probes: whether it lives, and, without a word more, whether it is ready."""
    return scope["path"] == "/healthz" or (scope["path"] == "/readyz" and not scope["query_string"])


_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="`trailhook token create` makes one.")


def _covered(request: Request, wanted: SecurityScopes, _: Annotated[object, Depends(_bearer)]) -> None:
    token: TokenInfo = request.state.token
    for scope in map(Scope, wanted.scopes):
        if not token.allows(scope):
            raise Forbidden(f"This needs a token with the scope {scope}.")


READ = Security(_covered, scopes=[Scope.READ])
WRITE = Security(_covered, scopes=[Scope.WRITE])
ADMIN = Security(_covered, scopes=[Scope.ADMIN])
