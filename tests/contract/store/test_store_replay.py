"""Sending again what was taken, on every engine: the same bytes under another id, in a count of their own."""

from collections.abc import AsyncIterator

import pytest

from support.store_values import DEAD, DELIVERED, a_batch, a_source, freeze, with_batches
from support.stores import OpenStore
from trailhook.errors import Conflict, NotFound
from trailhook.model import BatchKind, BatchState, Counts, NewBatch
from trailhook.store.base import Limits, Settlement, Store
from trailhook.store.lists import BatchQuery


async def deliver_all(store: Store, source_id: str = "s1") -> None:
    for batch in await store.lease_batches(source_id, limit=100, lease_s=60.0):
        await store.settle(batch, DELIVERED)


async def test_a_replay_is_the_same_bytes_under_another_id_at_the_end_of_the_order(store: Store) -> None:
    first, second = a_batch("msg_1", count=3, body=b"first"), a_batch("msg_2", count=2, body=b"second")
    await with_batches(store, first, second)
    await deliver_all(store)
    await freeze(store, a_batch("msg_3"))
    done = await store.replay("s1", {"msg_2": "msg_again_2", "msg_1": "msg_again_1"})
    assert (done.batches, done.events, done.gone) == (2, 5, 0)
    leased = await store.lease_batches("s1", limit=10, lease_s=60.0)
    assert [(batch.id, batch.kind) for batch in leased] == [
        ("msg_3", BatchKind.EVENTS),
        ("msg_again_1", BatchKind.REPLAY),
        ("msg_again_2", BatchKind.REPLAY),
    ]
    again = leased[1]
    same = ("body", "sha256", "wire_bytes", "content_type", "content_encoding", "count", "columns", "first_event_at")
    assert {name: getattr(again, name) for name in same} == {name: getattr(first, name) for name in same}
    assert (again.parent, again.refusals, again.attempts) == (None, 0, 0)


async def test_replays_are_counted_by_themselves_and_when_they_are_taken(store: Store) -> None:
    await with_batches(store, a_batch("msg_1", count=3, body=b"12345"))
    await deliver_all(store)
    before = (await store.totals("s1")).counts
    assert before == Counts(read=3, sent=3)
    await store.replay("s1", {"msg_1": "msg_again"})
    waiting = await store.totals("s1")
    assert (waiting.counts, waiting.replayed) == (before, 0)
    assert (waiting.waiting_batches, waiting.waiting_bytes, waiting.oldest_waiting_at) == (1, 5, None)
    await deliver_all(store)
    taken = await store.totals("s1")
    assert (taken.counts, taken.replayed, taken.waiting_batches) == (before, 3, 0)
    assert taken.counts.balanced


async def test_a_replay_may_be_split_or_die_or_be_discarded_and_the_counts_add_up(store: Store) -> None:
    await with_batches(store, *(a_batch(f"msg_{number}", count=2) for number in range(3)))
    await deliver_all(store)
    await store.replay("s1", {f"msg_{number}": f"msg_again_{number}" for number in range(3)})
    split, dead, discarded = await store.lease_batches("s1", limit=10, lease_s=60.0)
    halves = [a_batch(f"msg_half_{number}", kind=BatchKind.REPLAY, parent=split.id) for number in range(2)]
    await store.settle(split, Settlement(state=BatchState.SPLIT, children=halves))
    await store.settle(dead, DEAD)
    await store.settle(discarded, Settlement(state=BatchState.WAITING))
    await store.discard_batch(discarded.id)
    await deliver_all(store)
    totals = await store.totals("s1")
    assert totals.counts == Counts(read=6, sent=6)
    assert (totals.replayed, totals.dead_batches, totals.waiting_batches) == (2, 1, 0)


async def test_only_delivered_batches_of_events_are_replayed(store: Store) -> None:
    await with_batches(store, a_batch("msg_taken"), a_batch("msg_notice", kind=BatchKind.NOTICE))
    await deliver_all(store)
    await freeze(store, a_batch("msg_waiting"))
    await store.replay("s1", {"msg_taken": "msg_again"})
    for batch_id in ("msg_notice", "msg_waiting", "msg_again"):
        with pytest.raises(Conflict):
            await store.replay("s1", {"msg_taken": "msg_more", batch_id: "msg_yet_more"})
    for unknown in ("msg_more", "msg_yet_more", "msg_unheard_of"):
        with pytest.raises(NotFound):
            await store.batch(unknown)
    assert (await store.totals("s1")).waiting_batches == 2


async def test_a_replay_is_of_one_sources_own_batches(store: Store) -> None:
    await with_batches(store, a_batch("msg_1"))
    await deliver_all(store)
    await store.add_source(a_source("s2"))
    for source_id, batch_id in (("s2", "msg_1"), ("s1", "msg_unheard_of"), ("unheard of", "msg_1")):
        with pytest.raises(NotFound):
            await store.replay(source_id, {batch_id: "msg_again"})


async def test_what_can_be_replayed_is_found_by_the_time_of_its_events_in_the_order_frozen(store: Store) -> None:
    def batch(number: int, begin: float, end: float) -> NewBatch:
        return a_batch(f"msg_{number}").but(first_event_at=begin, last_event_at=end)

    await with_batches(store, batch(1, 100, 200), batch(2, 0, 50), batch(3, 150, 300), batch(4, 301, 400))
    await deliver_all(store)
    await freeze(store, batch(5, 100, 200))

    async def found(*, to_at: float = 300, after: int = 0, limit: int = 10) -> list[str]:
        page = await store.replayable("s1", from_at=200, to_at=to_at, after=after, limit=limit)
        assert all(not each.body for each in page)
        return [each.id for each in page]

    assert await found() == ["msg_1", "msg_3"]
    assert await found(limit=1) == ["msg_1"]
    first, *_ = await store.replayable("s1", from_at=200, to_at=300, limit=1)
    assert await found(after=first.num) == ["msg_3"]
    assert await found(to_at=301) == ["msg_1", "msg_3", "msg_4"]
    assert list(await store.replayable("s2", from_at=0, to_at=1_000)) == []


@pytest.fixture
async def forgetful(open_store: OpenStore) -> AsyncIterator[Store]:
    async with open_store(Limits(keep_bodies=False)) as store:
        yield store


async def test_what_has_no_body_any_more_is_counted_as_gone(forgetful: Store) -> None:
    await with_batches(forgetful, a_batch("msg_1"))
    await deliver_all(forgetful)
    done = await forgetful.replay("s1", {"msg_1": "msg_again"})
    assert (done.batches, done.events, done.gone) == (0, 0, 1)
    assert len(await forgetful.batches(BatchQuery(source_id="s1"))) == 1
