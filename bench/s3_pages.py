"""What S3 answers to a listing: pages of ListObjectsV2, and of ListObjects for clients that still ask so."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

PAGE_KEYS = 1_000
BUCKET = "bench"
MODIFIED = "2026-01-01T00:00:00.000Z"
LAST = "\U0010ffff"
"""Sorts behind everything that a key can go on with."""

Tag = tuple[str, int]
"""An object's ETag and its size."""


@dataclass(frozen=True, slots=True)
class Found:
    """One page: the keys and the directories on it, and where the next one begins."""

    keys: Sequence[str]
    prefixes: Sequence[str]
    next_after: str


def find(keys: Sequence[str], query: Mapping[str, Sequence[str]]) -> Found:
    """The page of sorted `keys` that a query asks for. Directories are stepped over, however much is in them."""
    prefix, delimiter = _first(query, "prefix"), _first(query, "delimiter")
    after = max(_first(query, name) for name in ("start-after", "continuation-token", "marker"))
    at = max(bisect_right(keys, after), bisect_left(keys, prefix))
    found: list[str] = []
    prefixes: list[str] = []
    last = ""
    while at < len(keys) and keys[at].startswith(prefix):
        if len(found) + len(prefixes) == PAGE_KEYS:
            return Found(found, prefixes, last)
        key = keys[at]
        inner, is_inside, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        if is_inside:
            prefixes.append(prefix + inner + delimiter)
            last = prefixes[-1] + LAST
            at = bisect_left(keys, last, at)
        else:
            found.append(key)
            last = key
            at += 1
    return Found(found, prefixes, "")


def page(found: Found, prefix: str, tag: Callable[[str], Tag]) -> bytes:
    """The XML of a page."""
    contents = "".join(_content(key, tag(key)) for key in found.keys)
    common = "".join(f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in found.prefixes)
    after = escape(found.next_after)
    more = f"<NextContinuationToken>{after}</NextContinuationToken><NextMarker>{after}</NextMarker>" if after else ""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix>"
        f"<KeyCount>{len(found.keys) + len(found.prefixes)}</KeyCount><MaxKeys>{PAGE_KEYS}</MaxKeys>"
        f"<IsTruncated>{str(bool(after)).lower()}</IsTruncated>{contents}{common}{more}</ListBucketResult>"
    )
    return text.encode()


def _content(key: str, tag: Tag) -> str:
    etag, size = tag
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{MODIFIED}</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _first(query: Mapping[str, Sequence[str]], name: str) -> str:
    return query.get(name, ("",))[0]
