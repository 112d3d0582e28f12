"""A bucket in memory behind a `Transport`: S3's listing to the letter, with times and refusals as a test wants them."""

import asyncio
import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qs, quote_plus, unquote, urlsplit
from xml.sax.saxutils import escape

from trailhook.net.base import Answer, Request

Refuse = Callable[[Request], Answer | None]


def refusal(status: int, code: str, message: str = "", **headers: str) -> Answer:
    """S3 saying no."""
    body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>".encode()
    return Answer(status=status, body=body, headers=[(name.replace("_", "-"), text) for name, text in headers.items()])


class BucketInMemory:
    """Answers virtual-hosted ListObjectsV2 and GetObject. `refuse` may answer in its place, `gate` holds it back."""

    def __init__(self) -> None:
        self._keys: Sequence[bytes] = []
        self._objects: dict[bytes, tuple[bytes, float]] = {}
        self.refuse: Refuse = lambda _request: None
        self.gate = asyncio.Event()
        self.gate.set()
        self.requests: list[Request] = []

    def put(self, key: str, body: bytes = b"", *, modified_at: float = 0.0) -> None:
        name = key.encode()
        if name not in self._objects:
            self._keys = sorted([*self._keys, name])
        self._objects[name] = (body, modified_at)

    def fill(self, keys: list[str], *, modified_at: float = 0.0) -> None:
        """Put many empty objects at once."""
        self._objects.update({key.encode(): (b"", modified_at) for key in keys})
        self._keys = sorted(self._objects)

    async def send(self, request: Request) -> Answer:
        self.requests.append(request)
        refused = self.refuse(request)
        await self.gate.wait()
        if refused is not None:
            return refused
        url = urlsplit(request.url)
        if url.query:
            return self._list({name: values[0] for name, values in parse_qs(url.query).items()})
        return self._get(unquote(url.path[1:]).encode())

    def listed_prefixes(self) -> list[str]:
        """What was listed, in order, each page once."""
        return [parse_qs(urlsplit(each.url).query).get("prefix", [""])[0] for each in self.requests]

    def _get(self, name: bytes) -> Answer:
        if name not in self._objects:
            return refusal(404, "NoSuchKey")
        body, _ = self._objects[name]
        return Answer(status=200, headers=[("etag", f'"{_etag(body)}"')], body=body)

    def _list(self, query: dict[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", "").encode(), query.get("delimiter", "").encode()
        after = bytes.fromhex(query["continuation-token"]) if "continuation-token" in query else None
        if after is None:
            after = query.get("start-after", "").encode()
        position = max(bisect_left(self._keys, prefix), bisect_right(self._keys, after) if after else 0)
        entries: list[str] = []
        last = b""
        while position < len(self._keys) and (key := self._keys[position]).startswith(prefix):
            if len(entries) == int(query["max-keys"]):
                return _page(entries, next_token=last.hex())
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                entries.append(self._contents(key))
                last, position = key, position + 1
            else:
                common = key[: cut + len(delimiter)]
                entries.append(f"<CommonPrefixes><Prefix>{_written(common)}</Prefix></CommonPrefixes>")
                last = common + b"\xff" * 8
                position = bisect_left(self._keys, last)
        return _page(entries)

    def _described(self, key: bytes) -> tuple[bytes, float]:
        return self._objects[key]

    def _contents(self, key: bytes) -> str:
        body, modified_at = self._described(key)
        modified = datetime.fromtimestamp(modified_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return (
            f"<Contents><Key>{_written(key)}</Key><LastModified>{modified}</LastModified>"
            f"<ETag>&quot;{_etag(body)}&quot;</ETag><Size>{len(body)}</Size></Contents>"
        )


def _page(entries: list[str], *, next_token: str = "") -> Answer:
    token = f"<NextContinuationToken>{next_token}</NextContinuationToken>" if next_token else ""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{str(bool(next_token)).lower()}</IsTruncated>{token}{''.join(entries)}"
        "<EncodingType>url</EncodingType></ListBucketResult>"
    )
    return Answer(status=200, body=text.encode())


def _written(key: bytes) -> str:
    return quote_plus(key, safe="/")


def _etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
