"""Small records and log files of our own making."""

import gzip
import json
from typing import Any


def record(number: int, **more: Any) -> dict[str, Any]:
    """A small record of our own."""
    return {
        "eventVersion": "1.09",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/alice", "userName": "alice"},
        "eventTime": f"2025-06-15T12:{number // 60 % 60:02d}:{number % 60:02d}Z",
        "eventSource": "ec2.amazonaws.com",
        "eventName": "DescribeInstances",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "198.51.100.7",
        "eventID": f"00000000-0000-4000-8000-{number:012d}",
        "readOnly": True,
        "recipientAccountId": "111122223333",
        **more,
    }


def log_key(label: str, unique: str) -> str:
    """A key as CloudTrail writes it; `label` is YYYYMMDDTHHmmZ."""
    day = f"{label[:4]}/{label[4:6]}/{label[6:8]}"
    return f"AWSLogs/111122223333/CloudTrail/us-east-1/{day}/111122223333_CloudTrail_us-east-1_{label}_{unique}.json.gz"


def log_file(records: list[dict[str, Any]]) -> bytes:
    return gzip.compress(json.dumps({"Records": records}).encode())
