"""`Idempotency-Key`: a registration that is sent again is carried out once and answered alike.

Kept is not the answer but the seed, sealed: with the same body it makes the same source again. So a registration
that was cut short anywhere is completed by whoever sends it again, and two at a time end as one.
"""

import hashlib
from typing import cast

import msgspec

from trailhook.api.registration import Seed
from trailhook.clock import Clock
from trailhook.errors import Conflict
from trailhook.model import Value
from trailhook.security.base import Vault
from trailhook.settings import DAY_S
from trailhook.store.base import IDEMPOTENCY, Documents


class _Kept(Value, frozen=True, kw_only=True):
    at: float
    sealed: bytes
    done: bool = False


class _Sealed(Value, frozen=True, kw_only=True):
    body_sha256: bytes
    seed: Seed


class Claim(Value, frozen=True, kw_only=True):
    """The seed to go by, and whether the registration was carried out already."""

    key: str
    seed: Seed
    done: bool


class Registrations:
    """Remembers registrations by their key for a day."""

    def __init__(self, store: Documents, vault: Vault, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock

    async def claim(self, key: str, body_sha256: bytes, seed: Seed) -> Claim:
        """The seed that the first request with this key came with. Raises `Conflict` if that had another body."""
        hashed = hashlib.sha256(key.encode()).hexdigest()
        now = self._clock.now()
        content = msgspec.json.encode(_Sealed(body_sha256=body_sha256, seed=seed))
        sealed = self._vault.seal(content, collection=IDEMPOTENCY, owner=hashed, field="seed")
        ours = _Kept(at=now, sealed=sealed)

        def take(old: bytes | None) -> bytes:
            fresh = old is not None and now - _decode(old).at < DAY_S
            return old if fresh and old is not None else msgspec.json.encode(ours)

        kept = _decode(cast("bytes", await self._store.change_document(IDEMPOTENCY, hashed, take)))
        opened = self._vault.open(kept.sealed, collection=IDEMPOTENCY, owner=hashed, field="seed")
        first = msgspec.json.decode(opened, type=_Sealed)
        if first.body_sha256 != body_sha256:
            raise Conflict("This Idempotency-Key was used with another body within the last 24 hours.")
        return Claim(key=hashed, seed=first.seed, done=kept.done)

    async def done(self, claim: Claim) -> None:
        """From now on the answer is repeated and nothing is carried out, even if the source was removed since."""

        def mark(old: bytes | None) -> bytes | None:
            return None if old is None else msgspec.json.encode(_decode(old).but(done=True))

        await self._store.change_document(IDEMPOTENCY, claim.key, mark)


def _decode(kept: bytes) -> _Kept:
    return msgspec.json.decode(kept, type=_Kept)
