"""The one verb of CloudTrail that Trailhook needs: a page of LookupEvents."""

from collections.abc import Sequence

import msgspec

from trailhook.errors import CredentialsExpired, CredentialsInvalid, Invalid, Misconfigured
from trailhook.model import Value
from trailhook.settings import MIB, Settings
from trailhook.sources.aws import AwsHttp, Call, service_host
from trailhook.sources.aws_identity import CredentialProvider
from trailhook.sources.base import Access
from trailhook.sources.lookup_windows import Window

EVENTS_MAX = 50
"""The most that CloudTrail gives in one page."""
_PAGE_BYTES_MAX = 32 * MIB
"""50 events of 256 KB, each written as a string in a string."""
_TARGET = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"


class Place(Value, frozen=True, kw_only=True):
    """Whose events: those of one region, asked for at one endpoint."""

    region: str
    endpoint_url: str | None = None


class Found(msgspec.Struct, frozen=True):
    """One event of an answer. `record` is CloudTrail's own text of it, what a log file has in `Records`."""

    record: str = msgspec.field(name="CloudTrailEvent", default="")
    at: float = msgspec.field(name="EventTime", default=0.0)


class FoundPage(msgspec.Struct, frozen=True):
    """Some events, newest first, and what continues them (with the same parameters only), if anything."""

    events: Sequence[Found] = msgspec.field(name="Events", default=())
    next_token: str = msgspec.field(name="NextToken", default="")


class LookupClient:
    """Asks CloudTrail on a source's behalf."""

    def __init__(self, http: AwsHttp, provider: CredentialProvider, settings: Settings) -> None:
        self._http = http
        self._provider = provider
        self._settings = settings

    async def page(self, access: Access, place: Place, category: str, window: Window, *, token: str = "") -> FoundPage:
        """One page of a window; `token` continues one. Raises `NeedsAttention` or `Transient`."""
        wanted: dict[str, object] = {
            "StartTime": window.start_at,
            "EndTime": window.end_at,
            "MaxResults": EVENTS_MAX,
        }
        if category != "management":
            wanted["EventCategory"] = category
        if token:
            wanted["NextToken"] = token
        call = Call(
            operation="LookupEvents",
            service="cloudtrail",
            region=place.region,
            method="POST",
            url=(place.endpoint_url or f"https://{service_host('cloudtrail', place.region)}").rstrip("/") + "/",
            headers=[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", _TARGET)],
            body=msgspec.json.encode(wanted),
            answer_bytes_max=_PAGE_BYTES_MAX,
            deadline_s=self._settings.aws_timeout_s,
            ca_certificate=access.source.ca_certificate,
            resource=f"CloudTrail in {place.region}",
        )
        try:
            return msgspec.json.decode(
                (await self._http.send(call, await self._provider.keys(access))).body, type=FoundPage
            )
        except (CredentialsExpired, CredentialsInvalid):
            self._provider.forget(access)
            raise
        except (msgspec.MsgspecError, UnicodeDecodeError, Invalid) as error:
            raise Misconfigured(
                "What answered LookupEvents is not CloudTrail.", "Correct endpointUrl, or the proxy before it."
            ) from error
