"""Asking CloudTrail about the trail behind a bucket: is it there, is it on, may it write?

A convenience, never needed: where it may not be asked, that is what is told.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from trailhook.clock import rfc3339
from trailhook.errors import AccessDenied, Invalid, Misconfigured, NeedsAttention, Transient
from trailhook.model import Value
from trailhook.settings import MIB, Settings
from trailhook.sources.aws import AwsHttp, Call, service_host
from trailhook.sources.aws_identity import CredentialProvider
from trailhook.sources.base import Access

ACTIONS = "cloudtrail:DescribeTrails and cloudtrail:GetTrailStatus"
TRAILS_MAX = 5
"""An account has at most five a region; more that write to one bucket are not asked about."""
ANSWER_S_MAX = 15.0
"""Others wait to be looked at, and what is asked is small."""
_TARGET = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."
_WORDS = re.compile(r"[^\w .,:/()-]")
_SHOWN_CHARACTERS = 200


class Cause(Value, frozen=True, kw_only=True):
    """What AWS says about a trail, and what to do about it."""

    reason: str
    remedy: str


class Trail(msgspec.Struct, frozen=True):
    """A trail, as DescribeTrails has it."""

    arn: str = msgspec.field(name="TrailARN", default="")
    name: str = msgspec.field(name="Name", default="")
    bucket: str = msgspec.field(name="S3BucketName", default="")
    home_region: str = msgspec.field(name="HomeRegion", default="")


class Status(msgspec.Struct, frozen=True):
    """How it is, as GetTrailStatus has it."""

    logging: bool = msgspec.field(name="IsLogging", default=True)
    delivery_error: str = msgspec.field(name="LatestDeliveryError", default="")
    stopped_at: Any = msgspec.field(name="StopLoggingTime", default=None)


class _Described(msgspec.Struct, frozen=True):
    trails: Sequence[Trail] = msgspec.field(name="trailList", default=())


class Trails:
    """Asks CloudTrail on a source's behalf: one request, and one more for each trail that writes to its bucket."""

    def __init__(self, http: AwsHttp, provider: CredentialProvider, settings: Settings) -> None:
        self._http = http
        self._provider = provider
        self._settings = settings

    async def cause(self, access: Access, buckets: Collection[str]) -> Cause:
        """Why nothing comes into these buckets, as far as AWS tells. Raises nothing that is about AWS."""
        try:
            described = await self._ask(access, "DescribeTrails", access.source.region, {"includeShadowTrails": True})
            trails = [each for each in msgspec.convert(described, _Described).trails if each.bucket in buckets]
            found = [(each, await self._status(access, each)) for each in trails[:TRAILS_MAX]]
        except AccessDenied:
            return Cause(
                reason="AWS could not be asked why: these credentials may not.",
                remedy=f"Look at the trail in the CloudTrail console; allow {ACTIONS} to be told here.",
            )
        except (NeedsAttention, Transient, Invalid, msgspec.MsgspecError) as error:
            return Cause(
                reason=f"AWS could not be asked why ({type(error).__name__}).",
                remedy="Look at the trail in the CloudTrail console; AWS is asked again in an hour.",
            )
        return explain(found, buckets)

    async def _status(self, access: Access, trail: Trail) -> Status | None:
        """None for one that is gone by now."""
        region = trail.home_region or access.source.region
        try:
            return msgspec.convert(await self._ask(access, "GetTrailStatus", region, {"Name": trail.arn}), Status)
        except Misconfigured:
            return None

    async def _ask(self, access: Access, operation: str, region: str, wanted: dict[str, object]) -> object:
        source = access.source
        call = Call(
            operation=operation,
            service="cloudtrail",
            region=region,
            method="POST",
            url=(source.endpoint_url or f"https://{service_host('cloudtrail', region)}").rstrip("/") + "/",
            headers=[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", _TARGET + operation)],
            body=msgspec.json.encode(wanted),
            answer_bytes_max=MIB,
            deadline_s=min(self._settings.aws_timeout_s, ANSWER_S_MAX),
            ca_certificate=source.ca_certificate,
            resource=f"CloudTrail in {region}",
        )
        answer = await self._http.send(call, await self._provider.keys(access))
        return msgspec.json.decode(answer.body)


def explain(found: Sequence[tuple[Trail, Status | None]], buckets: Collection[str]) -> Cause:
    """The worst of what was found: gone, switched off, unable to write, or nothing wrong."""
    there = [(trail, status) for trail, status in found if status is not None]
    where = " or ".join(sorted(buckets))
    if not there:
        return Cause(
            reason=f"No trail that these credentials can see writes to {where}: "
            "it was deleted or given another bucket, or it is another account's.",
            remedy="Create the trail again, or set s3Bucket to where it writes now.",
        )
    for trail, status in there:
        if not status.logging:
            return Cause(
                reason=f"The trail {_plain(trail.name)} is switched off{_when(status.stopped_at)}.",
                remedy="Start its logging again, and find out who stopped it (event StopLogging).",
            )
    for trail, status in there:
        if status.delivery_error:
            return Cause(
                reason=f"The trail {_plain(trail.name)} cannot write to its bucket: {_plain(status.delivery_error)}.",
                remedy="Correct the bucket's policy, its key's policy, or the bucket that the trail names.",
            )
    return Cause(
        reason=f"The trail {_plain(there[0][0].name)} is on and tells of no error.",
        remedy="See whether the trail covers these accounts and regions, and whether anything happens there.",
    )


def _when(at: Any) -> str:
    return f" since {rfc3339(at)}" if isinstance(at, (int, float)) else ""


def _plain(text: str) -> str:
    return _WORDS.sub("", text)[:_SHOWN_CHARACTERS]
