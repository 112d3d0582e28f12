"""Tokens, over the real store."""

import pytest

from support.clock import FakeClock
from support.parts import ADMIN
from trailhook.app import Parts
from trailhook.errors import NotFound
from trailhook.security.tokens import KIND, Scope, Tokens


async def test_a_token_is_known_again_and_only_its_hash_is_kept(parts: Parts) -> None:
    text, info = await parts.tokens.create("ci", ["read", "write"])
    assert await parts.tokens.authenticate(text) == info
    kept = await parts.store.documents(KIND)
    assert all(text not in key and text.encode() not in value for key, value in kept.items())


async def test_tokens_differ(parts: Parts) -> None:
    texts = {(await parts.tokens.create("ci", ["read"]))[0] for _ in range(20)}
    assert len(texts) == 20
    assert all(text.startswith("th_") and len(text) > 50 for text in texts)


async def test_nothing_else_is_a_token(parts: Parts) -> None:
    text, _ = await parts.tokens.create("ci", ["read"])
    for other in ("", "th_", text[:-1], text + "a", text.upper(), "\ud800", "é"):
        assert await parts.tokens.authenticate(other) is None


async def test_a_revoked_token_is_dead_at_once(parts: Parts) -> None:
    text, info = await parts.tokens.create("ci", ["read"])
    await parts.tokens.revoke(info.id)
    assert await parts.tokens.authenticate(text) is None
    with pytest.raises(NotFound):
        await parts.tokens.revoke(info.id)


async def test_tokens_are_listed_oldest_first(parts: Parts, clock: FakeClock) -> None:
    for name in ("one", "two"):
        clock.advance(1)
        await parts.tokens.create(name, ["read"])
    assert [info.name for info in await parts.tokens.list()] == ["bootstrap", "one", "two"]


async def test_the_bootstrap_token_is_the_settings_and_no_former_one(parts: Parts, clock: FakeClock) -> None:
    text, _ = await parts.tokens.create("ci", ["admin"])
    first = await parts.tokens.authenticate(ADMIN)
    clock.advance(10)
    assert first is not None
    assert (await Tokens(parts.store, clock).bootstrap(ADMIN)).id == first.id
    await parts.tokens.bootstrap("th_another")
    assert await parts.tokens.authenticate(ADMIN) is None
    another = await parts.tokens.authenticate("th_another")
    assert another is not None
    assert another.allows(Scope.ADMIN)
    assert await parts.tokens.authenticate(text) is not None
