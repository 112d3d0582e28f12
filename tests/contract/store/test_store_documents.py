"""`store.base.Documents`."""

import asyncio

import pytest

from support.clock import FakeClock
from trailhook.store.base import Store


async def put(store: Store, kind: str, key: str, value: bytes | None) -> None:
    await store.change_document(kind, key, lambda _: value)


async def test_an_absent_document_is_none(store: Store) -> None:
    assert await store.document("token", "a") is None


async def test_a_document_is_what_change_made_of_it(store: Store) -> None:
    assert await store.change_document("token", "a", lambda old: (old or b"") + b"x") == b"x"
    assert await store.change_document("token", "a", lambda old: (old or b"") + b"x") == b"xx"
    assert await store.document("token", "a") == b"xx"


async def test_none_deletes_and_leaves_absent(store: Store) -> None:
    await put(store, "token", "a", b"x")
    assert await store.change_document("token", "a", lambda _: None) is None
    assert await store.change_document("token", "never", lambda _: None) is None
    assert await store.documents("token") == {}


async def test_documents_come_by_kind_in_the_order_of_their_keys(store: Store) -> None:
    for key in ("b", "c", "a"):
        await put(store, "token", key, key.encode())
    await put(store, "other", "d", b"d")
    assert list((await store.documents("token")).items()) == [("a", b"a"), ("b", b"b"), ("c", b"c")]


async def test_what_change_raises_goes_to_the_caller_and_nothing_is_changed(store: Store) -> None:
    await put(store, "token", "a", b"x")

    def refuse(_: bytes | None) -> bytes | None:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await store.change_document("token", "a", refuse)
    assert await store.document("token", "a") == b"x"


async def test_changes_at_the_same_time_all_count(store: Store) -> None:
    await asyncio.gather(*(store.change_document("n", "a", lambda old: (old or b"") + b"x") for _ in range(50)))
    assert await store.document("n", "a") == b"x" * 50


async def test_only_one_holds_a_lease_until_it_ends(store: Store, clock: FakeClock) -> None:
    first = await store.lease("poll:s1", 60.0)
    assert first is not None
    assert await store.lease("poll:s1", 60.0) is None
    assert await store.lease("poll:s2", 60.0) is not None
    clock.advance(61.0)
    second = await store.lease("poll:s1", 60.0)
    assert second is not None
    assert second.token > first.token


async def test_a_renewed_lease_is_held_from_then_on(store: Store, clock: FakeClock) -> None:
    lease = await store.lease("poll:s1", 60.0)
    assert lease is not None
    clock.advance(40.0)
    assert await store.renew(lease, 60.0)
    clock.advance(40.0)
    assert await store.lease("poll:s1", 60.0) is None
    clock.advance(21.0)
    assert await store.lease("poll:s1", 60.0) is not None


async def test_a_lease_that_ended_may_be_renewed_until_another_takes_it(store: Store, clock: FakeClock) -> None:
    lease = await store.lease("poll:s1", 60.0)
    assert lease is not None
    clock.advance(61.0)
    assert await store.renew(lease, 60.0)
    assert await store.lease("poll:s1", 60.0) is None
    clock.advance(61.0)
    taken = await store.lease("poll:s1", 60.0)
    assert taken is not None
    assert not await store.renew(lease, 600.0)
    clock.advance(61.0)
    assert await store.lease("poll:s1", 60.0) is not None


async def test_a_lease_that_was_given_back_cannot_be_renewed(store: Store) -> None:
    lease = await store.lease("poll:s1", 60.0)
    assert lease is not None
    await store.release(lease)
    assert not await store.renew(lease, 60.0)
    assert await store.lease("poll:s1", 60.0) is not None


async def test_a_released_lease_is_free_at_once(store: Store) -> None:
    lease = await store.lease("poll:s1", 60.0)
    assert lease is not None
    await store.release(lease)
    assert await store.lease("poll:s1", 60.0) is not None


async def test_releasing_a_lost_lease_does_not_take_it_from_its_new_holder(store: Store, clock: FakeClock) -> None:
    lost = await store.lease("poll:s1", 60.0)
    assert lost is not None
    clock.advance(61.0)
    await store.lease("poll:s1", 60.0)
    await store.release(lost)
    assert await store.lease("poll:s1", 60.0) is None


async def test_of_many_who_ask_at_once_one_gets_the_lease(store: Store) -> None:
    asked = await asyncio.gather(*(store.lease("poll:s1", 60.0) for _ in range(20)))
    assert sum(lease is not None for lease in asked) == 1
