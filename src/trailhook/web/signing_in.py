"""Pages: signing in with a token, and out."""

from collections import OrderedDict
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from trailhook.api.auth import SIGN_IN, cookie_name, is_same_origin, is_secure
from trailhook.api.context import PartsOf
from trailhook.api.problems import Forbidden
from trailhook.app import Parts
from trailhook.clock import Clock
from trailhook.web.forms import fields
from trailhook.web.pages import PagesOf, page_router, sent_to

FAILURES_MAX = 10
FAILURES_S = 300.0
ADDRESSES_MAX = 10_000
NOT_A_TOKEN = "That is not a token of this Trailhook, or the link was used already."  # noqa: S105 - a sentence
TOO_MANY = "Too many attempts failed from your address. Wait a few minutes, then try again."

router = page_router()


class FailedSignIns:
    """Remembers who failed lately, by address: after ten in five minutes nobody there is listened to for a while.

    Tokens cannot be guessed; this keeps the store from being asked as fast as somebody likes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def too_many(self, address: str) -> bool:
        """Whether that address has to wait."""
        since = self._clock.now() - FAILURES_S
        return sum(at > since for at in self._failed.get(address, ())) >= FAILURES_MAX

    def add(self, address: str) -> None:
        """One more from there; whoever failed longest ago is forgotten when there are too many to remember."""
        self._failed[address] = [*self._failed.pop(address, [])[1 - FAILURES_MAX :], self._clock.now()]
        if len(self._failed) > ADDRESSES_MAX:
            self._failed.popitem(last=False)


def _failed_sign_ins(request: Request) -> FailedSignIns:
    failed: FailedSignIns = request.app.state.failed_sign_ins
    return failed


@router.get(SIGN_IN)
async def sign_in_page(request: Request, pages: PagesOf) -> Response:
    """The form. Whoever comes by a link from another site is sent on first: only then does the cookie come along."""
    then = local_page(request.query_params.get("next", ""))
    template = "_onward.html" if request.headers.get("sec-fetch-site") == "cross-site" else "sign-in.html"
    return pages.render(request, template, then=then, failed="")


@router.post(SIGN_IN)
async def sign_in(
    request: Request, parts: PartsOf, pages: PagesOf, failures: Annotated[FailedSignIns, Depends(_failed_sign_ins)]
) -> Response:
    """Begins a session for a token, or for the code of a link."""
    if not is_same_origin(request.headers):
        raise Forbidden("Sign in from the sign-in page.")
    address = request.client.host if request.client else ""
    form = await fields(request)
    then = local_page(form.get("next", ""))
    if failures.too_many(address):
        return pages.render(request, "sign-in.html", 429, then=then, failed=TOO_MANY)
    session = await parts.sessions.begin(form.get("token", ""))
    if session is None:
        failures.add(address)
        return pages.render(request, "sign-in.html", 401, then=then, failed=NOT_A_TOKEN)
    answer = RedirectResponse(then, 303)
    _set_cookie(answer, parts, session, int(parts.settings.session_age_s_max))
    return answer


@router.post("/ui/sign-out")
async def sign_out(request: Request, parts: PartsOf) -> Response:
    """Ends the session, here and in the store."""
    await parts.sessions.end(request.cookies.get(cookie_name(parts.settings), ""))
    answer = sent_to(SIGN_IN)
    _set_cookie(answer, parts, "", 0)
    return answer


def _set_cookie(answer: Response, parts: Parts, value: str, age_s_max: int) -> None:
    secure = is_secure(parts.settings)
    name = cookie_name(parts.settings)
    answer.set_cookie(name, value, max_age=age_s_max, path="/", secure=secure, httponly=True, samesite="strict")


def local_page(text: str) -> str:
    """`text` if it is a page of ours, else the first one: nobody is sent elsewhere."""
    plain = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    parts = urlsplit(text) if plain else None
    return text if parts and not parts.scheme and not parts.netloc and parts.path != SIGN_IN else "/"
