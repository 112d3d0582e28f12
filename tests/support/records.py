"""Small CloudTrail records and files to read."""

import json
from collections.abc import Iterable
from typing import Any

from trailhook import body
from trailhook.cloudtrail.records import BadRecord, Judge, ReadRecords
from trailhook.cloudtrail.stretch import Record, Stretch
from trailhook.model import DeliveryOptions, NewBatch

SCOPE = b"source-1"
DEPTH_MAX = 50
RECORD_BYTES_MAX = 400_000


def event(number: int = 0, **fields: Any) -> dict[str, Any]:
    """An event of its own for every number; a field given as None is left out."""
    whole = {
        "eventVersion": "1.08",
        "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::111122223333:user/u{number % 3}"},
        "eventTime": f"2024-05-01T10:{number // 60 % 60:02}:{number % 60:02}Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "GetObject",
        "awsRegion": "eu-west-1",
        "sourceIPAddress": "192.0.2.7",
        "readOnly": True,
        "eventID": f"00000000-0000-4000-8000-{number:012}",
        "eventType": "AwsApiCall",
        "recipientAccountId": "111122223333",
    } | fields
    return {name: value for name, value in whole.items() if value is not None}


def raw(number: int = 0, **fields: Any) -> bytes:
    """The bytes of such an event."""
    return json.dumps(event(number, **fields), separators=(",", ":")).encode()


def log_file(*raws: bytes) -> bytes:
    """A log file as CloudTrail writes it."""
    return b'{"Records":[%b]}' % b",".join(raws)


def judge(**more: Any) -> Judge:
    """Who reads under the limits above, or other ones."""
    return Judge(**{"scope": SCOPE, "depth_max": DEPTH_MAX, "record_bytes_max": RECORD_BYTES_MAX, **more})


def read(data: bytes) -> ReadRecords:
    """Everything in a file, under the limits above."""
    return judge().whole(data)


def judged(one: bytes) -> Record | BadRecord:
    """One element by itself."""
    return judge().one(one)


def record(number: int = 0, **fields: Any) -> Record:
    """A record that is sound."""
    found = judged(raw(number, **fields))
    assert isinstance(found, Record)
    return found


def stretches(records: Iterable[Record]) -> list[Stretch]:
    """Each in one of its own."""
    return [Stretch.of(each) for each in records]


def frozen(
    records: Iterable[Record],
    *,
    source_id: str,
    batch_id: str,
    options: DeliveryOptions | None = None,
    laid_out: body.LaidOut | None = None,
) -> NewBatch:
    """The batch of these records."""
    chosen = options or DeliveryOptions()
    sent = [body.as_sent(each, chosen) for each in stretches(records)]
    return body.freeze(sent, source_id=source_id, options=chosen, batch_id=batch_id, laid_out=laid_out)


def rows(found: Iterable[Stretch]) -> list[tuple[object, ...]]:
    """All that is known of each record, however they are divided into stretches."""
    return [
        (*row, stretch.alone)
        for stretch in found
        for row in zip(stretch.raws(), stretch.keys, stretch.times, stretch.read_only, *stretch.texts, strict=True)
    ]


def raws(found: Iterable[Stretch]) -> list[bytes]:
    """The bytes of each record."""
    return [each for stretch in found for each in stretch.raws()]


def keys(found: Iterable[Stretch]) -> list[bytes]:
    """The key of each record."""
    return [each for stretch in found for each in stretch.keys]
