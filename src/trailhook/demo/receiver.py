"""The demo's webhook: takes deliveries as a careful receiver would, and keeps its own books about them.

It knows nothing of the product but Standard Webhooks: the signature is checked with an hmac of its own, and events
are told apart by their own ids. Now and then it misbehaves a little, so that retries are seen.
"""

import base64
import hashlib
import hmac
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from trailhook.cli.hooks import Reply
from trailhook.demo.generator import EventKey, event_key

TOLERANCE_S = 300.0
MISHAP_EVERY_S = 6.0
TAKEN = Reply(204)
REFUSED = Reply(400)
FORGED = Reply(401)
SLOW_DOWN = Reply(429, (("retry-after", "1"),))
BROKEN = Reply(500)
NOT_READY = Reply(503, (("retry-after", "1"),))


class _Data(msgspec.Struct):
    count: int
    events: list[msgspec.Raw]


class _Envelope(msgspec.Struct):
    type: str
    data: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Tally:
    """What came, as the receiver counts it."""

    requests: int = 0
    batches: int = 0
    """Distinct webhook-ids that were taken, notices apart."""
    events: int = 0
    notices: int = 0
    repeated: int = 0
    """Requests under a webhook-id that was taken before: dropped, as the promise asks."""
    misbehaved: int = 0
    """Requests that were answered with an error on purpose."""
    bad_signatures: int = 0
    doubled: int = 0
    """Events that came under another webhook-id too: the promise says none."""
    altered: int = 0
    """Bodies that differ under one webhook-id, and events that differ under one eventID."""
    unreadable: int = 0


@dataclass(slots=True)
class Receiver:
    """`take` answers one delivery; called in the server's thread, its books may be read from any other."""

    now: Callable[[], float] = time.time
    mishap_every_s: float = MISHAP_EVERY_S
    _secret: bytes | None = None
    _tally: Tally = field(default_factory=Tally)
    _bodies: dict[str, bytes] = field(default_factory=dict)
    _seen: dict[EventKey, bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _refused: set[str] = field(default_factory=set)
    _next_mishap_at: float = float("inf")
    _mishaps: "itertools.cycle[str]" = field(
        default_factory=lambda: itertools.cycle(("broken", "slow down", "taken, but says broken"))
    )

    def trust(self, secret: str) -> None:
        """From now on take what is signed with this `whsec_…`; misbehave now and then."""
        self._secret = base64.b64decode(secret.removeprefix("whsec_"))
        self._next_mishap_at = self.now() + self.mishap_every_s

    def calm(self) -> None:
        """Misbehave no more."""
        self._next_mishap_at = float("inf")

    @property
    def tally(self) -> Tally:
        """The counts so far."""
        with self._lock:
            return self._tally

    @property
    def seen(self) -> Mapping[EventKey, bytes]:
        """The SHA-256 of every event taken, a copy."""
        with self._lock:
            return dict(self._seen)

    def take(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer to one delivery."""
        if self._secret is None:
            return NOT_READY
        with self._lock:
            self._count(requests=1)
            if not self._genuine(headers, body, self._secret):
                self._count(bad_signatures=1)
                return FORGED
            return self._judge(headers["webhook-id"], body)

    def _judge(self, hook_id: str, body: bytes) -> Reply:
        mishap = self._mishap(hook_id)
        if mishap in ("broken", "slow down"):
            return BROKEN if mishap == "broken" else SLOW_DOWN
        digest = hashlib.sha256(body).digest()
        if hook_id in self._bodies:
            self._count(repeated=1, altered=int(self._bodies[hook_id] != digest))
        elif not self._book(body):
            self._count(unreadable=1)
            return REFUSED
        self._bodies[hook_id] = digest
        return BROKEN if mishap else TAKEN

    def _mishap(self, hook_id: str) -> str:
        """What goes wrong with this request, if anything: never twice with the same one."""
        now = self.now()
        if now < self._next_mishap_at or hook_id in self._refused:
            return ""
        self._refused.add(hook_id)
        self._next_mishap_at = now + self.mishap_every_s
        self._count(misbehaved=1)
        return next(self._mishaps)

    def _book(self, body: bytes) -> bool:
        """Write down what the body holds; False if it cannot be read."""
        try:
            envelope = msgspec.json.decode(body, type=_Envelope)
            if envelope.type != "cloudtrail.events":
                self._count(notices=1)
                return True
            data = msgspec.json.decode(envelope.data, type=_Data)
            records = [bytes(each) for each in data.events]
            keys = [event_key(each) for each in records]
        except (msgspec.DecodeError, KeyError, ValueError):
            return False
        for key, record in zip(keys, records, strict=True):
            self._book_event(key, hashlib.sha256(record).digest())
        self._count(batches=1, events=len(records))
        return data.count == len(records)

    def _book_event(self, key: EventKey, digest: bytes) -> None:
        before = self._seen.setdefault(key, digest)
        if before is not digest:
            self._count(doubled=1, altered=int(before != digest))

    def _genuine(self, headers: Mapping[str, str], body: bytes, secret: bytes) -> bool:
        hook_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not hook_id or not stamp.isdecimal() or abs(self.now() - int(stamp)) > TOLERANCE_S:
            return False
        signed = hmac.new(secret, f"{hook_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        expected = b"v1," + base64.b64encode(signed)
        given = headers.get("webhook-signature", "").encode().split()
        return any(hmac.compare_digest(expected, each) for each in given)

    def _count(self, **more: int) -> None:
        self._tally = replace(self._tally, **{name: getattr(self._tally, name) + add for name, add in more.items()})
