"""A bucket in memory, behind as much of S3 as a forwarder asks for: `python -m bench.s3_stub CORPUS`.

ListObjectsV2 (prefix, delimiter, start-after, continuation) and GetObject; nothing is checked. Answers are made once.
A wave of objects is in the listings once `/-/reveal/N` has been asked for; `/-/listed` tells when each key was first
listed, on the machine's monotonic clock.
"""

import hashlib
import sys
import time
from bisect import bisect_right
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from bench.corpus import opened
from bench.http_server import NOT_FOUND, OK, answered, answered_json, serve

BUCKET = "bench"
PAGE_KEYS = 1_000
MODIFIED = "2026-01-01T00:00:00.000Z"


class Bucket:
    """The objects, those that are listed so far, and when each was."""

    def __init__(self, path: Path) -> None:
        corpus = opened(path)
        self._waves: dict[int, dict[str, tuple[str, int]]] = {}
        self._gets: dict[str, bytes] = {}
        for (key, size, wave), body in zip(corpus.objects, corpus.bodies(), strict=True):
            etag = hashlib.md5(body).hexdigest()
            self._waves.setdefault(wave, {})[key] = (etag, size)
            more = f'etag: "{etag}"\r\nlast-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n'
            self._gets[f"/{BUCKET}/{quote(key)}"] = answered(body, "application/octet-stream", more)
        self._shown: dict[str, tuple[str, int]] = {}
        self._keys: list[str] = []
        self._pages: dict[str, tuple[bytes, list[str]]] = {}
        self._listed_at: dict[str, float] = {}

    def answer(self, path: str, _head: bytes, _body: bytes) -> bytes:
        if (found := self._gets.get(path)) is not None:
            return found
        if path.startswith("/-/"):
            return self._told(path)
        where = urlsplit(path)
        if unquote(where.path).strip("/") != BUCKET:
            return NOT_FOUND
        page, keys = self._pages.get(path) or self._pages.setdefault(path, self._page(parse_qs(where.query)))
        now = time.monotonic()
        for key in keys:
            self._listed_at.setdefault(key, now)
        return page

    def _told(self, path: str) -> bytes:
        if path.startswith("/-/reveal/"):
            self._shown |= self._waves[int(path.rpartition("/")[2])]
            self._keys = sorted(self._shown)
            self._pages.clear()
            return OK
        return answered_json(self._listed_at) if path == "/-/listed" else NOT_FOUND

    def _page(self, query: dict[str, list[str]]) -> tuple[bytes, list[str]]:
        asked = partial(_first, query)
        prefix, delimiter = asked("prefix"), asked("delimiter")
        after = max(asked("start-after"), asked("continuation-token"), prefix[:-1])
        keys: list[str] = []
        prefixes: dict[str, None] = {}
        more = False
        for key in self._keys[bisect_right(self._keys, after) :]:
            if not key.startswith(prefix):
                if key > prefix:
                    break
                continue
            if len(keys) + len(prefixes) >= PAGE_KEYS:
                more = True
                break
            inner, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if found:
                prefixes[prefix + inner + delimiter] = None
            else:
                keys.append(key)
        contents = "".join(self._content(key) for key in keys)
        common = "".join(f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in prefixes)
        token = f"<NextContinuationToken>{escape(keys[-1])}</NextContinuationToken>" if more else ""
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(keys) + len(prefixes)}</KeyCount>"
            f"<MaxKeys>{PAGE_KEYS}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{contents}{common}{token}</ListBucketResult>"
        )
        return answered(text.encode(), "application/xml"), keys

    def _content(self, key: str) -> str:
        etag, size = self._shown[key]
        return (
            f"<Contents><Key>{escape(key)}</Key><LastModified>{MODIFIED}</LastModified>"
            f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )


def _first(query: dict[str, list[str]], name: str) -> str:
    return query.get(name, [""])[0]


if __name__ == "__main__":
    serve(Bucket(Path(sys.argv[1])).answer)
