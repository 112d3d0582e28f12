"""A link that signs a browser in, for those who have a token at hand and no wish to paste it."""

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request

from trailhook.api import problems
from trailhook.api.answers import View
from trailhook.api.auth import READ, SIGN_IN
from trailhook.api.context import PartsOf
from trailhook.clock import rfc3339
from trailhook.security.sessions import LINK_S_MAX


class SignInLink(View):
    """Where a browser is signed in once. The code is behind the `#`, which no browser sends and no proxy logs."""

    path: str = Field(examples=["/ui/sign-in#once_…"])
    until: str


router = APIRouter(tags=["tokens"])


@router.post(
    "/sign-in-links",
    operation_id="createSignInLink",
    summary="Make a link that signs in",
    status_code=201,
    dependencies=[READ],
    responses=problems.documented(),
)
async def create_sign_in_link(request: Request, parts: PartsOf) -> SignInLink:
    """A path of the dashboard that signs a browser in with the scopes of this request's token: once, and soon."""
    code = await parts.sessions.link(request.state.token_key)
    return SignInLink(path=f"{SIGN_IN}#{code}", until=rfc3339(parts.clock.now() + LINK_S_MAX))
