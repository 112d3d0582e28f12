"""Pages: adding a source and changing one, by a form that tries out what is typed."""

import json
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from trailhook import app
from trailhook.api import bodies
from trailhook.api import sources as api
from trailhook.api.auth import WRITE
from trailhook.api.context import Id, PartsOf
from trailhook.api.preflight import CheckView
from trailhook.api.problems import BadRequest
from trailhook.api.registration import new_seed, new_source
from trailhook.api.schemas import AddSource, ChangeSource
from trailhook.app import Parts
from trailhook.cloudtrail.policy import keys_policy, minimal_policy
from trailhook.errors import NotFound
from trailhook.model import Source, Value
from trailhook.sources.base import Check
from trailhook.web.forms import fields
from trailhook.web.given import FIELDS, changes, new_document, placed, shown
from trailhook.web.pages import PagesOf, page_router, sent_to

router = page_router()
GROUPS = {
    "aws": ("credentials.", "s3", "sqsQueueUrl", "regions", "endpointUrl"),
    "webhook": ("callbackUrl", "delivery.", "caCertificate"),
}
"""What is tried out together, and the fields that it depends on."""
NOTHING = dict.fromkeys(FIELDS, "")
DEFAULTS = {"credentials.region": "us-east-1", "logFetchInterval": "300"}
PLACEHOLDERS = {"credentials.region": "us-east-1", "callbackUrl": "https://example.com/"}
"""What stands in for fields that are not asked about."""
ASKED_FOR_POLICY = ("s3Bucket", "s3Prefix", "sqsQueueUrl", "credentials.region", "credentials.roleArn")


class Shown(Value, frozen=True, kw_only=True):
    """A form as it is shown: `action` is where it goes, `source_id` and `name` are set where a source is changed."""

    action: str
    values: dict[str, str]
    source_id: str = ""
    name: str = ""
    key: str = ""
    """The `Idempotency-Key` of what is added: sent twice, it is added once."""


@router.get("/ui/sources/new", dependencies=[WRITE])
async def new_page(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """The empty form."""
    form = Shown(action="/ui/sources/new", values=NOTHING | DEFAULTS, key=secrets.token_urlsafe(18))
    return pages.render(request, "source-form.html", form=form, **_policies(parts, {}))


@router.post("/ui/sources/new", dependencies=[WRITE])
async def add(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """Register it, as `POST /add-source` does; or say what is wrong, beside each field."""
    given = await fields(request)
    document = json.dumps(new_document(given)).encode()
    try:
        body = bodies.checked(document, parts, AddSource)
        key = given.get("key", "")[:64] or None
        added, _ = await api.register(parts, body, document, key=key, verify="verify" in given)
    except BadRequest as error:
        return pages.render(request, "_wrong.html", errors=_errors(error), names=sorted(FIELDS))
    answer = pages.render(request, "_added.html", added=added)
    answer.headers["hx-retarget"] = "#main"
    return answer


@router.get("/ui/sources/{id}/edit", dependencies=[WRITE])
async def edit_page(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """The form with what is known of a source."""
    source = await api.get_source(parts, source_id)
    stored = await parts.store.source(source_id)
    form = Shown(
        action=f"/ui/sources/{source_id}/edit", values=NOTHING | shown(source), source_id=source_id, name=source.name
    )
    policies: dict[str, Any] = {"policy": minimal_policy(stored), "keys": keys_policy(stored)}
    return pages.render(request, "source-form.html", form=form, **policies)


@router.post("/ui/sources/{id}/edit", dependencies=[WRITE])
async def edit(request: Request, parts: PartsOf, pages: PagesOf, source_id: Id) -> Response:
    """Change what differs, as `PATCH /sources/{id}` does."""
    given = await fields(request)
    changed = changes(given, shown(await api.get_source(parts, source_id)))
    try:
        if changed:
            body = bodies.checked(json.dumps(changed).encode(), parts, ChangeSource)
            await api.apply_change(parts, source_id, body)
    except BadRequest as error:
        return pages.render(request, "_wrong.html", errors=_errors(error), names=sorted(FIELDS))
    return sent_to(f"/ui/sources/{source_id}")


def _errors(error: BadRequest) -> dict[str, str]:
    return placed([{"field": each.field, "message": each.message} for each in error.errors])


# ------------------------------------------------------------------------------------------------ trying things out


@router.post("/ui/sources/check/{id}", dependencies=[WRITE])
async def check(request: Request, parts: PartsOf, pages: PagesOf, group: Id) -> Response:
    """What is wrong with the fields of a group; if nothing is, and `?live`, what comes of trying them out for real."""
    if group not in GROUPS:
        raise NotFound("no such group of fields")
    given = await fields(request)
    names = sorted(each for each in FIELDS if each.startswith(GROUPS[group]))
    shown: dict[str, Any] = {"names": names, "errors": {}, "report": None}
    try:
        source = _source(parts, new_document(_with_placeholders(given, group)))
    except BadRequest as error:
        shown["errors"] = {field: said for field, said in _errors(error).items() if _concerns(field, given)}
    else:
        if "live" in request.query_params:
            shown["report"] = {"checks": [_view(each) for each in await _tried(parts, source, group)]}
    return pages.render(request, "_tried.html", **shown)


def _with_placeholders(given: Mapping[str, str], group: str) -> dict[str, str]:
    """The fields of a group, the others as if they were right."""
    own = {name: value for name, value in given.items() if name.startswith(GROUPS[group])}
    others = {name: value for name, value in PLACEHOLDERS.items() if not name.startswith(GROUPS[group])}
    return {**others, **own}


def _concerns(field: str, given: Mapping[str, str]) -> bool:
    """Whether to tell of it already: of what was typed, and of what goes together with that."""
    return bool(given.get(field)) or (field.startswith("credentials.") and bool(given.get("credentials.accessKeyId")))


def _source(parts: Parts, document: Mapping[str, Any]) -> Source:
    body = bodies.checked(json.dumps(document).encode(), parts, AddSource)
    return new_source(body, new_seed(parts.clock.now()), parts.secrets)


async def _tried(parts: Parts, source: Source, group: str) -> list[Check]:
    trial = app.preflight(parts)
    return list(await trial.fetching(source)) if group == "aws" else [await trial.calling(source)]


def _view(check: Check) -> CheckView:
    return CheckView(name=check.name, ok=check.ok, detail=check.detail, remedy=check.remedy, action=check.action)


@router.post("/ui/sources/policy", dependencies=[WRITE])
async def policy(request: Request, parts: PartsOf, pages: PagesOf) -> Response:
    """The least that AWS must allow for what was typed so far; what is not right yet is left out."""
    return pages.render(request, "_policy.html", **_policies(parts, await fields(request)))


def _policies(parts: Parts, given: Mapping[str, str]) -> dict[str, Any]:
    """For the identity that fetches, and for the one that assumes its role."""
    wanted = {name: given[name] for name in ASKED_FOR_POLICY if given.get(name)}
    source = _as_far_as_right(parts, {**PLACEHOLDERS, **wanted})
    return {"policy": minimal_policy(source) if source else None, "keys": keys_policy(source) if source else None}


def _as_far_as_right(parts: Parts, wanted: dict[str, str]) -> Source | None:
    """A source of the fields that are right, the region that most have in the place of a wrong one."""
    try:
        return _source(parts, new_document(wanted))
    except BadRequest as error:
        wrong = _errors(error)
    right = {name: value for name, value in wanted.items() if name not in wrong}
    try:
        return _source(parts, new_document({**PLACEHOLDERS, **right}))
    except BadRequest:
        return None
