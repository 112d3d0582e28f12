"""A receiver that takes everything at once and looks at it later: `python -m bench.sink CORPUS`.

While events come it only counts them. `/-/verify?SECRET` then checks every signature and that each distinct event of
the corpus has come exactly once, byte for byte, by its hash.
"""

import hashlib
import re
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec

from bench.corpus import HASH_BYTES
from bench.http_server import OK, answered_json, serve
from trailhook.delivery import sign

_COUNT = re.compile(rb'"count":([0-9]+)')
_TYPE = b'{"type":"cloudtrail.events"'
_HEADER = re.compile(rb"(?i)\r\n(webhook-[a-z]+): ([^\r]*)")


class _Data(msgspec.Struct):
    events: list[msgspec.Raw]


class _Envelope(msgspec.Struct):
    data: _Data


class Sink:
    """What has come, as it came."""

    def __init__(self, corpus: Path) -> None:
        self._manifest = (corpus / "manifest.bin").read_bytes()
        self._taken: list[tuple[float, bytes, bytes]] = []
        self._events = 0
        self._bytes = 0

    def answer(self, path: str, head: bytes, body: bytes) -> bytes:
        if path == "/-/taken":
            last_at = self._taken[-1][0] if self._taken else 0.0
            told = {"events": self._events, "requests": len(self._taken), "bytes": self._bytes, "last_at": last_at}
            return answered_json(told)
        if path.startswith("/-/verify"):
            return answered_json(self._verified(path.partition("?")[2]))
        if path.startswith("/-/arrivals"):
            return answered_json(self._arrivals())
        self._taken.append((time.monotonic(), head, body))
        self._bytes += len(body)
        if not body.startswith(b'{"type":'):
            self._events += 1  # a single record; whatever else is sent here is of no shape of ours
        elif body.startswith(_TYPE) and (count := _COUNT.search(body, 0, 200)):
            self._events += int(count[1])
        return OK

    def _verified(self, secret: str) -> dict[str, int]:
        manifest = self._manifest
        expected = {manifest[at : at + HASH_BYTES] for at in range(0, len(manifest), HASH_BYTES)}
        seen = Counter(hashed for _, _, body in self._taken for hashed in _hashes(body))
        return {
            "missing": len(expected - seen.keys()),
            "unknown": len(seen.keys() - expected),
            "doubled": sum(times - 1 for times in seen.values()),
            "badly_signed": sum(not _is_signed(head, body, secret) for _, head, body in self._taken) if secret else 0,
        }

    def _arrivals(self) -> dict[str, float]:
        """When the first of each batch's events was answered, by its hash."""
        return {hashed.hex(): at for at, _, body in self._taken for hashed in _hashes(body)[:1]}


def _hashes(body: bytes) -> list[bytes]:
    if body.startswith(_TYPE):
        return [hashlib.sha256(each).digest() for each in msgspec.json.decode(body, type=_Envelope).data.events]
    return [] if body.startswith(b'{"type":') else [hashlib.sha256(body).digest()]


def _is_signed(head: bytes, body: bytes, secret: str) -> bool:
    headers = [(name.decode(), value.decode()) for name, value in _HEADER.findall(head)]
    try:
        sign.verify(headers, body, [sign.parse_secret(secret)], time.time(), 3_600.0)
    except sign.SignatureRefused:
        return False
    return True


if __name__ == "__main__":
    serve(Sink(Path(sys.argv[1])).answer)
