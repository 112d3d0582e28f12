"""What every store promises of the event log."""

import pytest

from support.clock import START_AT
from support.store_values import DELIVERED, a_batch, a_source, freeze, settled_as, with_batches
from support.stores import OpenStore
from trailhook.errors import NotFound
from trailhook.model import BatchKind, BatchState, NewBatch
from trailhook.store.base import Limits, Store
from trailhook.store.log import LogQuery


def spanning(batch_id: str, first_s: float, last_s: float) -> NewBatch:
    return a_batch(batch_id).but(first_event_at=START_AT + first_s, last_event_at=START_AT + last_s)


async def ids(store: Store, **query: object) -> list[str]:
    return [block.id for block in await store.log_blocks(LogQuery().but(**query))]


async def settle(store: Store, batch_id: str, state: BatchState, *children: NewBatch) -> None:
    leased = await store.lease_batches("s1", limit=10, lease_s=60)
    batch = next(each for each in leased if each.id == batch_id)
    await store.settle(batch, settled_as(state, children=children))


async def test_blocks_come_by_their_newest_event_whatever_the_order_they_were_frozen_in(store: Store) -> None:
    await with_batches(store, spanning("b", 0, 20), spanning("c", 5, 10), spanning("a", 25, 30), spanning("b2", 1, 20))
    assert await ids(store) == ["a", "b2", "b", "c"]


async def test_a_page_goes_on_behind_the_last_block_of_the_page_before(store: Store) -> None:
    await with_batches(store, spanning("b", 0, 20), spanning("a", 25, 30), spanning("b2", 1, 20), spanning("c", 5, 10))
    first, second = await store.log_blocks(LogQuery(limit=2))
    assert (first.id, second.id) == ("a", "b2")
    await freeze(store, spanning("newer", 30, 40))
    assert await ids(store, before=(second.last_event_at, second.num)) == ["b", "c"]
    assert await ids(store, before=(second.last_event_at, second.num), limit=1) == ["b"]


async def test_only_blocks_that_lie_across_the_time_come(store: Store) -> None:
    await with_batches(store, spanning("old", 0, 10), spanning("middle", 5, 20), spanning("new", 15, 30))
    assert await ids(store, from_at=START_AT + 20) == ["new", "middle"]
    assert await ids(store, to_at=START_AT + 5) == ["middle", "old"]
    assert await ids(store, from_at=START_AT + 11, to_at=START_AT + 14) == ["middle"]


async def test_a_block_says_what_its_batch_is(store: Store) -> None:
    await with_batches(store, spanning("a", 1, 2))
    (block,) = await store.log_blocks(LogQuery())
    assert (block.id, block.source_id, block.state) == ("a", "s1", BatchState.WAITING)
    assert (block.first_event_at, block.last_event_at) == (START_AT + 1, START_AT + 2)
    assert (block.columns, block.body_bytes) == (b"packed columns", len(b"a gzip body"))
    assert block.num == (await store.batch("a")).num


async def test_the_log_holds_events_in_every_state_and_no_notices(store: Store) -> None:
    notice = a_batch("notice", kind=BatchKind.NOTICE)
    await with_batches(store, *(spanning(each, 0, 1) for each in ("sent", "dead", "given-up", "waiting")), notice)
    await settle(store, "sent", BatchState.DELIVERED)
    await store.discard_batch("given-up")
    states = {block.id: block.state.value for block in await store.log_blocks(LogQuery())}
    assert states == {"sent": "delivered", "dead": "waiting", "given-up": "discarded", "waiting": "waiting"}


async def test_a_batch_that_was_split_is_there_as_its_children(store: Store) -> None:
    await with_batches(store, spanning("whole", 0, 10))
    halves = [spanning("left", 0, 5).but(parent="whole"), spanning("right", 6, 10).but(parent="whole")]
    await settle(store, "whole", BatchState.SPLIT, *halves)
    assert await ids(store) == ["right", "left"]
    assert [block.id for block in await store.log_after(0)] == ["whole"]


async def test_a_source_has_its_own_log_and_a_removed_one_has_none(store: Store) -> None:
    await with_batches(store, spanning("mine", 0, 10))
    await store.add_source(a_source("s2"))
    await freeze(store, spanning("theirs", 0, 20), source_id="s2")
    assert await ids(store) == ["theirs", "mine"]
    assert await ids(store, source_id="s1") == ["mine"]
    assert [block.id for block in await store.log_after(0, source_id="s2")] == ["theirs"]
    (batch,) = await store.lease_batches("s2", limit=1, lease_s=60)
    await store.settle(batch, DELIVERED)
    await store.remove_source("s2")
    assert await ids(store) == ["mine"]
    assert [block.id for block in await store.log_after(0)] == ["mine"]


async def test_the_log_of_an_unknown_source_is_not_an_empty_one(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.log_blocks(LogQuery(source_id="nobody"))
    with pytest.raises(NotFound):
        await store.log_after(0, source_id="nobody")


async def test_what_was_frozen_since_comes_in_the_order_of_its_numbers(store: Store) -> None:
    assert await store.log_end() == 0
    await with_batches(store, spanning("a", 0, 1))
    end = await store.log_end()
    assert await store.log_after(end) == []
    await freeze(store, spanning("b", 9, 9), spanning("c", 5, 5), spanning("d", 1, 1))
    blocks = await store.log_after(end)
    assert [block.id for block in blocks] == ["b", "c", "d"]
    assert [block.id for block in await store.log_after(end, limit=2)] == ["b", "c"]
    assert [block.id for block in await store.log_after(end, but=[blocks[0].num, blocks[2].num])] == ["c"]
    assert await store.log_end() == blocks[-1].num


async def test_bodies_come_by_number_while_they_are_kept(open_store: OpenStore) -> None:
    async with open_store(Limits(keep_bodies=False)) as store:
        await with_batches(store, a_batch("sent", body=b"one"), a_batch("kept", body=b"two"))
        await settle(store, "sent", BatchState.DELIVERED)
        nums = [(await store.batch(each)).num for each in ("sent", "kept")]
        assert await store.log_bodies(nums) == {nums[1]: b"two"}
        assert sorted(await ids(store)) == ["kept", "sent"]
