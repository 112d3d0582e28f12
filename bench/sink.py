"""A receiver that takes everything at once and looks at it later: `python -m bench.sink CORPUS`.

While events come it only counts them; between `/-/down` and `/-/up` it takes none. `/-/verify?SECRET` then checks every
signature and that each distinct event of the corpus has come exactly once, byte for byte, by its hash.
`/-/verify-ids` asks for less, by the eventID alone: of forwarders that write events anew.
"""

import hashlib
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.corpus import hash_of_id, hashes_of
from bench.http_server import NOT_FOUND, OK, UNAVAILABLE, answered_json, serve
from trailhook.delivery import sign

_COUNT = re.compile(rb'"count":([0-9]+)')
_TYPE = b'{"type":"cloudtrail.events"'
_NOTICE = b'{"type":'
_HEADER = re.compile(rb"(?i)\r\n(webhook-[a-z]+): ([^\r]*)")


class _Data(msgspec.Struct):
    events: list[msgspec.Raw]


class _Envelope(msgspec.Struct):
    data: _Data


class Sink:
    """What has come, as it came."""

    def __init__(self, corpus: Path) -> None:
        self._corpus = corpus
        self._up = True
        self._taken: list[tuple[float, bytes, bytes]] = []
        self._events = 0
        self._bytes = 0

    def answer(self, path: str, head: bytes, body: bytes) -> bytes:
        if path.startswith("/-/"):
            return self._told(path[3:])
        if not self._up:
            return UNAVAILABLE
        self._taken.append((time.monotonic(), head, body))
        self._bytes += len(body)
        if body.startswith(_TYPE):
            count = _COUNT.search(body, 0, 200)
            self._events += int(count[1]) if count else 0
        elif not body.startswith(_NOTICE):
            self._events += 1 if body.startswith(b"{") and b"\n" not in body else len(_events(body))
        return OK

    def _told(self, what: str) -> bytes:
        if what in ("up", "down"):
            self._up = what == "up"
            return OK
        if what == "taken":
            last_at = self._taken[-1][0] if self._taken else 0.0
            told = {"events": self._events, "requests": len(self._taken), "bytes": self._bytes, "last_at": last_at}
            return answered_json(told)
        if what == "answered":
            return answered_json(self._answered())
        if what == "verify-ids":
            return answered_json(self._compared("ids.bin", hash_of_id))
        if what.startswith("verify"):
            return answered_json(self._verified(what.partition("?")[2]))
        return NOT_FOUND

    def _verified(self, secret: str) -> dict[str, int]:
        badly = sum(not _is_signed(head, body, secret) for _, head, body in self._taken) if secret else 0
        return {**self._compared("manifest.bin", _hash), "badly_signed": badly}

    def _compared(self, name: str, hashing: Callable[[bytes], bytes]) -> dict[str, int]:
        expected = set(hashes_of(self._corpus / name))
        seen = Counter(hashing(event) for _, _, body in self._taken for event in _events(body))
        return {
            "missing": len(expected - seen.keys()),
            "unknown": len(seen.keys() - expected),
            "doubled": sum(times - 1 for times in seen.values()),
        }

    def _answered(self) -> list[float]:
        """When the last new event of each file was answered, 0 if it was not, in the order of the files."""
        at_by_hash = {_hash(event): at for at, _, body in self._taken for event in _events(body)}
        return [at_by_hash.get(hashed, 0.0) for hashed in hashes_of(self._corpus / "lasts.bin")]


def _hash(event: bytes) -> bytes:
    return hashlib.sha256(event).digest()


def _events(body: bytes) -> Sequence[bytes]:
    """Out of our envelope, an array, lines, or one by itself; a notice has none."""
    if body.startswith(_TYPE):
        return [bytes(each) for each in msgspec.json.decode(body, type=_Envelope).data.events]
    if body.startswith(b"["):
        return [bytes(each) for each in msgspec.json.decode(body, type=list[msgspec.Raw])]
    return [] if body.startswith(_NOTICE) else [line for line in body.split(b"\n") if line]


def _is_signed(head: bytes, body: bytes, secret: str) -> bool:
    headers = [(name.decode(), value.decode()) for name, value in _HEADER.findall(head)]
    try:
        sign.verify(headers, body, [sign.parse_secret(secret)], time.time(), 3_600.0)
    except sign.SignatureRefused:
        return False
    return True


if __name__ == "__main__":
    serve(Sink(Path(sys.argv[1])).answer)
