"""CloudTrail's digests in a source's bucket, and the public keys they are signed with.

Digests lie beside the logs, in `CloudTrail-Digest/`: also where the source's own prefix goes into `CloudTrail/` and no
further up, this is where they are looked for. What is held at a time is one page of a listing, or one digest.
"""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from trailhook.clock import Clock
from trailhook.cloudtrail.digests import Digest, check_signature, read_digest
from trailhook.cloudtrail.keys import DigestKey, Inside, Level, day_directory, digest_key, inside_account, locate
from trailhook.errors import CredentialsExpired, CredentialsInvalid, Invalid, Misconfigured, ObjectGone, Transient
from trailhook.model import FoundUnit, Unit, Value
from trailhook.net.base import Answer, Transport
from trailhook.settings import DAY_S, MIB, Settings
from trailhook.sources.aws import AwsHttp, Call, OnRequest, service_host
from trailhook.sources.aws_identity import CredentialProvider
from trailhook.sources.base import Access
from trailhook.sources.s3 import UNKNOWN_LEVELS_MAX
from trailhook.sources.s3_client import Place, S3Client
from trailhook.sources.s3_listing import Listed, Listing

PublicKeys = Mapping[str, bytes]
"""PKCS#1 DER by fingerprint."""

_KEYS_BYTES_MAX = MIB
"""A key is 400 bytes, and a region has a few."""
_KEYS_PAGES_MAX = 100
_TARGET = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.ListPublicKeys"
_TRAILS = ("CloudTrail", "CloudTrail-Digest")


class RegionOf(Value, frozen=True, kw_only=True):
    """One region of one account: there are logs, or digests, or both."""

    account: str
    region: str
    directory: str
    """Of its digests: what tells it from all others, and what puts them in order."""


class _PublicKey(msgspec.Struct, frozen=True):
    fingerprint: str = msgspec.field(name="Fingerprint")
    value: str = msgspec.field(name="Value")


class _KeysPage(msgspec.Struct, frozen=True):
    keys: Sequence[_PublicKey] = msgspec.field(name="PublicKeyList", default=())
    next_token: str | None = msgspec.field(name="NextToken", default=None)


class Digests:
    """Asks for digests on a source's behalf. Every verb raises `NeedsAttention` or `Transient`."""

    def __init__(
        self,
        transport: Transport,
        provider: CredentialProvider,
        settings: Settings,
        clock: Clock,
        on_request: OnRequest | None = None,
    ) -> None:
        self._http = AwsHttp(transport, clock, on_request)
        self._client = S3Client(self._http, provider, settings)
        self._provider = provider
        self._settings = settings

    # ------------------------------------------------------------------------------------------------- finding

    async def regions(self, access: Access, *, start: str = "") -> AsyncIterator[RegionOf]:
        """Every region of every account under the source's prefix, from the directory `start` on, in their order."""
        inside = inside_account(access.source.prefix)
        accounts = _only(inside) if inside else self._accounts(access, access.source.prefix, start)
        async for account in accounts:
            for region in await self._regions_of(access, account):
                directory = account.directory(region)
                if directory >= start:
                    yield RegionOf(account=account.account, region=region, directory=directory)

    async def _accounts(
        self, access: Access, prefix: str, start: str, unknown_levels: int = 0
    ) -> AsyncIterator[Inside]:
        """Those below a directory; what lies wholly before `start` is not looked into."""
        async for directory in self._directories(access, prefix):
            if directory < start and not start.startswith(directory):
                continue
            level = locate(directory).level
            unknown = unknown_levels + (level is Level.ABOVE)
            if inside := inside_account(directory):
                yield inside
            elif level is not Level.FOREIGN and unknown <= UNKNOWN_LEVELS_MAX:
                async for below in self._accounts(access, directory, start, unknown):
                    yield below

    async def _regions_of(self, access: Access, account: Inside) -> list[str]:
        if account.region:
            return [account.region]
        found = set[str]()
        for trail in _TRAILS:
            async for directory in self._directories(access, account.directory(trail=trail)):
                if (below := inside_account(directory)) and below.region:
                    found.add(below.region)
        return sorted(found)

    async def _directories(self, access: Access, prefix: str) -> AsyncIterator[str]:
        async for page in self._pages(access, prefix, delimiter="/"):
            for directory in page.prefixes:
                yield directory

    async def keys(self, access: Access, directory: str, from_at: float, to_at: float) -> AsyncIterator[DigestKey]:
        """The digests of a region whose labels lie in [from_at, to_at], those of each trail in the order of time."""
        end = day_directory(directory, to_at + DAY_S)
        async for page in self._pages(access, directory, start_after=day_directory(directory, max(0.0, from_at))):
            for listed in page.objects:
                if listed.key >= end:
                    return
                key = digest_key(listed.key)
                if key is not None and from_at <= key.labelled_at <= to_at:
                    yield key

    async def _pages(
        self, access: Access, prefix: str, *, delimiter: str = "", start_after: str = ""
    ) -> AsyncIterator[Listing]:
        token, place = "", self.place(access)
        while True:
            page = await self._client.list_page(
                access, place, prefix=prefix, delimiter=delimiter, start_after=start_after, token=token
            )
            yield page
            if not page.next_token:
                return
            if page.next_token == token:
                raise Misconfigured("The listing repeats itself without end.", "Correct endpointUrl.")
            token = page.next_token

    # ------------------------------------------------------------------------------------------------- reading

    async def digest(self, access: Access, key: str, public_keys: PublicKeys) -> Digest | None:
        """The digest at a key, its signature checked; None if it is gone. Raises `Invalid` for one that is no proof."""
        place = self.place(access)
        try:
            answer = await self._client.get_whole(access, place, key)
        except ObjectGone:
            return None
        return await asyncio.to_thread(_checked, place.bucket, key, answer, public_keys)

    async def public_keys(self, access: Access, region: str, from_at: float, to_at: float) -> PublicKeys:
        """The keys that CloudTrail signed with in a region in that time."""
        found: dict[str, bytes] = {}
        token: str | None = None
        for _ in range(_KEYS_PAGES_MAX):
            page = await self._keys_page(access, region, from_at, to_at, token)
            for each in page.keys:
                found[each.fingerprint] = _decoded(each.value)
            if not page.next_token:
                return found
            token = page.next_token
        raise _no_keys()

    async def _keys_page(
        self, access: Access, region: str, from_at: float, to_at: float, token: str | None
    ) -> _KeysPage:
        source = access.source
        wanted: dict[str, object] = {"StartTime": from_at, "EndTime": to_at}
        call = Call(
            operation="ListPublicKeys",
            service="cloudtrail",
            region=region,
            method="POST",
            url=(source.endpoint_url or f"https://{service_host('cloudtrail', region)}").rstrip("/") + "/",
            headers=[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", _TARGET)],
            body=msgspec.json.encode(wanted | ({"NextToken": token} if token else {})),
            answer_bytes_max=_KEYS_BYTES_MAX,
            deadline_s=self._settings.aws_timeout_s,
            ca_certificate=source.ca_certificate,
            resource=f"CloudTrail in {region}",
        )
        try:
            answer = await self._http.send(call, await self._provider.keys(access))
            return msgspec.json.decode(answer.body, type=_KeysPage)
        except (CredentialsExpired, CredentialsInvalid):
            self._provider.forget(access)
            raise
        except (msgspec.MsgspecError, UnicodeDecodeError, Invalid) as error:
            raise _no_keys() from error

    # ------------------------------------------------------------------------------------------------ log files

    async def log_file(self, access: Access, unit: Unit) -> bytes:
        """A log file's bytes as they were taken in. Raises `ObjectGone` if these are not there any more."""
        return await self._client.read(access, unit)

    async def found(self, access: Access, key: str, labelled_at: float) -> FoundUnit | None:
        """The object at a key as a poll would find it; None if it is not there."""
        place = self.place(access)
        listed = await self._client.head(access, place, key)
        if listed is None:
            try:
                await self._client.get(access, place, key, etag="")
            except ObjectGone:
                return None
            raise Transient("HeadObject and GetObject do not agree about an object.")
        return self._as_polled(access, place, listed, labelled_at)

    def place(self, access: Access) -> Place:
        """Where a source's bucket is."""
        source = access.source
        if not source.bucket:
            raise Misconfigured("The source names no bucket.", "Set s3Bucket: digests are found by listing it.")
        return Place(bucket=source.bucket, endpoint_url=source.endpoint_url, region=source.region)

    def _as_polled(self, access: Access, place: Place, listed: Listed, labelled_at: float) -> FoundUnit:
        return FoundUnit(
            intake="s3" if "s3" in access.source.intakes else "sqs",
            place=place.bucket,
            name=listed.key,
            version=listed.etag,
            endpoint_url=place.endpoint_url,
            region=self._client.region(place),
            size_bytes=listed.size_bytes,
            labelled_at=labelled_at,
            modified_at=listed.modified_at,
        )


def _checked(bucket: str, key: str, answer: Answer, public_keys: PublicKeys) -> Digest:
    digest = read_digest(
        answer.body,
        bucket=bucket,
        key=key,
        signature=answer.header("x-amz-meta-signature"),
        algorithm=answer.header("x-amz-meta-signature-algorithm"),
    )
    check_signature(digest, public_keys.get(digest.fingerprint))
    return digest


async def _only(inside: Inside) -> AsyncIterator[Inside]:
    yield inside


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise _no_keys() from error


def _no_keys() -> Misconfigured:
    return Misconfigured(
        "What answered ListPublicKeys is not CloudTrail.", "Correct endpointUrl, or the proxy before it."
    )
