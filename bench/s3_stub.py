"""A bucket in memory, behind as much of S3 as a forwarder asks for: `python -m bench.s3_stub CORPUS`.

ListObjectsV2, ListObjects, GetObject and HeadObject; nothing is checked. Answers are made once. A wave of objects is in
the listings, and announced in the queue that any POST reaches, once `/-/reveal/N` has been asked for; `/-/listed` tells
when each key was first listed, on the machine's monotonic clock.
"""

import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from bench.announcements import Announcements
from bench.corpus import opened
from bench.http_server import NOT_FOUND, OK, answered, answered_json, serve
from bench.s3_pages import BUCKET, Tag, find, page

XML = "application/xml"


class Bucket:
    """The objects, those that are listed so far, and when each was."""

    def __init__(self, path: Path) -> None:
        corpus = opened(path)
        self._waves: dict[int, dict[str, Tag]] = {}
        self._gets: dict[str, bytes] = {}
        for (key, size, wave), body in zip(corpus.objects, corpus.bodies(), strict=True):
            etag = hashlib.md5(body).hexdigest()
            self._waves.setdefault(wave, {})[key] = (etag, size)
            more = f'etag: "{etag}"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n'
            self._gets[f"/{BUCKET}/{quote(key)}"] = answered(body, "application/octet-stream", more)
        self._shown: dict[str, Tag] = {}
        self._keys: list[str] = []
        self._pages: dict[str, tuple[bytes, Sequence[str]]] = {}
        self._listed_at: dict[str, float] = {}
        self._queue = Announcements()

    def answer(self, path: str, head: bytes, body: bytes) -> bytes:
        if (found := self._gets.get(path)) is not None:
            return found if head.startswith(b"GET") else found[: found.index(b"\r\n\r\n") + 4]
        if path.startswith("/-/"):
            return self._told(path)
        if head.startswith(b"POST"):
            return self._queue.answer(head, body)
        where = urlsplit(path)
        if unquote(where.path).strip("/") != BUCKET:
            return NOT_FOUND
        listed, keys = self._pages.get(path) or self._pages.setdefault(path, self._page(where.query))
        now = time.monotonic()
        for key in keys:
            self._listed_at.setdefault(key, now)
        return listed

    def _told(self, path: str) -> bytes:
        if path.startswith("/-/reveal/"):
            wave = self._waves[int(path.rpartition("/")[2])]
            self._shown |= wave
            self._queue.announce(wave)
            self._keys = sorted(self._shown)
            self._pages.clear()
            return OK
        return answered_json(self._listed_at) if path == "/-/listed" else NOT_FOUND

    def _page(self, query: str) -> tuple[bytes, Sequence[str]]:
        asked = parse_qs(query)
        found = find(self._keys, asked)
        return answered(page(found, asked.get("prefix", [""])[0], self._shown.__getitem__), XML), found.keys


if __name__ == "__main__":
    serve(Bucket(Path(sys.argv[1])).answer)
