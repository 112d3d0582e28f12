"""A bucket of millions of log files that are nowhere: every page of a listing is made up as it is asked for.

A key is worked out from its place in the order, so any of them can be looked at, and found by halving, at no cost
in memory.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import overload

from support.aws import access
from support.bucket import BucketInMemory
from support.clock import FakeClock
from trailhook.model import Watermark
from trailhook.net.base import Answer, Request
from trailhook.settings import Settings
from trailhook.sources.aws_identity import Identities
from trailhook.sources.base import Page
from trailhook.sources.s3 import S3Polling

NOW = datetime(2025, 6, 15, 23, 59, tzinfo=UTC)
"""The end of a day: a poll lists two whole ones."""
DIGESTS_A_DAY = 24
REGIONS = tuple(
    sorted(f"{area}-{number}" for area in ("ap-east", "ca-west", "eu-north", "us-east") for number in range(1, 6))
)


@dataclass(frozen=True)
class BigKeys(Sequence[bytes]):
    """The keys of a trail's bucket in their order: for each account and region, so many logs a day and 24 digests."""

    accounts: int
    regions: int
    days: int
    logs_a_day: int
    digests: bool = True

    @property
    def logs(self) -> int:
        """How many keys are log files."""
        return self.accounts * self.regions * self.days * self.logs_a_day

    def __len__(self) -> int:
        return self.accounts * self._of_account

    @property
    def _digests_of_account(self) -> int:
        return self.regions * self.days * DIGESTS_A_DAY if self.digests else 0

    @property
    def _of_account(self) -> int:
        return self._digests_of_account + self.regions * self.days * self.logs_a_day

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        number, rest = divmod(place, self._of_account)
        account = f"{100_000_000_000 + number}"
        if rest < self._digests_of_account:
            return self._digest(account, rest)
        return self._log(account, rest - self._digests_of_account)

    def _log(self, account: str, place: int) -> bytes:
        region, day, number = self._where(place, self.logs_a_day)
        label = day + timedelta(minutes=number * 1_440 // self.logs_a_day)
        name = f"{account}_CloudTrail_{region}_{label:%Y%m%dT%H%M}Z_{number:016}.json.gz"
        return f"AWSLogs/{account}/CloudTrail/{region}/{day:%Y/%m/%d}/{name}".encode()

    def _digest(self, account: str, place: int) -> bytes:
        region, day, number = self._where(place, DIGESTS_A_DAY)
        label = day + timedelta(hours=number)
        name = f"{account}_CloudTrail-Digest_{region}_trail_{region}_{label:%Y%m%dT%H%M%SZ}.json.gz"
        return f"AWSLogs/{account}/CloudTrail-Digest/{region}/{day:%Y/%m/%d}/{name}".encode()

    def _where(self, place: int, a_day: int) -> tuple[str, datetime, int]:
        rest, number = divmod(place, a_day)
        region, day = divmod(rest, self.days)
        midnight = NOW.replace(hour=0, minute=0)
        return REGIONS[region], midnight - timedelta(days=self.days - 1 - day), number


class BigBucket(BucketInMemory):
    """Answers listings of such keys, and counts them."""

    def __init__(self, keys: BigKeys) -> None:
        super().__init__()
        self.hold(keys)
        self.listings = 0

    def hold(self, keys: BigKeys) -> None:
        self._keys = keys

    async def send(self, request: Request) -> Answer:
        self.listings += 1
        self.requests.clear()
        return await super().send(request)

    def _described(self, key: bytes) -> tuple[bytes, float]:
        return b"", NOW.timestamp()


@dataclass(frozen=True)
class Polled:
    """What one poll took and found."""

    requests: int
    units: int


class BigStory:
    """A source over such a bucket; marks are kept as a store would, units are only counted."""

    def __init__(self, keys: BigKeys, *, start_from_at: float | None = None) -> None:
        self.settings = Settings()
        self.bucket = BigBucket(keys)
        self.clock = FakeClock(NOW.timestamp())
        self.marks: dict[tuple[str, str], Watermark] = {}
        start_from_at = NOW.timestamp() - 86_400 if start_from_at is None else start_from_at
        self._access = access("trail", prefix="AWSLogs/", start_from_at=start_from_at)
        identities = Identities(self.bucket, self.settings, self.clock)
        self._way = S3Polling(self.bucket, identities, self.settings, self.clock)

    async def poll(self) -> Polled:
        """Look once."""
        before = self.bucket.listings
        units = 0
        async for page in self._pages():
            units += sum(each.ignored is None for each in page.units)
            self.marks.update({(mark.place, mark.prefix): mark for mark in page.marks})
        return Polled(self.bucket.listings - before, units)

    def _pages(self) -> AsyncIterator[Page]:
        return self._way.poll(self._access, dict(self.marks))

    def become(self, keys: BigKeys) -> None:
        """As if the bucket had always been another one, with the same directories."""
        self.bucket.hold(keys)

    def let_reconcile_be_due(self) -> None:
        """As if the slow pass had been made as long ago as it may."""
        due_at = self.clock.now() - self.settings.reconcile_every_s
        self.marks = {place: mark.but(reconciled_at=due_at) for place, mark in self.marks.items()}
