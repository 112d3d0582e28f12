"""One page of a ListObjectsV2 answer, read without a tree."""

from datetime import datetime
from urllib.parse import unquote_plus

from trailhook.model import Value
from trailhook.sources.aws_xml import UnreadableXml, read_xml


class Listed(Value, frozen=True, kw_only=True):
    """One object of a listing. `etag` has no quotes, as notifications write it."""

    key: str
    etag: str = ""
    size_bytes: int = 0
    modified_at: float = 0.0


class Listing(Value, frozen=True, kw_only=True):
    """One page. `next_token` is empty on the last one."""

    objects: tuple[Listed, ...] = ()
    prefixes: tuple[str, ...] = ()
    next_token: str = ""


def parse_listing(body: bytes) -> Listing:
    """Read a `ListBucketResult`. Raises `UnreadableXml` for anything else, a page without its end included."""
    reader = _Reader()
    try:
        read_xml(body, reader.on_end)
        return reader.listing()
    except ValueError as error:
        raise UnreadableXml(f"not a page of a listing: {type(error).__name__}") from error


class _Reader:
    """Collects what the elements say; keys are decoded at the end, for `EncodingType` may come after them."""

    def __init__(self) -> None:
        self._root = ""
        self._page: dict[str, str] = {}
        self._object: dict[str, str] = {}
        self._objects: list[dict[str, str]] = []
        self._prefixes: list[str] = []

    def on_end(self, parent: str, tag: str, text: str) -> None:
        if parent == "Contents":
            self._object[tag] = text
        elif tag == "Contents":
            self._objects.append(self._object)
            self._object = {}
        elif parent == "CommonPrefixes":
            self._prefixes.append(text)
        elif parent == "ListBucketResult":
            self._page[tag] = text
        elif not parent:
            self._root = tag

    def listing(self) -> Listing:
        more = self._page.get("IsTruncated") == "true"
        next_token = self._page.get("NextContinuationToken", "") if more else ""
        if self._root != "ListBucketResult" or (more and not next_token):
            raise UnreadableXml("not a page of a listing")
        encoded = self._page.get("EncodingType") == "url"
        return Listing(
            objects=tuple(_listed(each, encoded) for each in self._objects),
            prefixes=tuple(_decoded(each, encoded) for each in self._prefixes),
            next_token=next_token,
        )


def _listed(texts: dict[str, str], encoded: bool) -> Listed:
    return Listed(
        key=_decoded(texts.get("Key", ""), encoded),
        etag=texts.get("ETag", "").strip('"'),
        size_bytes=int(texts.get("Size", "0")),
        modified_at=datetime.fromisoformat(texts["LastModified"]).timestamp() if "LastModified" in texts else 0.0,
    )


def _decoded(name: str, encoded: bool) -> str:
    """S3 writes a space as `+` and everything else that is special as `%XX`."""
    return unquote_plus(name) if encoded else name
