"""Bearer tokens for the API: shown once, kept only as hashes.

A token is 32 random bytes, so a plain SHA-256 is as good as any slow hash: there is nothing to guess. It is looked
up by that hash; how long a look-up takes tells nothing about a token to somebody who cannot choose its hash.
"""

import base64
import hashlib
import secrets
import uuid
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from trailhook.clock import Clock
from trailhook.errors import NotFound
from trailhook.model import Value
from trailhook.store.base import Documents

KIND = "token"
PREFIX = "th_"
TOKEN_BYTES = 32
TOKEN_CHARACTERS_MAX = 1_024
"""Longer ones are refused unread."""
USED_EVERY_S = 300.0
"""That a token is in use is written no more often than that."""


class Scope(StrEnum):
    """What a token is good for; each includes those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


_RANK = {scope: rank for rank, scope in enumerate(Scope)}


class TokenInfo(Value, frozen=True, kw_only=True):
    """Everything that is known of a token once it was shown."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: float
    bootstrap: bool = False
    """It came from the settings, and ends when they name another."""
    used_at: float | None = None
    """When it was last shown, or a session of it was used: up to `USED_EVERY_S` too early."""

    def allows(self, scope: Scope) -> bool:
        """Whether one of its scopes is or includes `scope`."""
        return any(_RANK[own] >= _RANK[scope] for own in self.scopes)


class Tokens:
    """Makes tokens and knows them again. Nothing is cached: a revoked token is dead in every process at once."""

    def __init__(self, store: Documents, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create(self, name: str, scopes: Sequence[str]) -> tuple[str, TokenInfo]:
        """A new token, and what is kept of it. The text cannot be had again."""
        text = PREFIX + base64.b32encode(secrets.token_bytes(TOKEN_BYTES)).decode().rstrip("=").lower()
        info = self._info(name, scopes)
        await self._store.change_document(KIND, _hash(text), lambda _: msgspec.json.encode(info))
        return text, info

    async def bootstrap(self, text: str) -> TokenInfo:
        """Let the admin token of the settings in, and an earlier one of theirs no more."""
        key = _hash(text)
        for other, info in (await self._all()).items():
            if info.bootstrap and other != key:
                await self._store.change_document(KIND, other, lambda _: None)
        new = self._info("bootstrap", [Scope.ADMIN]).but(bootstrap=True)
        kept = await self._store.change_document(KIND, key, lambda old: old or msgspec.json.encode(new))
        return _decode(kept) if kept else new

    async def list(self) -> Sequence[TokenInfo]:
        """Every token, oldest first."""
        return sorted((await self._all()).values(), key=lambda info: (info.created_at, info.id))

    async def revoke(self, token_id: str) -> None:
        """End a token at once. Raises `NotFound`."""
        for key, info in (await self._all()).items():
            if info.id == token_id:
                await self._store.change_document(KIND, key, lambda _: None)
                return
        raise NotFound("no such token")

    async def authenticate(self, text: str) -> TokenInfo | None:
        """Whose token this is, None if nobody's. Raises `StoreUnavailable`."""
        if len(text) > TOKEN_CHARACTERS_MAX:
            return None
        return await self._used(_hash(text))

    def key_of(self, text: str) -> str:
        """What a token is kept under: its hash. It opens nothing."""
        return _hash(text)

    async def by_key(self, key: str) -> TokenInfo | None:
        """The token that is kept under `key`, None if it was revoked. Raises `StoreUnavailable`."""
        return await self._used(key)

    async def _used(self, key: str) -> TokenInfo | None:
        kept = await self._store.document(KIND, key)
        info = _decode(kept) if kept else None
        now = self._clock.now()
        if info is not None and (info.used_at is None or abs(now - info.used_at) >= USED_EVERY_S):

            def mark(kept: bytes | None) -> bytes | None:
                return msgspec.json.encode(_decode(kept).but(used_at=now)) if kept else None

            await self._store.change_document(KIND, key, mark)
        return info

    async def _all(self) -> dict[str, TokenInfo]:
        return {key: _decode(kept) for key, kept in (await self._store.documents(KIND)).items()}

    def _info(self, name: str, scopes: Sequence[str]) -> TokenInfo:
        return TokenInfo(
            id=str(uuid.uuid4()), name=name, scopes=tuple(map(Scope, scopes)), created_at=self._clock.now()
        )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _decode(kept: bytes) -> TokenInfo:
    return msgspec.json.decode(kept, type=TokenInfo)
