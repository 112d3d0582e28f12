"""Trying a source out, before it is registered or after."""

from collections.abc import Sequence
from typing import Any, Self

from fastapi import APIRouter
from pydantic import Field

from trailhook import app
from trailhook.api import problems
from trailhook.api.answers import View
from trailhook.api.auth import WRITE
from trailhook.api.context import Id, PartsOf
from trailhook.api.problems import BadField, BadRequest
from trailhook.app import Parts
from trailhook.errors import FetchState
from trailhook.model import Source
from trailhook.preflight import Report
from trailhook.sources.base import Check

router = APIRouter(tags=["sources"])

_FIELDS = {"list": "s3Bucket", "get": "s3Bucket", "s3": "s3Bucket", "callback": "callbackUrl"}
_FIELDS |= {"queue": "sqsQueueUrl", "sqs": "sqsQueueUrl"}
"""The field that a failed check is about; any other is about the credentials."""
_OF_CREDENTIALS = (FetchState.CREDENTIALS_EXPIRED, FetchState.CREDENTIALS_INVALID)


class CheckView(View):
    """One thing that the source needs, tried once. `action` is the IAM action that is missing, where that is known."""

    name: str = Field(examples=["list"])
    ok: bool
    detail: str
    remedy: str
    action: str = Field(examples=["s3:ListBucket"])


class ReportView(View):
    """What came of trying, and the least that AWS must allow, as IAM policies.

    `policy` is for the identity that fetches, `keysPolicy` for the one that assumes its role, null if there is none.
    """

    ok: bool
    checks: list[CheckView]
    policy: dict[str, Any]
    keys_policy: dict[str, Any] | None

    @classmethod
    def of(cls, report: Report) -> Self:
        checks = [
            CheckView(name=each.name, ok=each.ok, detail=each.detail, remedy=each.remedy, action=each.action)
            for each in report.checks
        ]
        return cls(ok=report.ok, checks=checks, policy=report.policy, keys_policy=report.keys_policy)


@router.post(
    "/sources/{id}/test",
    operation_id="testSource",
    summary="Try a source out",
    dependencies=[WRITE],
    responses=problems.documented(404),
)
async def test_source(parts: PartsOf, source_id: Id) -> ReportView:
    """Identity, finding logs, reading one, and a signed `source.test` to the callback: each once, now and for real.

    Nothing that is found is kept, no state changes. What could not be tried because of a failure before is left out.
    """
    return ReportView.of(await app.preflight(parts).run(await parts.store.source(source_id)))


async def verified(parts: Parts, source: Source) -> Sequence[str]:
    """What trying it out could not show, in sentences. Raises `BadRequest`, naming the fields, if a check failed."""
    report = await app.preflight(parts).run(source)
    if not report.ok:
        raise BadRequest(*(BadField(field=_field(each), message=_said(each)) for each in report.checks if not each.ok))
    return [_said(each) for each in report.checks if each.remedy]


def _field(check: Check) -> str:
    return "credentials" if check.state in _OF_CREDENTIALS else _FIELDS.get(check.name, "credentials")


def _said(check: Check) -> str:
    missing = f"It needs {check.action}." if check.action and check.action not in check.detail else ""
    return " ".join(each for each in (f"{check.name}:", check.detail, missing, check.remedy) if each)
