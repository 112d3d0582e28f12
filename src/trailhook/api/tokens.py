"""Tokens for the API itself."""

from typing import Any, Literal, Self

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request

from trailhook.api import bodies, problems
from trailhook.api.answers import View, time_or_none
from trailhook.api.auth import ADMIN
from trailhook.api.context import Id, PageOf, PartsOf, cursor_of, placed
from trailhook.api.schemas import CreateToken
from trailhook.clock import rfc3339
from trailhook.security.tokens import Scope, TokenInfo


class TokenView(View):
    """What is known of a token."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: str
    last_used_at: str | None = Field(description="Up to five minutes too early; null for never.")

    @classmethod
    def of(cls, info: TokenInfo, **more: Any) -> Self:
        """`more` are the fields that a subclass adds."""
        return cls(
            id=info.id,
            name=info.name,
            scopes=info.scopes,
            created_at=rfc3339(info.created_at),
            last_used_at=time_or_none(info.used_at),
            **more,
        )


class TokenCreated(TokenView):
    """A new token, shown this once."""

    token: str = Field(examples=["th_…"])


class TokenList(View):
    """A page of tokens, oldest first."""

    tokens: list[TokenView]
    next: str | None


class TokenRevoked(View):
    """The token is good for nothing any more."""

    id: str
    revoked: Literal[True] = True


router = APIRouter(prefix="/tokens", tags=["tokens"], dependencies=[ADMIN])


@router.post(
    "",
    operation_id="createToken",
    summary="Make a token",
    status_code=201,
    responses=problems.documented(413, 415),
    openapi_extra=bodies.documented(CreateToken),
)
async def create_token(request: Request, parts: PartsOf) -> TokenCreated:
    """`read` sees everything but secrets, `write` also changes sources and deliveries, `admin` also tokens."""
    given = await bodies.read(request, parts, CreateToken)
    text, info = await parts.tokens.create(given.name, given.scopes)
    return TokenCreated.of(info, token=text)


@router.get("", operation_id="listTokens", summary="List tokens", responses=problems.documented())
async def list_tokens(parts: PartsOf, page: PageOf) -> TokenList:
    """Every token, oldest first; none can be shown again."""
    begin = placed(page, tuple[float, str]) or (0.0, "")
    found = [info for info in await parts.tokens.list() if (info.created_at, info.id) > begin]
    shown = found[: page.limit]
    return TokenList(
        tokens=[TokenView.of(info) for info in shown],
        next=cursor_of((shown[-1].created_at, shown[-1].id)) if len(found) > page.limit else None,
    )


@router.delete("/{id}", operation_id="revokeToken", summary="Revoke a token", responses=problems.documented(404))
async def revoke_token(parts: PartsOf, token_id: Id) -> TokenRevoked:
    """It opens nothing from now on."""
    await parts.tokens.revoke(token_id)
    return TokenRevoked(id=token_id)
