"""The scripts and styles of the pages, each at an address made of its content: browsers keep them for ever."""

import hashlib
import mimetypes
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Self

from starlette.responses import Response

from trailhook.api.auth import STATIC
from trailhook.errors import NotFound
from trailhook.model import Value

FOR_EVER = "public, max-age=31536000, immutable"
SUFFIXES = (".js", ".css", ".svg")


class StaticFile(Value, frozen=True, kw_only=True):
    """One file, held in memory."""

    path: str
    """Its address, with the beginning of its hash."""
    media_type: str
    content: bytes


class StaticFiles:
    """All of them, by name and by address."""

    def __init__(self, found: dict[str, StaticFile]) -> None:
        self._by_name = found
        self._by_path = {each.path: each for each in found.values()}

    @classmethod
    def load(cls) -> Self:
        """Those of the package."""
        return cls({name: _file(name, each) for name, each in _walk(files("trailhook.web") / "static", "")})

    def path(self, name: str) -> str:
        """Where `name` is served. Raises KeyError for what is not there."""
        return self._by_name[name].path

    def answer(self, path: str) -> Response:
        """The file at an address. Raises `NotFound`."""
        found = self._by_path.get(path)
        if found is None:
            raise NotFound("no such file")
        return Response(found.content, media_type=found.media_type, headers={"cache-control": FOR_EVER})


def _walk(place: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in place.iterdir():
        name = f"{prefix}{each.name}"
        if each.is_dir():
            found += _walk(each, f"{name}/")
        elif name.endswith(SUFFIXES):
            found.append((name, each.read_bytes()))
    return found


def _file(name: str, content: bytes) -> StaticFile:
    digest = hashlib.sha256(content).hexdigest()[:16]
    media_type = mimetypes.types_map[f".{name.rpartition('.')[2]}"]
    return StaticFile(path=f"{STATIC}{digest}/{name}", media_type=media_type, content=content)
