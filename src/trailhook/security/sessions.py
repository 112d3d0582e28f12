"""Sessions of the dashboard: a browser that has shown a token once goes on without it.

A session is 32 random bytes in a cookie, kept only as their hash, with the hash of the token it stands for: when that
token is revoked the session is worth nothing any more. Nothing is cached, as with tokens.
"""

import hashlib
import hmac
import secrets

import msgspec

from trailhook.clock import Clock
from trailhook.model import Value
from trailhook.security.tokens import TokenInfo, Tokens
from trailhook.store.base import Documents

SESSION = "session"
LINK = "sign-in-link"
LINK_PREFIX = "once_"
LINK_S_MAX = 600.0
SEEN_EVERY_S = 300.0
"""A session in use is written no more often than that: its idle end is as much too early."""
CHARACTERS_MAX = 128
"""Longer ones are refused unread."""


class _Session(Value, frozen=True, kw_only=True):
    token_key: str
    created_at: float
    seen_at: float


class _Link(Value, frozen=True, kw_only=True):
    token_key: str
    created_at: float


class Guest(Value, frozen=True, kw_only=True):
    """Somebody with a session: the token it stands for, and what proves that a form came from our own page."""

    token: TokenInfo
    token_key: str
    csrf: str


class Sessions:
    """Begins sessions, knows them again and ends them."""

    def __init__(self, store: Documents, tokens: Tokens, clock: Clock, *, idle_s: float, age_s_max: float) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock
        self._idle_s = idle_s
        self._age_s_max = age_s_max

    async def begin(self, text: str) -> str | None:
        """A new session for whoever shows a token or the code of a link; None for anything else."""
        if text.startswith(LINK_PREFIX):
            key = await self._use_link(text)
        else:
            key = self._tokens.key_of(text) if await self._tokens.authenticate(text) else None
        if key is None:
            return None
        await self._forget_the_old()
        session, now = secrets.token_urlsafe(32), self._clock.now()
        kept = _Session(token_key=key, created_at=now, seen_at=now)
        await self._store.change_document(SESSION, _hash(session), lambda _: msgspec.json.encode(kept))
        return session

    async def guest(self, session: str) -> Guest | None:
        """Who has this session; None if it has ended, its token was revoked, or there never was one."""
        kept = await self._store.document(SESSION, _hash(session)) if len(session) <= CHARACTERS_MAX else None
        found = msgspec.json.decode(kept, type=_Session) if kept else None
        if found is None or self._ended(found):
            return None
        token = await self._tokens.by_key(found.token_key)
        if token is None:
            return None
        if self._clock.now() - found.seen_at >= SEEN_EVERY_S:
            await self._seen(session)
        return Guest(token=token, token_key=found.token_key, csrf=csrf_token(session))

    async def end(self, session: str) -> None:
        """Sign out. Nothing happens if there is no such session."""
        await self._store.change_document(SESSION, _hash(session), lambda _: None)

    async def number(self, token_key: str | None = None) -> int:
        """How many sessions go on, of one token or in all."""
        kept = (await self._store.documents(SESSION)).values()
        found = [msgspec.json.decode(each, type=_Session) for each in kept]
        return sum(token_key in (None, each.token_key) and not self._ended(each) for each in found)

    async def end_all(self, token_key: str | None = None) -> None:
        """Sign out everywhere: end every session and unused link of one token, or all there are."""
        kinds: tuple[tuple[str, type[_Session | _Link]], ...] = ((SESSION, _Session), (LINK, _Link))
        for kind, of in kinds:
            for key, kept in (await self._store.documents(kind)).items():
                if token_key in (None, msgspec.json.decode(kept, type=of).token_key):
                    await self._store.change_document(kind, key, lambda _: None)

    async def link(self, token_key: str) -> str:
        """A code that begins one session for the token kept under this key, once and soon: to be put into a link."""
        code = LINK_PREFIX + secrets.token_urlsafe(32)
        kept = _Link(token_key=token_key, created_at=self._clock.now())
        await self._store.change_document(LINK, _hash(code), lambda _: msgspec.json.encode(kept))
        return code

    async def _use_link(self, code: str) -> str | None:
        """The key of the token that the code stands for; the second of two who come with it gets None."""
        taken: list[_Link] = []

        def take(kept: bytes | None) -> None:
            taken[:] = [msgspec.json.decode(kept, type=_Link)] if kept else []

        await self._store.change_document(LINK, _hash(code), take)
        fresh = [each for each in taken if 0 <= self._clock.now() - each.created_at < LINK_S_MAX]
        return fresh[0].token_key if fresh and await self._tokens.by_key(fresh[0].token_key) else None

    async def _seen(self, session: str) -> None:
        now = self._clock.now()

        def mark(kept: bytes | None) -> bytes | None:
            return msgspec.json.encode(msgspec.json.decode(kept, type=_Session).but(seen_at=now)) if kept else None

        await self._store.change_document(SESSION, _hash(session), mark)

    async def _forget_the_old(self) -> None:
        """Sessions that have ended and links that nobody used: there are never many."""
        for key, kept in (await self._store.documents(SESSION)).items():
            if self._ended(msgspec.json.decode(kept, type=_Session)):
                await self._store.change_document(SESSION, key, lambda _: None)
        for key, kept in (await self._store.documents(LINK)).items():
            if self._clock.now() - msgspec.json.decode(kept, type=_Link).created_at >= LINK_S_MAX:
                await self._store.change_document(LINK, key, lambda _: None)

    def _ended(self, session: _Session) -> bool:
        now = self._clock.now()
        return now - session.seen_at >= self._idle_s or now - session.created_at >= self._age_s_max


def csrf_token(session: str) -> str:
    """What only a page that was given to this session can know."""
    return hmac.new(session.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256).hexdigest()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
