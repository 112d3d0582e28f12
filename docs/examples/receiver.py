"""A receiver that takes every event once: standard library only, about sixty lines.

RECEIVER_SECRET=whsec_… python receiver.py            # listens on 127.0.0.1:9000, keeps events in events.sqlite
"""

import base64
import gzip
import hashlib
import hmac
import json
import os
import sqlite3
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer

TOLERANCE_S = 300
BODY_BYTES_MAX = 16 * 1024 * 1024


def verified(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether a holder of the secret signed these very bytes within the last five minutes."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    sent_at = headers.get("webhook-timestamp") or ""
    signed = f"{headers.get('webhook-id')}.{sent_at}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
    signatures = (headers.get("webhook-signature") or "").encode().split()
    fresh = sent_at.isdecimal() and abs(now - int(sent_at)) <= TOLERANCE_S
    return fresh and any(hmac.compare_digest(expected, each) for each in signatures)


def keep(store: sqlite3.Connection, webhook_id: str, parent: str | None, body: bytes) -> None:
    """Keep the events and the id in one transaction, or nothing if the id, or the batch it is a part of, is known."""
    message = json.loads(body)
    with store:
        known = store.execute("SELECT 1 FROM taken WHERE id IN (?, ?)", (webhook_id, parent)).fetchone()
        if known:
            return
        store.execute("INSERT INTO taken VALUES (?)", (webhook_id,))
        if message["type"] == "cloudtrail.events":
            rows = [(json.dumps(event),) for event in message["data"]["events"]]
            store.executemany("INSERT INTO events VALUES (?)", rows)
        else:
            print(message["type"], message["data"])


class Receiver(BaseHTTPRequestHandler):
    """Answers 2xx only once the events are durable: whatever else it says, they are sent again."""

    secret: str
    store: sqlite3.Connection

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        if length > BODY_BYTES_MAX:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not verified(self.secret, headers, body, time.time()):
            self.send_error(HTTPStatus.UNAUTHORIZED)
            return
        if headers.get("content-encoding") == "gzip":  # the signature covers the bytes as they travelled
            body = gzip.decompress(body)
        keep(self.store, headers["webhook-id"], headers.get("x-trailhook-parent"), body)
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()


def opened(path: str) -> sqlite3.Connection:
    """The store of ids and events."""
    store = sqlite3.connect(path)
    store.execute("CREATE TABLE IF NOT EXISTS taken (id TEXT PRIMARY KEY)")
    store.execute("CREATE TABLE IF NOT EXISTS events (record TEXT)")
    return store


if __name__ == "__main__":
    Receiver.secret, Receiver.store = os.environ["RECEIVER_SECRET"], opened("events.sqlite")
    HTTPServer(("127.0.0.1", int(os.environ.get("RECEIVER_PORT", "9000"))), Receiver).serve_forever()
