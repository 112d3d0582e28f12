"""Small CloudTrail records and files to read."""

import json
from typing import Any

from trailhook.cloudtrail.records import BadRecord, ReadRecords, Record, read_record, read_records

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


def read(data: bytes) -> ReadRecords:
    """Everything in a file, under the limits above."""
    return read_records(data, scope=SCOPE, depth_max=DEPTH_MAX, record_bytes_max=RECORD_BYTES_MAX)


def judged(one: bytes) -> Record | BadRecord:
    """One element by itself."""
    return read_record(one, position=0, scope=SCOPE, depth_max=DEPTH_MAX, record_bytes_max=RECORD_BYTES_MAX)


def record(number: int = 0, **fields: Any) -> Record:
    """A record that is sound."""
    found = judged(raw(number, **fields))
    assert isinstance(found, Record)
    return found
