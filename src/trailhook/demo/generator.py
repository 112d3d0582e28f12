"""Log files as CloudTrail delivers them: late, out of order, several a minute, a fifth of it delivered twice.

Seeded: the same seed and the same times give the same files, byte for byte.
"""

import gzip
import hashlib
import json
import random
import string
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from trailhook.demo import events

EventKey = tuple[str, str]
"""What makes an event itself: the account that received it, and its eventID."""

STAMP_S = 300
EVENT_AGE_S_MAX = 600.0
REPEAT_SHARE = 0.21
REPEAT_WITHIN_FILES = 60
CATCH_UP_RATE = 0.6
"""How readily the next file is a repeat while the share is not reached."""
INSIGHT_RATE = 0.02
LARGE_RATE = 0.004


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """One object for the bucket. `records` are the exact bytes of its records."""

    key: str
    body_gz: bytes
    records: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Fresh:
    """Records that have been delivered once, and where."""

    account: str
    region: str
    stamp_at: int
    records: tuple[bytes, ...]


@dataclass(slots=True)
class Generator:
    """Makes the files one after another and keeps the manifest of what it made."""

    seed: int = 1
    records: int = 0
    """Records written so far, repeats included."""
    repeats: int = 0
    files: int = 0
    _hashes: dict[EventKey, bytes] = field(default_factory=dict)
    _recent: deque[_Fresh] = field(default_factory=lambda: deque(maxlen=REPEAT_WITHIN_FILES))
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - made-up logs, no secrets

    @property
    def manifest(self) -> Mapping[EventKey, bytes]:
        """The SHA-256 of the exact bytes of every distinct record written so far."""
        return MappingProxyType(self._hashes)

    def next_file(self, now: float) -> GeneratedFile:
        """The next object, as it would turn up in the bucket at `now`."""
        self.files += 1
        stamp_at = self._stamp(now)
        if self._chance.random() < INSIGHT_RATE:
            return self._insights(stamp_at)
        if self._recent and self.repeats < REPEAT_SHARE * self.records and self._chance.random() < CATCH_UP_RATE:
            return self._repeat(stamp_at)
        return self._calls(stamp_at)

    def _stamp(self, now: float) -> int:
        """Five-minute stamps, now and then one that has been overtaken by the next."""
        late_s = self._chance.choice((0, 0, 0, 0, STAMP_S))
        return int(now - late_s) // STAMP_S * STAMP_S

    def _calls(self, stamp_at: int) -> GeneratedFile:
        account, region = self._place()
        records = tuple(
            events.api_call(self._chance, account=account, region=region, at=self._event_at(stamp_at))
            for _ in range(self._size())
        )
        self._recent.append(_Fresh(account, region, stamp_at, records))
        return self._file("CloudTrail", account, region, stamp_at, records)

    def _insights(self, stamp_at: int) -> GeneratedFile:
        account, region = self._place()
        at = self._event_at(stamp_at)
        records = (events.insight(self._chance, account=account, region=region, at=at),)
        return self._file("CloudTrail-Insight", account, region, stamp_at, records)

    def _repeat(self, stamp_at: int) -> GeneratedFile:
        """A whole file of nothing but records that an earlier file held, in another order."""
        fresh = self._chance.choice(self._recent)
        count = self._chance.randint((len(fresh.records) + 1) // 2, len(fresh.records))
        records = tuple(self._chance.sample(fresh.records, count))
        self.repeats += count
        return self._file("CloudTrail", fresh.account, fresh.region, max(stamp_at, fresh.stamp_at), records)

    def _file(self, kind: str, account: str, region: str, stamp_at: int, records: Sequence[bytes]) -> GeneratedFile:
        self.records += len(records)
        for record in records:
            self._hashes.setdefault(event_key(record), hashlib.sha256(record).digest())
        unique = "".join(self._chance.choices(string.ascii_letters + string.digits, k=16))
        name = f"{account}_{kind}_{region}_{_compact(stamp_at, '%H%MZ')}_{unique}.json.gz"
        body = b'{"Records":[' + b",".join(records) + b"]}"
        return GeneratedFile(f"{_folder(kind, account, region, stamp_at)}/{name}", _zipped(body), tuple(records))

    def _place(self) -> tuple[str, str]:
        return self._chance.choice(events.ACCOUNTS), self._chance.choices(events.REGIONS, (6, 3, 1))[0]

    def _size(self) -> int:
        """5 to 53 records, the small files more often; now and then hundreds."""
        if self._chance.random() < LARGE_RATE:
            return self._chance.randint(200, 622)
        return round(self._chance.triangular(5, 53, 5))

    def _event_at(self, stamp_at: int) -> float:
        """Half of the events are at most 3.2 minutes older than their file's stamp, none older than 10."""
        return stamp_at - min(EVENT_AGE_S_MAX, self._chance.gammavariate(4.0, 52.0))


def event_key(record: bytes) -> EventKey:
    """What makes a record itself."""
    fields = json.loads(record)
    return fields["recipientAccountId"], fields["eventID"]


def _folder(kind: str, account: str, region: str, at: float) -> str:
    return f"AWSLogs/{account}/{kind}/{region}/{datetime.fromtimestamp(at, UTC):%Y/%m/%d}"


def _compact(at: float, time_of_day: str) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT" + time_of_day)


def _zipped(body: bytes) -> bytes:
    return gzip.compress(body, 6, mtime=0)
