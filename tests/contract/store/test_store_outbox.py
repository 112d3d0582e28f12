"""`store.base.Outbox`."""

import asyncio

import pytest

from support.clock import START_AT, FakeClock
from support.store_values import (
    DEAD,
    DELIVERED,
    a_batch,
    a_source,
    an_attempt,
    freeze,
    settled_as,
    with_batches,
)
from support.stores import OpenStore
from trailhook.errors import Conflict, LeaseLost, NotFound
from trailhook.model import Batch, BatchKind, BatchState, Condition, Counts, DeliveryOptions, Lane, Source
from trailhook.store.base import Limits, Plan, Settlement, Store, Turn
from trailhook.store.lists import BatchQuery, DeadGroup


async def leased(store: Store, *, limit: int = 10, lease_s: float = 60.0, ordered: bool = False) -> list[Batch]:
    return list(await store.lease_batches("s1", limit=limit, lease_s=lease_s, ordered=ordered))


async def counts(store: Store) -> Counts:
    return (await store.totals("s1")).counts


def again(at: float, **fields: object) -> Settlement:
    return settled_as(BatchState.WAITING).but(due_at=at, **fields)


# -------------------------------------------------------------------------------------------------------- lease


async def test_a_leased_batch_is_all_that_was_frozen(store: Store, clock: FakeClock) -> None:
    frozen = a_batch("msg_a", count=3, body=b"\x1f\x8b body").but(content_encoding="gzip", refusals=1)
    await with_batches(store, frozen)
    (batch,) = await leased(store)
    assert {name: getattr(batch, name) for name in frozen.__struct_fields__} == {
        name: getattr(frozen, name) for name in frozen.__struct_fields__
    }
    assert (batch.source_id, batch.state, batch.frozen_at, batch.attempts) == ("s1", "waiting", clock.now(), 0)
    assert (batch.uncertain, batch.first_attempt_at, batch.settled_at) == (False, None, None)


async def test_batches_are_leased_in_the_order_frozen_each_with_its_own_token(store: Store) -> None:
    await with_batches(store, a_batch("a"), a_batch("b"), a_batch("c"))
    first, second = await leased(store, limit=2)
    (third,) = await leased(store)
    assert [first.id, second.id, third.id] == ["a", "b", "c"]
    assert first.num < second.num < third.num
    assert first.token < second.token < third.token


async def test_leasing_at_the_same_time_hands_nothing_out_twice(store: Store) -> None:
    await with_batches(store, *(a_batch() for _ in range(30)))
    leases = await asyncio.gather(*(leased(store, limit=4) for _ in range(20)))
    ids = [batch.id for lease in leases for batch in lease]
    assert len(ids) == len(set(ids)) == 30


async def test_only_the_sources_own_batches_are_leased(store: Store) -> None:
    await with_batches(store, a_batch("a"))
    await store.add_source(a_source("s2"))
    await freeze(store, a_batch("b"), source_id="s2")
    assert [batch.id for batch in await leased(store)] == ["a"]


async def test_ordered_one_is_out_at_a_time(store: Store) -> None:
    await with_batches(store, a_batch("a"), a_batch("b"))
    (first,) = await leased(store, ordered=True)
    assert await leased(store, ordered=True) == []
    await store.settle(first, DELIVERED)
    assert [batch.id for batch in await leased(store, ordered=True)] == ["b"]


async def test_ordered_a_batch_that_is_not_due_holds_the_rest(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a"), a_batch("b"))
    (first,) = await leased(store, ordered=True)
    await store.settle(first, again(clock.now() + 30))
    assert await leased(store, ordered=True) == []
    clock.advance(30)
    assert [batch.id for batch in await leased(store, ordered=True)] == ["a"]


async def test_ordered_a_dead_letter_lets_it_go_on(store: Store) -> None:
    await with_batches(store, a_batch("a"), a_batch("b"))
    (first,) = await leased(store, ordered=True)
    await store.settle(first, DEAD)
    assert [batch.id for batch in await leased(store, ordered=True)] == ["b"]


async def test_a_batch_whose_holder_was_never_heard_of_again_is_uncertain(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a"))
    (lost,) = await leased(store)
    clock.advance(61)
    (batch,) = await leased(store)
    assert batch.uncertain
    with pytest.raises(LeaseLost):
        await store.settle(lost, DELIVERED)
    await store.settle(batch, DELIVERED)


async def test_until_somebody_takes_it_an_ended_lease_may_still_settle(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a"))
    (batch,) = await leased(store)
    clock.advance(600)
    await store.settle(batch, DELIVERED)
    assert (await store.batch("a")).state is BatchState.DELIVERED


# ------------------------------------------------------------------------------------------------------- settle


async def test_delivered_moves_waiting_to_sent(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a", count=3), a_batch("b", count=4))
    batch, _ = await leased(store)
    await store.settle(batch, DELIVERED)
    assert await counts(store) == Counts(read=7, sent=3, waiting=4)
    settled = await store.batch("a")
    assert (settled.state, settled.settled_at, settled.attempts) == (BatchState.DELIVERED, clock.now(), 1)
    assert settled.body == batch.body


async def test_dead_moves_waiting_to_dead_lettered(store: Store) -> None:
    await with_batches(store, a_batch("a", count=3))
    (batch,) = await leased(store)
    await store.settle(batch, DEAD)
    assert await counts(store) == Counts(read=3, dead_lettered=3)
    dead = await store.batch("a")
    assert (dead.last_class, dead.last_error) == ("transient", "HTTP 500")


async def test_a_settled_batch_cannot_be_settled_again(store: Store) -> None:
    await with_batches(store, a_batch("a"), a_batch("b"))
    first, second = await leased(store)
    await store.settle(first, DELIVERED)
    await store.settle(second, again(START_AT))
    for batch in (first, second):
        with pytest.raises(LeaseLost):
            await store.settle(batch, DELIVERED)
    assert await counts(store) == Counts(read=2, sent=1, waiting=1)
    assert len(await store.attempts("a")) == 1


async def test_a_batch_that_was_never_leased_cannot_be_settled(store: Store) -> None:
    await with_batches(store, a_batch("a"))
    with pytest.raises(LeaseLost):
        await store.settle(await store.batch("a"), DELIVERED)


async def test_an_attempt_that_failed_comes_again_when_due(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a"))
    (batch,) = await leased(store)
    await store.settle(batch, again(clock.now() + 30, refusals=2))
    assert await leased(store) == []
    clock.advance(30)
    (second,) = await leased(store)
    assert (second.attempts, second.refusals, second.body) == (1, 2, batch.body)
    assert (second.last_class, second.last_error, second.settled_at) == ("transient", "HTTP 500", None)


async def test_the_first_attempt_sets_the_age_and_later_ones_leave_it(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a"))
    for at, held_s in ((clock.now(), 11.0), (clock.now() + 100, 99.0)):
        (batch,) = await leased(store)
        attempt = an_attempt(at=at)
        await store.settle(batch, again(clock.now(), held_mark_s=held_s).but(attempt=attempt))
    batch = await store.batch("a")
    assert (batch.first_attempt_at, batch.held_mark_s, batch.attempts) == (clock.now(), 11.0, 2)


async def test_a_batch_handed_back_untried_counts_no_attempt(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a").but(refusals=1))
    (batch,) = await leased(store)
    back = Settlement(state=BatchState.WAITING, due_at=clock.now() + 5, refusals=9, held_mark_s=9.0, uncertain=True)
    await store.settle(batch, back)
    assert await leased(store) == []
    clock.advance(5)
    (after,) = await leased(store)
    assert after == batch.but(token=after.token, due_at=clock.now())
    assert await store.attempts("a") == []


async def test_once_uncertain_always_uncertain(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a"))
    for uncertain in (False, True, False):
        (batch,) = await leased(store)
        await store.settle(batch, again(clock.now(), uncertain=uncertain))
    assert (await store.batch("a")).uncertain


async def test_every_attempt_is_kept_oldest_first(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a"))
    attempts = [an_attempt(number, at=clock.now() + number) for number in (1, 2)]
    for attempt in attempts:
        (batch,) = await leased(store)
        await store.settle(batch, again(clock.now()).but(attempt=attempt))
    assert await store.attempts("a") == attempts
    with pytest.raises(NotFound):
        await store.attempts("never")


async def test_children_take_the_place_of_a_split_batch(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a", count=4), a_batch("b", count=1))
    clock.advance(20)
    (batch,) = await leased(store, limit=1)
    children = [a_batch("a1", count=2, parent="a"), a_batch("a2", count=2, parent="a")]
    await store.settle(batch, settled_as(BatchState.SPLIT, children=children))
    assert await counts(store) == Counts(read=5, waiting=5)
    assert (await store.batch("a")).state is BatchState.SPLIT
    first, second, third = await leased(store)
    assert [first.id, second.id, third.id] == ["a1", "a2", "b"]
    assert (first.parent, first.attempts, first.frozen_at) == ("a", 0, batch.frozen_at)
    assert first.num > third.num


async def test_children_of_children_keep_the_order(store: Store) -> None:
    await with_batches(store, a_batch("a", count=4), a_batch("b", count=1))
    for name in ("a", "a1"):
        (batch,) = await leased(store, ordered=True)
        assert batch.id == name
        children = [a_batch(f"{name}{part}", count=1, parent=name) for part in (1, 2)]
        await store.settle(batch, settled_as(BatchState.SPLIT, children=children))
    assert [batch.id for batch in await leased(store)] == ["a11", "a12", "a2", "b"]


async def test_in_metadata_mode_a_delivered_batch_loses_its_body_and_keeps_its_columns(open_store: OpenStore) -> None:
    async with open_store(Limits(keep_bodies=False)) as store:
        await with_batches(store, a_batch("a"), a_batch("b"))
        first, second = await leased(store)
        await store.settle(first, DELIVERED)
        await store.settle(second, DEAD)
        assert ((await store.batch("a")).body, (await store.batch("b")).body) == (b"", second.body)
        assert (await store.batch("a")).columns == first.columns


async def test_in_metadata_mode_what_was_split_or_discarded_has_no_body_either(open_store: OpenStore) -> None:
    async with open_store(Limits(keep_bodies=False)) as store:
        await with_batches(store, a_batch("a", count=2), a_batch("b"))
        first, _ = await leased(store)
        await store.settle(first, settled_as(BatchState.SPLIT, children=[a_batch("a1", parent="a")]))
        await store.discard_batch("b")
        assert [(await store.batch(name)).body for name in ("a", "b")] == [b"", b""]
        assert (await store.batch("a1")).body


# -------------------------------------------------------------------------------------------- settle and lease


def allow(limit: int) -> Plan:
    return lambda _, lane: (lane, limit)


async def turned(store: Store, *settlements: tuple[Batch, Settlement], plan: Plan) -> Turn:
    return await store.settle_and_lease("s1", settlements, plan, lease_s=60.0)


async def test_one_trip_settles_and_leases(store: Store, clock: FakeClock) -> None:
    await with_batches(store, *(a_batch(name, count=2) for name in "abcd"))
    a, b = (await turned(store, plan=allow(2))).batches
    turn = await turned(store, (a, DELIVERED), (b, DEAD), plan=allow(1))
    assert ([batch.id for batch in turn.batches], turn.lost) == (["c"], set())
    assert await counts(store) == Counts(read=8, sent=2, dead_lettered=2, waiting=4)
    assert [(await store.batch(name)).state for name in "ab"] == [BatchState.DELIVERED, BatchState.DEAD]
    assert (await store.batch("a")).settled_at == clock.now()
    assert [len(await store.attempts(name)) for name in "abc"] == [1, 1, 0]
    assert [batch.id for batch in await leased(store)] == ["d"]


async def test_a_batch_leased_in_one_trip_is_as_leased_by_itself(store: Store) -> None:
    await with_batches(store, a_batch("a", count=3, body=b"\x1f\x8b body"))
    (batch,) = (await turned(store, plan=allow(1))).batches
    assert batch == (await store.batch("a")).but(columns=b"")
    assert batch.body
    await store.settle(batch, DELIVERED)


async def test_totals_know_the_newest_event_of_all_that_was_settled_together(store: Store) -> None:
    await with_batches(store, *(a_batch(f"{at}", at=START_AT + at) for at in (5, 9, 7, 1)))
    batches = (await turned(store, plan=allow(4))).batches
    await turned(store, *((batch, DELIVERED) for batch in batches), plan=allow(0))
    assert (await store.remove_source("s1")).last_event_at == START_AT + 9


async def test_a_lost_lease_keeps_nothing_else_from_being_settled_or_leased(store: Store) -> None:
    await with_batches(store, *(a_batch(name) for name in "abc"))
    a, b = await leased(store, limit=2)
    await store.discard_batch("a")
    turn = await turned(store, (a, DELIVERED), (b, DELIVERED), plan=allow(5))
    assert (turn.lost, [batch.id for batch in turn.batches]) == ({"a"}, ["c"])
    assert await counts(store) == Counts(read=3, sent=1, discarded=1, waiting=1)
    assert await store.attempts("a") == []


async def test_the_plan_is_made_for_the_source_and_lane_as_they_are(store: Store) -> None:
    await with_batches(store, a_batch("a"), a_batch("b"))
    changed = await store.change_source("s1", lambda source: (source.but(paused_at=START_AT), ()))
    failing = await store.change_lane(changed.lane, lambda lane: lane.but(failures=3))
    seen = []

    def plan(source: Source, lane: Lane) -> tuple[Lane, int]:
        seen.append((source, lane))
        return lane, 0

    turn = await turned(store, plan=plan)
    assert seen[-1] == (turn.source, turn.lane) == (changed, failing)
    assert list(turn.batches) == []


async def test_what_the_plan_makes_of_the_lane_is_kept(store: Store) -> None:
    await with_batches(store, a_batch("a"))
    turn = await turned(store, plan=lambda _, lane: (lane.but(failures=lane.failures + 1), 1))
    assert (turn.lane.failures, turn.lane.revision) == (1, 1)
    turn = await turned(store, plan=lambda _, lane: (lane.but(failures=lane.failures + 1), 1))
    assert await store.lane(a_source().lane) == turn.lane
    assert (turn.lane.failures, turn.lane.revision) == (2, 2)


async def test_changes_of_a_lane_in_trips_at_the_same_time_all_count(store: Store) -> None:
    await with_batches(store)

    def plan(_: Source, lane: Lane) -> tuple[Lane, int]:
        return lane.but(failures=lane.failures + 1), 0

    await asyncio.gather(*(turned(store, plan=plan) for _ in range(10)))
    assert (await store.lane(a_source().lane)).failures == 10


async def test_what_the_plan_raises_goes_to_the_caller_and_nothing_has_happened(store: Store) -> None:
    await with_batches(store, a_batch("a"), a_batch("b"))
    a, _ = await leased(store)

    def refuse(_: Source, __: Lane) -> tuple[Lane, int]:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await turned(store, (a, DELIVERED), plan=refuse)
    assert await counts(store) == Counts(read=2, waiting=2)
    await store.settle(a, DELIVERED)


async def test_trips_at_the_same_time_hand_nothing_out_twice(store: Store) -> None:
    await with_batches(store, *(a_batch() for _ in range(30)))
    turns = await asyncio.gather(*(turned(store, plan=allow(4)) for _ in range(20)))
    ids = [batch.id for turn in turns for batch in turn.batches]
    assert len(ids) == len(set(ids)) == 30


async def test_an_ordered_source_gets_the_next_once_the_one_before_is_settled(store: Store) -> None:
    await with_batches(store, a_batch("a"), a_batch("b"))
    await store.change_source("s1", lambda source: (source.but(delivery=DeliveryOptions(ordered=True)), ()))
    (a,) = (await turned(store, plan=allow(3))).batches
    assert list((await turned(store, plan=allow(3))).batches) == []
    (b,) = (await turned(store, (a, DELIVERED), plan=allow(3))).batches
    assert (a.id, b.id) == ("a", "b")


async def test_of_a_source_that_is_gone_nothing_is_settled_or_leased(store: Store) -> None:
    await with_batches(store, a_batch("a"))
    (a,) = await leased(store)
    await store.remove_source("s1")
    with pytest.raises(NotFound):
        await turned(store, (a, DELIVERED), plan=allow(1))
    with pytest.raises(NotFound):
        await store.settle_and_lease("never", (), allow(1), lease_s=60.0)


async def test_a_body_that_is_at_hand_is_not_read(store: Store) -> None:
    near, far = a_batch("near", body=b"near"), a_batch("far", body=b"far")
    await with_batches(store, near, far)
    turn = await store.settle_and_lease("s1", (), allow(2), lease_s=60.0, held=lambda sha256: sha256 == near.sha256)
    assert [(batch.id, batch.body, batch.columns) for batch in turn.batches] == [
        ("near", b"", b""),
        ("far", b"far", b""),
    ]
    assert (await store.batch("near")).body == b"near"


# --------------------------------------------------------------------------------------------------------- list


async def test_an_unknown_batch_is_not_found(store: Store) -> None:
    for call in (store.batch("x"), store.retry_batch("x"), store.discard_batch("x")):
        with pytest.raises(NotFound):
            await call


async def test_batches_are_listed_newest_first_without_bodies(store: Store) -> None:
    await with_batches(store, a_batch("a"), a_batch("b"), a_batch("c"))
    listed = await store.batches(BatchQuery())
    assert [batch.id for batch in listed] == ["c", "b", "a"]
    assert {(batch.body, batch.columns) for batch in listed} == {(b"", b"")}


async def test_a_page_begins_where_the_last_one_ended(store: Store) -> None:
    await with_batches(store, *(a_batch(name) for name in "abcde"))
    page = await store.batches(BatchQuery(limit=2))
    rest = await store.batches(BatchQuery(before=page[-1].num))
    assert [batch.id for batch in (*page, *rest)] == list("edcba")


async def test_batches_are_listed_by_source_and_states(store: Store) -> None:
    await with_batches(store, *(a_batch(name) for name in "abcd"))
    await store.add_source(a_source("s2"))
    await freeze(store, a_batch("other"), source_id="s2")
    a, b, _, _ = await leased(store)
    await store.settle(a, DELIVERED)
    await store.settle(b, DEAD)

    async def ids(**query: object) -> list[str]:
        return [batch.id for batch in await store.batches(BatchQuery().but(**query))]

    assert await ids(source_id="s1") == ["d", "c", "b", "a"]
    assert await ids(states=[BatchState.DEAD]) == ["b"]
    assert await ids(states=[BatchState.DEAD, BatchState.WAITING], limit=3) == ["other", "d", "c"]
    assert await ids(source_id="s1", states=[BatchState.DEAD, BatchState.DELIVERED]) == ["b", "a"]
    assert await ids(source_id="nobody") == []


async def test_batches_are_listed_by_when_they_were_frozen(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a"))
    for name in "bcd":
        clock.advance(60)
        await freeze(store, a_batch(name))

    async def ids(**query: object) -> list[str]:
        return [batch.id for batch in await store.batches(BatchQuery().but(**query))]

    assert await ids(frozen_from_at=START_AT + 60, frozen_to_at=START_AT + 180) == ["c", "b"]
    assert await ids(frozen_to_at=START_AT + 60, source_id="s1") == ["a"]
    assert await ids(frozen_from_at=START_AT + 1, limit=1) == ["d"]


async def test_batches_are_counted_whatever_the_page(store: Store) -> None:
    await with_batches(store, *(a_batch(name) for name in "abcd"))
    await store.add_source(a_source("s2"))
    await freeze(store, a_batch("other"), source_id="s2")
    first, *_ = await leased(store)
    await store.settle(first, DEAD)
    assert await store.batch_count(BatchQuery(limit=1, before=1)) == 5
    assert await store.batch_count(BatchQuery(source_id="s1", states=[BatchState.WAITING])) == 3
    assert await store.batch_count(BatchQuery(states=[BatchState.DEAD])) == 1
    assert await store.batch_count(BatchQuery(frozen_from_at=START_AT + 1)) == 0
    assert await store.batch_count(BatchQuery(source_id="nobody")) == 0


async def test_dead_letters_are_grouped_by_source_and_by_how_they_ended(store: Store, clock: FakeClock) -> None:
    await with_batches(store, *(a_batch(name, count=2) for name in "abcd"))
    await store.add_source(a_source("s2"))
    await freeze(store, a_batch("other", count=5), source_id="s2")
    for number, batch in enumerate([*await leased(store), *await store.lease_batches("s2", limit=1, lease_s=60.0)]):
        refused = an_attempt(outcome="refused", status=422).but(error="HTTP 422")
        clock.advance(10)
        await store.settle(batch, DEAD if number else Settlement(state=BatchState.DEAD, attempt=refused))
    await store.retry_batch("d")

    groups = await store.dead_groups(limit=10)
    assert groups[0] == DeadGroup(
        source_id="s1",
        outcome="transient",
        error="HTTP 500",
        batches=2,
        events=4,
        first_at=START_AT + 20,
        last_at=START_AT + 30,
    )
    assert [(each.source_id, each.error, each.batches) for each in groups[1:]] == [
        ("s2", "HTTP 500", 1),
        ("s1", "HTTP 422", 1),
    ]
    assert await store.dead_groups(limit=1) == groups[:1]
    one = BatchQuery(source_id="s1", ended=("transient", "HTTP 500"))
    assert [batch.id for batch in await store.batches(one)] == ["c", "b"]
    assert await store.batch_count(one) == 2
    assert [batch.id for batch in await store.batches(one.but(source_id=None))] == ["other", "c", "b"]


async def test_of_removed_sources_no_dead_letter_is_listed_or_counted(store: Store) -> None:
    await with_batches(store, a_batch("a"))
    (batch,) = await leased(store)
    await store.settle(batch, DEAD)
    await store.remove_source("s1")
    assert await store.dead_groups(limit=10) == []
    assert await store.batch_count(BatchQuery(states=[BatchState.DEAD])) == 0


async def test_children_are_found_by_their_parent(store: Store) -> None:
    await with_batches(store, a_batch("whole", count=2))
    (batch,) = await leased(store)
    halves = [a_batch(name, parent="whole") for name in ("left", "right")]
    await store.settle(batch, settled_as(BatchState.SPLIT, children=halves))
    assert [(child.id, child.parent, child.body) for child in await store.children("whole")] == [
        ("left", "whole", b""),
        ("right", "whole", b""),
    ]
    assert await store.children("left") == []


# --------------------------------------------------------------------------------------------- retry and discard


async def test_a_retried_dead_letter_waits_again_under_its_id_with_a_new_count(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a", count=3))
    (batch,) = await leased(store)
    await store.settle(batch, settled_as(BatchState.DEAD, refusals=3, held_mark_s=5.0))
    retried = await store.retry_batch("a")
    assert (retried.state, retried.attempts, retried.refusals) == (BatchState.WAITING, 0, 0)
    assert (retried.first_attempt_at, retried.settled_at, retried.due_at) == (None, None, clock.now())
    assert await counts(store) == Counts(read=3, waiting=3)
    totals = await store.totals("s1")
    assert (totals.dead_batches, totals.dead_bytes, totals.waiting_batches) == (0, 0, 1)
    (again,) = await leased(store)
    assert (again.id, again.body) == ("a", batch.body)
    assert len(await store.attempts("a")) == 1


async def test_a_retried_waiting_batch_is_due_at_once(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("a"))
    (batch,) = await leased(store)
    await store.settle(batch, again(clock.now() + 900))
    await store.retry_batch("a")
    assert [each.id for each in await leased(store)] == ["a"]


async def test_retrying_a_batch_in_flight_does_not_send_it_twice(store: Store) -> None:
    await with_batches(store, a_batch("a"))
    (batch,) = await leased(store)
    await store.retry_batch("a")
    assert await leased(store) == []
    await store.settle(batch, DELIVERED)


async def test_a_discarded_batch_is_counted_and_never_sent(store: Store) -> None:
    await with_batches(store, a_batch("a", count=3), a_batch("b", count=2))
    (batch,) = await leased(store, limit=1)
    await store.settle(batch, DEAD)
    for name in ("a", "b"):
        assert (await store.discard_batch(name)).state is BatchState.DISCARDED
    assert await counts(store) == Counts(read=5, discarded=5)
    assert await leased(store) == []
    totals = await store.totals("s1")
    assert (totals.waiting_bytes, totals.dead_bytes) == (0, 0)


async def test_a_batch_discarded_in_flight_stays_discarded(store: Store) -> None:
    await with_batches(store, a_batch("a"))
    (batch,) = await leased(store)
    await store.discard_batch("a")
    with pytest.raises(LeaseLost):
        await store.settle(batch, DELIVERED)
    assert await counts(store) == Counts(read=1, discarded=1)


async def test_what_has_ended_is_neither_retried_nor_discarded(store: Store) -> None:
    await with_batches(store, a_batch("sent"), a_batch("split"), a_batch("gone"))
    sent, split, _ = await leased(store)
    await store.settle(sent, DELIVERED)
    await store.settle(split, settled_as(BatchState.SPLIT, children=[a_batch(parent="split")]))
    await store.discard_batch("gone")
    for name in ("sent", "split", "gone"):
        with pytest.raises(Conflict):
            await store.retry_batch(name)
        with pytest.raises(Conflict):
            await store.discard_batch(name)


async def test_a_notice_is_counted_nowhere_among_the_records(store: Store) -> None:
    await with_batches(store, a_batch("a", kind=BatchKind.NOTICE), a_batch("b", kind=BatchKind.NOTICE))
    batch, _ = await leased(store)
    await store.settle(batch, DEAD)
    await store.retry_batch("a")
    await store.discard_batch("a")
    await store.discard_batch("b")
    assert await counts(store) == Counts()


# -------------------------------------------------------------------------------------------------------- lanes


async def test_a_lane_that_never_failed_is_a_closed_new_one(store: Store) -> None:
    assert await store.lane("https://example.com") == Lane(key="https://example.com")


async def test_a_changed_lane_is_kept_and_its_revision_grows(store: Store) -> None:
    condition = Condition(state="delivery_failing", reason="HTTP 500", since_at=START_AT)
    changed = await store.change_lane("x", lambda lane: lane.but(open=True, condition=condition))
    assert (changed.open, changed.condition, changed.revision) == (True, condition, 1)
    assert await store.lane("x") == changed
    assert not (await store.lane("y")).open


async def test_returning_the_very_same_lane_writes_nothing(store: Store) -> None:
    assert (await store.change_lane("x", lambda lane: lane)).revision == 0


async def test_what_changing_a_lane_raises_goes_to_the_caller(store: Store) -> None:
    def refuse(_: Lane) -> Lane:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await store.change_lane("x", refuse)
    assert (await store.lane("x")).revision == 0


async def test_changes_of_a_lane_at_the_same_time_all_count(store: Store) -> None:
    def count(lane: Lane) -> Lane:
        return lane.but(failures=lane.failures + 1)

    await asyncio.gather(*(store.change_lane("x", count) for _ in range(20)))
    assert (await store.lane("x")).failures == 20
