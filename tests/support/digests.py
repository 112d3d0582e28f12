"""A trail with digests: its files in a bucket of the simulated account, signed with keys of the test's own."""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from support.aws import SimulatedAws, log_key
from support.clock import START_AT
from support.lookup import simulated_aws_behind
from support.samples import log_file, record
from trailhook.clock import rfc3339
from trailhook.demo.digests import DigestChain, DigestFile, PublicKeys, SigningKey

HOUR_S = 3_600
ACCOUNT = "123456789012"
REGION = "us-east-1"
FIRST_AT = START_AT - 24 * HOUR_S
"""When the first hour begins: at no full hour, as with CloudTrail."""


@contextmanager
def simulated_aws_with_digests() -> Iterator[tuple[SimulatedAws, PublicKeys]]:
    """moto's server with ListPublicKeys in front of it."""
    keys = PublicKeys(app=DomainDispatcherApplication(create_backend_app))
    with simulated_aws_behind(keys) as aws:
        yield aws, keys


def hour_at(number: int) -> float:
    return FIRST_AT + number * HOUR_S


def times(first: int, beyond: int) -> dict[str, str]:
    """The range of these hours, as the API takes it."""
    return {"from": rfc3339(hour_at(first)), "to": rfc3339(hour_at(beyond))}


@dataclass
class Trail:
    """Log files and digests of one account and region."""

    aws: SimulatedAws
    bucket: str
    signer: SigningKey
    region: str = REGION
    account: str = ACCOUNT
    above: str = ""
    organization: str = ""
    name: str = "management-events"
    chain: DigestChain = field(init=False)
    digests: dict[int, DigestFile] = field(default_factory=dict)
    events: int = 0

    def __post_init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """The next digest is the first of a chain."""
        self.chain = DigestChain(
            self.bucket, self.account, self.region, self.signer, self.name, self.above, self.organization
        )

    def key(self, number: int, unique: int = 0) -> str:
        """The key of a log file of an hour."""
        label = rfc3339(hour_at(number) + 600).replace("-", "").replace(":", "")[:13]
        return log_key(
            label,
            unique + 100 * number,
            account=self.account,
            region=self.region,
            prefix=self.above,
            organization=self.organization,
        )

    def body(self) -> bytes:
        """A log file of one event that no other file has."""
        self.events += 1
        return log_file([record(self.events, recipientAccountId=self.account)])

    def hour(self, number: int, *, files: int = 2, put: Callable[[int], bool] = lambda _: True, **changes: Any) -> None:
        """An hour's log files, of which those that `put` says are in the bucket, and its digest."""
        logs = {self.key(number, unique): self.body() for unique in range(files)}
        for unique, (key, body) in enumerate(logs.items()):
            if put(unique):
                self.aws.put(self.bucket, key, body)
        self.digest(number, logs, **changes)

    def digest(self, number: int, logs: dict[str, bytes], **changes: Any) -> None:
        """The digest of an hour, in the bucket."""
        self.digests[number] = self.chain.write(hashes(logs), hour_at(number), hour_at(number + 1), **changes)
        self.put(self.digests[number])

    def late_digest(self, number: int, logs: Mapping[str, bytes]) -> None:
        """A digest written later, for log files that the hour's own does not list."""
        chain = DigestChain(self.bucket, self.account, self.region, self.signer, self.name, suffix="_backfill")
        self.put(chain.write(hashes(logs), hour_at(number), hour_at(number + 1)))

    def put(self, file: DigestFile, **metadata: str | None) -> None:
        """A digest in the bucket, with its metadata or other."""
        told = {name: text for name, text in {**file.metadata, **metadata}.items() if text is not None}
        self.aws.s3.put_object(Bucket=self.bucket, Key=file.key, Body=file.body_gz, Metadata=told)

    def delete(self, *numbers: int) -> None:
        """Digests gone from the bucket."""
        for number in numbers:
            self.aws.delete(self.bucket, self.digests[number].key)


def altered(file: DigestFile, **changes: Any) -> bytes:
    """The content of a digest with changes, as somebody without the key would make them; `...` leaves a field out."""
    fields = {**json.loads(gzip.decompress(file.body_gz)), **changes}
    return gzip.compress(json.dumps({name: value for name, value in fields.items() if value != ...}).encode())


def hashes(logs: Mapping[str, bytes]) -> dict[str, str]:
    """What a digest says of gzipped log files."""
    return {key: sha256_of(body) for key, body in logs.items()}


def sha256_of(body_gz: bytes) -> str:
    return hashlib.sha256(gzip.decompress(body_gz)).hexdigest()
