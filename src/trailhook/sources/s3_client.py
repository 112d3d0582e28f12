"""The verbs of S3 that Trailhook needs: list a page, look at an object, get it. It finds a bucket's region itself."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from trailhook.errors import AccessDenied, CredentialsExpired, CredentialsInvalid, Invalid, Misconfigured, ObjectGone
from trailhook.model import Unit, Value
from trailhook.net.base import Answer
from trailhook.settings import MIB, Settings
from trailhook.sources.aws import AwsHttp, Call, service_host
from trailhook.sources.aws_identity import CredentialProvider
from trailhook.sources.aws_xml import UnreadableXml
from trailhook.sources.base import Access
from trailhook.sources.s3_listing import Listed, Listing, parse_listing

PAGE_KEYS_MAX = 1_000
"""The most that S3 gives in one page."""
_PAGE_BYTES_MAX = 8 * MIB
"""1,000 keys of 1,024 bytes, each byte written as `%XX`, with what surrounds them."""
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


class Place(Value, frozen=True, kw_only=True):
    """Where a bucket is, as far as its source or its unit knows."""

    bucket: str
    endpoint_url: str | None = None
    region: str


class S3Client:
    """Asks S3 on a source's behalf. A bucket found in another region is asked there from then on."""

    def __init__(self, http: AwsHttp, provider: CredentialProvider, settings: Settings) -> None:
        self._http = http
        self._provider = provider
        self._settings = settings
        self._regions: dict[tuple[str | None, str], str] = {}

    def region(self, place: Place) -> str:
        """The bucket's region, as S3 told it, else as the place has it."""
        return self._regions.get((place.endpoint_url, place.bucket), place.region)

    async def list_page(
        self, access: Access, place: Place, *, prefix: str, delimiter: str = "", start_after: str = "", token: str = ""
    ) -> Listing:
        """One page of a listing; `token` continues one. Raises `NeedsAttention` or `Transient`."""
        query = {
            "continuation-token": token,
            "delimiter": delimiter,
            "encoding-type": "url",
            "list-type": "2",
            "max-keys": str(PAGE_KEYS_MAX),
            "prefix": prefix,
            "start-after": "" if token else start_after,
        }
        call = self._call(access, place, "ListObjectsV2").but(
            answer_bytes_max=_PAGE_BYTES_MAX, resource=f"arn:aws:s3:::{place.bucket} ({prefix or 'the whole bucket'})"
        )
        try:
            answer = await self._send(access, place, call, query={name: text for name, text in query.items() if text})
            return parse_listing(answer.body)
        except (UnreadableXml, Invalid) as error:
            raise _no_listing() from error

    async def head(self, access: Access, place: Place, key: str) -> Listed | None:
        """The object as a listing would show it; None where it is gone or denied: reading it will say which.

        Raises `NeedsAttention` or `Transient`.
        """
        call = self._call(access, place, "HeadObject").but(method="HEAD", resource=f"arn:aws:s3:::{place.bucket}/{key}")
        try:
            answer = await self._send(access, place, call, key=key)
        except (AccessDenied, Misconfigured, Invalid):
            return None
        return Listed(
            key=key,
            etag=(answer.header("etag") or "").strip('"'),
            size_bytes=int(answer.header("content-length") or 0),
            modified_at=_http_date(answer.header("last-modified") or ""),
        )

    async def read(self, access: Access, unit: Unit) -> bytes:
        """The object that a unit is, where it was found. Raises as `get` does."""
        place = Place(bucket=unit.place, endpoint_url=unit.endpoint_url, region=unit.region or access.source.region)
        return await self.get(access, place, unit.name, etag=unit.version)

    async def get(self, access: Access, place: Place, key: str, *, etag: str) -> bytes:
        """The object's bytes as stored, if it still is the one with that ETag (any, when empty).

        Raises `ObjectGone`, `Invalid` (over `object_bytes_max`), `NeedsAttention` or `Transient`.
        """
        return (await self.get_whole(access, place, key, etag=etag)).body

    async def get_whole(self, access: Access, place: Place, key: str, *, etag: str = "") -> Answer:
        """The same with the headers, in which the object's metadata is."""
        call = self._call(access, place, "GetObject").but(
            headers=[("if-match", f'"{etag}"')] if etag else [],
            answer_bytes_max=self._settings.object_bytes_max,
            resource=f"arn:aws:s3:::{place.bucket}/{key}",
        )
        answer = await self._send(access, place, call, key=key)
        if etag and (answer.header("etag") or etag).strip('"') != etag:
            raise ObjectGone("replaced", "The object was replaced before it was read; its new version is read instead.")
        return answer

    def _call(self, access: Access, place: Place, operation: str) -> Call:
        return Call(
            operation=operation,
            service="s3",
            region=place.region,
            url="",
            answer_bytes_max=0,
            deadline_s=self._settings.aws_timeout_s,
            ca_certificate=access.source.ca_certificate,
        )

    async def _send(
        self, access: Access, place: Place, call: Call, *, key: str = "", query: Mapping[str, str] | None = None
    ) -> Answer:
        region = self.region(place)
        try:
            return await self._send_to(access, place.but(region=region), call, key, query or {})
        except Misconfigured as error:
            if error.region in (None, region):
                raise
            self._regions[place.endpoint_url, place.bucket] = error.region
            return await self._send_to(access, place.but(region=error.region), call, key, query or {})

    async def _send_to(self, access: Access, place: Place, call: Call, key: str, query: Mapping[str, str]) -> Answer:
        keys = await self._provider.keys(access)
        try:
            return await self._http.send(call.but(region=place.region, url=object_url(place, key, query)), keys)
        except (CredentialsExpired, CredentialsInvalid):
            self._provider.forget(access)
            raise


def object_url(place: Place, key: str, query: Mapping[str, str]) -> str:
    """The URL of an object, or of the bucket for an empty key, every byte of the key kept.

    The bucket is in the host where AWS and TLS allow it, else (dots, a custom endpoint) in the path.
    """
    path = "/" + quote(key, safe="/~")
    if place.endpoint_url is None and _HOST_LABEL.fullmatch(place.bucket):
        base = f"https://{place.bucket}.{service_host('s3', place.region)}"
    else:
        endpoint = place.endpoint_url or f"https://{service_host('s3', place.region)}"
        base = f"{endpoint.rstrip('/')}/{quote(place.bucket, safe='')}"
    text = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items()))
    return f"{base}{path}?{text}" if text else base + path


def _http_date(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return 0.0


def _no_listing() -> Misconfigured:
    return Misconfigured(
        "What answered ListObjectsV2 is not S3: its answer is no listing.",
        "Correct endpointUrl, or the proxy before it.",
    )
