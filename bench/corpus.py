"""CloudTrail files of one shape, made once a day and kept in a temporary directory.

Every record is one of the demo's, with an eventID, a requestID and a time of its own: making them that way takes a
twentieth of the time and compresses as well, since no file meets a record twice.
"""

import gzip
import hashlib
import json
import os
import random
import re
import shutil
import string
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from trailhook.demo import events

FIRST_ACCOUNT = 111_122_223_333
REGION = "us-east-1"
POOL_RECORDS = 4_000
MIB = 1024 * 1024
DAY_S = 86_400
HASH_BYTES = 32
FORM = 2
"""Raised when what a corpus consists of changes: those of before are not opened then."""

_ID = re.compile(rb'"(?:requestID|eventID)":"([0-9a-f-]{36})"')
_TIME = re.compile(rb'"eventTime":"([^"]{20})"')


@dataclass(frozen=True, slots=True)
class Shape:
    """How a bucket looks, and how its events are to be sent."""

    name: str
    files: int
    records: int
    """In each file."""
    repeat_share: float = 0.0
    """How many of the records an earlier file has had."""
    accounts: int = 1
    """In how many directories the files lie: one after another in turn."""
    waves: int = 1
    """How often the same records come: each time as new objects, once those before are through."""
    one_by_one: bool = False
    """A wave for each file: an idle system, where a file turns up now and then."""
    options: tuple[tuple[str, Any], ...] = ()
    """The source's `delivery`."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A shape's files on disk. `objects` are (key, bytes, wave), their bytes one after another in `data.bin`.

    `manifest.bin` has the hash of every distinct event, `ids.bin` that of its eventID, and `lasts.bin` the hash of the
    last new event of each file.
    """

    path: Path
    objects: list[tuple[str, int, int]]
    events: int
    distinct: int
    inflated_bytes: int

    def bodies(self) -> Iterator[bytes]:
        """The objects' bytes in their order."""
        with (self.path / "data.bin").open("rb") as data:
            for _, size, _ in self.objects:
                yield data.read(size)

    @property
    def waves(self) -> int:
        return 1 + max(wave for _, _, wave in self.objects)


def corpus(shape: Shape) -> Corpus:
    """The files of a shape, made if there are none of today's."""
    place = Path(tempfile.gettempdir()) / f"trailhook-bench-{os.getuid()}"
    told = hashlib.sha256(f"{FORM}{shape!r}".encode()).hexdigest()[:8]
    today = f"{datetime.now(UTC):%Y%m%d}-"
    path = place / f"{today}{shape.name}-{told}"
    if not (path / "index.json").exists():
        for old in [each for each in place.glob("*") if not each.name.startswith(today)]:
            shutil.rmtree(old)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _Maker(shape, path).make()
    return opened(path)


class _Identified(msgspec.Struct):
    event_id: str = msgspec.field(name="eventID")


_IDENTIFIED = msgspec.json.Decoder(_Identified)


def hash_of_id(record: bytes) -> bytes:
    """The hash of a record's eventID."""
    return hashlib.sha256(_IDENTIFIED.decode(record).event_id.encode()).digest()


def hashes_of(path: Path) -> list[bytes]:
    """The hashes in a file of a corpus."""
    packed = path.read_bytes()
    return [packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)]


def opened(path: Path) -> Corpus:
    """The corpus in a directory."""
    index = json.loads((path / "index.json").read_text())
    return Corpus(path, **{**index, "objects": [tuple(each) for each in index["objects"]]})


def account(number: int) -> str:
    """The id of an account by its number."""
    return str(FIRST_ACCOUNT + number)


class _Maker:
    """Writes one corpus."""

    def __init__(self, shape: Shape, path: Path) -> None:
        self._shape = shape
        self._path = path
        self._chance = random.Random(shape.name)
        self._day_at = int(time.time()) // DAY_S * DAY_S - DAY_S
        self._pool = [self._template() for _ in range(min(POOL_RECORDS, shape.files * shape.records))]
        self._used: list[bytes] = []
        self._made = 0

    def make(self) -> None:
        """`index.json` comes last: a corpus that has one is whole."""
        shape = self._shape
        objects: list[tuple[str, int, int]] = []
        inflated_bytes = events_count = 0
        hashes: set[bytes] = set()
        ids: set[bytes] = set()
        lasts: list[bytes] = []
        bodies: list[bytes] = []
        with (self._path / "data.bin").open("wb") as data:
            for number in range(shape.files):
                fresh, repeats = self._records(number)
                records = fresh + repeats
                plain = b'{"Records":[' + b",".join(records) + b"]}"
                zipped = gzip.compress(plain, 6, mtime=0)
                objects.append((self._key(number), len(zipped), number if shape.one_by_one else 0))
                inflated_bytes += len(plain)
                events_count += len(records)
                hashes.update(hashlib.sha256(record).digest() for record in records)
                ids.update(hash_of_id(record) for record in fresh)
                lasts.append(hashlib.sha256(fresh[-1]).digest())
                data.write(zipped)
                bodies += [zipped] if shape.waves > 1 else []
            for wave in range(1, shape.waves):
                objects += [(self._key(number), len(body), wave) for number, body in enumerate(bodies)]
                data.writelines(bodies)
        corpus = Corpus(self._path, objects, events_count * shape.waves, len(hashes), inflated_bytes * shape.waves)
        index = {name: value for name, value in asdict(corpus).items() if name != "path"}
        (self._path / "manifest.bin").write_bytes(b"".join(sorted(hashes)))
        (self._path / "ids.bin").write_bytes(b"".join(sorted(ids)))
        (self._path / "lasts.bin").write_bytes(b"".join(lasts))
        (self._path / "index.json").write_text(json.dumps(index))

    def _records(self, file: int) -> tuple[list[bytes], list[bytes]]:
        """Those that are new, and those that an earlier file has had."""
        repeats = int(self._shape.records * self._shape.repeat_share)
        repeats = repeats if len(self._used) >= repeats else 0
        fresh = [self._fresh(file) for _ in range(self._shape.records - repeats)]
        repeated = self._chance.sample(self._used, repeats)
        if self._shape.repeat_share:
            self._used = (self._used + fresh)[-POOL_RECORDS:]
        return fresh, repeated

    def _template(self) -> bytes:
        return events.api_call(self._chance, account=account(0), region=REGION, at=self._day_at)

    def _fresh(self, file: int) -> bytes:
        """A record of the pool as if it had happened anew."""
        record = self._pool[self._made % len(self._pool)]
        self._made += 1
        at = self._labelled_at(file) - self._chance.randrange(600)
        record = _ID.sub(lambda found: found[0][: -len(found[1]) - 1] + self._uuid() + b'"', record)
        return _TIME.sub(b'"eventTime":"%b"' % _stamp(at, "%Y-%m-%dT%H:%M:%SZ").encode(), record)

    def _uuid(self) -> bytes:
        text = f"{self._chance.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}".encode()

    def _labelled_at(self, file: int) -> int:
        return self._day_at + file * (DAY_S - 600) // self._shape.files // 60 * 60

    def _key(self, file: int) -> str:
        at = self._labelled_at(file)
        unique = "".join(self._chance.choices(string.ascii_letters + string.digits, k=16))
        owner = account(file % self._shape.accounts)
        folder = f"AWSLogs/{owner}/CloudTrail/{REGION}/{_stamp(at, '%Y/%m/%d')}"
        return f"{folder}/{owner}_CloudTrail_{REGION}_{_stamp(at, '%Y%m%dT%H%MZ')}_{unique}.json.gz"


def _stamp(at: int, form: str) -> str:
    return datetime.fromtimestamp(at, UTC).strftime(form)
