"""Pages: tokens, sessions, keys, the doctor's findings, and every setting as it is."""

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trailhook.api import bodies
from trailhook.api import tokens as api
from trailhook.api.auth import ADMIN, READ
from trailhook.api.context import Id, PartsOf
from trailhook.api.problems import BadRequest
from trailhook.api.schemas import CreateToken
from trailhook.app import Parts
from trailhook.model import Value
from trailhook.security.redact import redact
from trailhook.security.tokens import Scope
from trailhook.settings import PREFIX, Settings, is_secret, shown
from trailhook.web.forms import fields
from trailhook.web.pages import Entry, PagesOf, page_router, sent_to

if TYPE_CHECKING:
    from trailhook.doctor import Report

NAV = Entry(title="Settings", path="/ui/settings")
SCOPES: Final = (
    (Scope.READ, "sees everything but secrets"),
    (Scope.WRITE, "also changes sources and deliveries"),
    (Scope.ADMIN, "also makes and revokes tokens"),
)
router = page_router()


class Setting(Value, frozen=True, kw_only=True):
    """One setting as it is."""

    name: str
    value: str
    usual: str
    what: str

    @property
    def changed(self) -> bool:
        """Whether it is not the default."""
        return self.value != self.usual


@router.get("/ui/settings", dependencies=[READ])
async def settings(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """What there is to see, and for administrators the rest."""
    key = request.state.token_key
    context: dict[str, Any] = {"mine": await parts.sessions.number(key), "scopes": SCOPES}
    if request.state.token.allows(Scope.ADMIN):
        context |= {
            "all_sessions": await parts.sessions.number(),
            "tokens": await parts.tokens.list(),
            "kids": parts.vault.kids,
            "settings": _effective(parts.settings),
            "embedded": parts.settings.embedded,
        }
    return pages.render(request, "settings.html", **context)


def _effective(chosen: Settings) -> list[Setting]:
    present, usual = shown(chosen), shown(Settings())
    return [
        Setting(
            name=PREFIX + each.name.upper(),
            value=_worded(each.name, present[each.name]),
            usual=_worded(each.name, usual[each.name]),
            what=each.metadata["doc"],
        )
        for each in dataclasses.fields(Settings)
    ]


def _worded(name: str, text: str) -> str:
    """A value as it would be written in the environment; of a secret only whether there is one."""
    if text in ("None", "()"):
        return "not set"
    if is_secret(name):
        return "set"
    return text.lower() if text in ("True", "False") else text


# ---------------------------------------------------------------------------------------------------------- tokens


@router.post("/ui/settings/tokens", dependencies=[ADMIN])
async def create_token(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """A new token, shown this once."""
    form = await fields(request)
    document = msgspec.json.encode({"name": form.get("name", ""), "scopes": [form.get("scope", "")]})
    try:
        given = bodies.checked(document, parts, CreateToken)
    except BadRequest as error:
        return pages.render(request, "_token-wrong.html", errors=error.errors)
    text, info = await parts.tokens.create(given.name, given.scopes)
    return pages.render(request, "_token.html", text=text, info=info, tokens=await parts.tokens.list())


@router.post("/ui/settings/tokens/{id}/revoke", dependencies=[ADMIN])
async def revoke_token(request: Request, parts: PartsOf, pages: PagesOf, token_id: Id) -> Response:
    """It opens nothing from now on, nor do its sessions."""
    await api.revoke_token(parts, token_id)
    return pages.render(request, "_tokens.html", tokens=await parts.tokens.list())


# -------------------------------------------------------------------------------------------------------- sessions


@router.post("/ui/settings/sign-out-everywhere", dependencies=[READ])
async def sign_out_everywhere(request: Request, parts: PartsOf) -> Response:
    """Every browser that is signed in with this token, this one too."""
    await parts.sessions.end_all(request.state.token_key)
    return sent_to("/ui/sign-in")


@router.post("/ui/settings/sign-out-everybody", dependencies=[ADMIN])
async def sign_out_everybody(parts: PartsOf) -> Response:
    """Every browser, whoever it belongs to."""
    await parts.sessions.end_all()
    return sent_to("/ui/sign-in")


# ---------------------------------------------------------------------------------------------------------- doctor


@router.post("/ui/settings/doctor", dependencies=[ADMIN])
async def examine(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """What the doctor finds, in a thread with a loop of its own: some of what it does takes its time."""
    report = await asyncio.to_thread(_examined, parts)
    return pages.render(request, "_doctor.html", report=report)


def _examined(parts: Parts) -> "Report":
    from trailhook import doctor  # noqa: PLC0415 - it brings every driver along, also those that are not used

    report = asyncio.run(doctor.examine(parts.settings, parts.clock))
    clean = tuple(each.but(finding=redact(each.finding), remedy=redact(each.remedy)) for each in report.checks)
    return report.but(checks=clean)
