"""Two requests a second: what AWS allows LookupEvents for each account and region, all its callers together.

So the turns are handed out for (account, region), and the store keeps the book: it is the one place that all workers
and all sources of an account share. What other tools and the console use of the same two a second shows as throttling.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlencode

from trailhook.clock import Clock
from trailhook.errors import NeedsAttention, Throttled
from trailhook.settings import Settings
from trailhook.sources.aws import AwsHttp, Call, Keys, service_host
from trailhook.sources.aws_identity import CredentialProvider
from trailhook.sources.aws_xml import UnreadableXml, leaf_texts
from trailhook.sources.base import Access

SPACING_S = 0.6
"""Half a second, and a little for requests that are slower on their way than the next."""
LATE_S_MAX = 0.05
"""Who wakes later than this lets the turn go and takes another: it would come too close to the next one's."""
AHEAD_S_MAX = 120.0
"""No turn is promised so far ahead: a book that says otherwise was kept by a clock that was wrong."""
KIND = "lookup-budget"
_KNOWN_MAX = 1_000
_ANSWER_BYTES_MAX = 64 * 1024
_ROLE = re.compile(r"arn:aws[-a-z]*:iam::(\d{12}):role/.*")


class Book(Protocol):
    """As much of a store as it takes: see `store.base.Documents`."""

    async def change_document(
        self, kind: str, key: str, change: Callable[[bytes | None], bytes | None]
    ) -> bytes | None: ...


class LookupBudget:
    """Hands out turns. `by_at` of a turn is at most a minute ahead."""

    def __init__(self, documents: Book, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock

    async def turn(self, account: str, region: str, *, by_at: float) -> None:
        """Return when it is the caller's turn to send one request.

        Raises `Throttled`, taking no turn, if the next one is later than `by_at`; `StoreUnavailable`.
        """
        while not await self._turn(account, region, by_at):
            continue

    async def _turn(self, account: str, region: str, by_at: float) -> bool:
        """Take a turn and wait for it; whether it was met."""
        now = self._clock.now()

        def take(book: bytes | None) -> bytes:
            free_at = float(book or 0)
            at = free_at if now < free_at < now + AHEAD_S_MAX else now
            if at > by_at:
                raise Throttled("LookupEvents: the next turns are taken by others.", retry_after_s=at - now)
            return repr(at + SPACING_S).encode()

        book = await self._documents.change_document(KIND, f"{account}:{region}", take)
        at = float(book or 0) - SPACING_S
        if (wait_s := at - self._clock.now()) > 0:
            await self._clock.sleep(wait_s)
        return self._clock.now() - at <= LATE_S_MAX


class Accounts:
    """Which account a source's credentials belong to, asked of STS once for each access key."""

    def __init__(self, http: AwsHttp, provider: CredentialProvider, settings: Settings) -> None:
        self._http = http
        self._provider = provider
        self._settings = settings
        self._known: dict[str, str] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def account(self, access: Access) -> str:
        """The account's number; where STS does not say, something that stands for the access key alone.

        Raises what obtaining the keys raises, and `Transient` while STS cannot be reached.
        """
        if role := _ROLE.fullmatch(access.credentials.role_arn or ""):
            return role[1]
        keys = await self._provider.keys(access)
        async with self._asking.setdefault(keys.access_key_id, asyncio.Lock()):
            if keys.access_key_id not in self._known:
                self._known[keys.access_key_id] = await self._ask(access, keys)
        account = self._known[keys.access_key_id]
        while len(self._known) > _KNOWN_MAX:
            oldest = next(iter(self._known))
            del self._known[oldest], self._asking[oldest]
        return account

    async def _ask(self, access: Access, keys: Keys) -> str:
        source = access.source
        call = Call(
            operation="GetCallerIdentity",
            service="sts",
            region=source.region,
            method="POST",
            url=(source.endpoint_url or f"https://{service_host('sts', source.region)}").rstrip("/") + "/",
            headers=[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
            body=urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"}).encode(),
            answer_bytes_max=_ANSWER_BYTES_MAX,
            deadline_s=self._settings.aws_timeout_s,
            ca_certificate=source.ca_certificate,
        )
        try:
            return leaf_texts((await self._http.send(call, keys)).body)["Account"]
        except (NeedsAttention, UnreadableXml, KeyError):
            return f"key-{hashlib.sha256(keys.access_key_id.encode()).hexdigest()[:16]}"
