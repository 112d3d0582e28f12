"""Records as they are: which ones a bucket of published logs holds, and which ones a receiver got."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import msgspec

from support.aws import SimulatedAws
from support.receiver import Delivery

Key = tuple[str, str]


class RawFile(msgspec.Struct):
    """A log file, its records untouched."""

    records: list[msgspec.Raw] = msgspec.field(default_factory=list, name="Records")


class RawBody(msgspec.Struct):
    """An envelope, its records untouched."""

    class Data(msgspec.Struct):
        events: list[msgspec.Raw]
        count: int

    data: Data


class Identity(msgspec.Struct):
    """What makes a record itself."""

    event: str | None = msgspec.field(default=None, name="eventID")
    account: str | None = msgspec.field(default=None, name="recipientAccountId")


def identity(raw: bytes) -> Key:
    """(account, eventID), or the bytes themselves where there is no eventID."""
    record = msgspec.json.decode(raw, type=Identity)
    return (record.account or "", record.event) if record.event else ("bytes", raw.decode())


def log_files(bucket: Path) -> Iterator[Path]:
    """The files that hold records: CloudTrail's and Insights', no digests."""
    for path in sorted(bucket.rglob("*.json.gz")):
        if "CloudTrail-Digest" not in path.parts:
            yield path


def expected(bucket: Path) -> dict[Key, set[bytes]]:
    """Every distinct record of a bucket with the bytes it may have."""
    records: dict[Key, set[bytes]] = {}
    for path in log_files(bucket):
        for raw in msgspec.json.decode(gzip.decompress(path.read_bytes()), type=RawFile).records:
            records.setdefault(identity(bytes(raw)), set()).add(bytes(raw))
    return records


def raw_events(delivery: Delivery) -> Iterator[tuple[Key, bytes]]:
    """The events of an envelope, by identity, with their exact bytes. Notices hold none."""
    if delivery.type == "cloudtrail.events":
        for raw in msgspec.json.decode(delivery.body, type=RawBody).data.events:
            yield identity(bytes(raw)), bytes(raw)


def put_bucket(aws: SimulatedAws, bucket: Path) -> str:
    """Put a bucket's files into S3 under their own keys, once, and return the bucket's name there."""
    name = f"logs-{bucket.name}"
    if aws.create_bucket(name):
        aws.put_many(name, {path.relative_to(bucket).as_posix(): path.read_bytes() for path in bucket.rglob("*.gz")})
    return name
