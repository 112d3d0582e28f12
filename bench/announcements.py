"""A queue of SQS that announces the objects of a bucket, as S3 does, for forwarders that do not list.

The JSON protocol alone, which every SDK of the last years speaks. A message is handed out once: whoever loses one has
lost it for good, and the sink tells.
"""

import hashlib
import json
from collections import deque
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from bench.http_server import answered
from bench.s3_pages import BUCKET

JSON = "application/x-amz-json-1.0"
TARGET = b"amazonsqs."
MESSAGES_MAX = 10


class Announcements:
    """What has not been handed out yet."""

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()

    def announce(self, keys: Iterable[str]) -> None:
        """Put a message for each object behind the others."""
        self._waiting.extend(keys)

    def answer(self, head: bytes, body: bytes) -> bytes:
        """To any request of SQS: messages where they are asked for, else that all is well."""
        action = head.lower().partition(TARGET)[2].partition(b"\r\n")[0]
        asked = json.loads(body or b"{}")
        told: dict[str, Any] = {}
        if action == b"receivemessage":
            told = {"Messages": [self._message() for _ in range(min(MESSAGES_MAX, len(self._waiting)))]}
        elif action == b"deletemessagebatch":
            told = {"Successful": [{"Id": each["Id"]} for each in asked["Entries"]], "Failed": []}
        return answered(json.dumps(told).encode(), JSON)

    def _message(self) -> dict[str, Any]:
        key = quote(self._waiting.popleft())
        about = {"bucket": {"name": BUCKET}, "object": {"key": key}}
        record = {"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "s3": about}
        text = json.dumps({"Records": [record | {"eventName": "ObjectCreated:Put"}]})
        name = hashlib.md5(text.encode()).hexdigest()
        return {"MessageId": name, "ReceiptHandle": name, "MD5OfBody": name, "Body": text}
