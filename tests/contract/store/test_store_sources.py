"""`store.base.Sources`."""

import asyncio
from collections.abc import Sequence

import pytest

from support.clock import START_AT, FakeClock
from support.store_values import (
    DAY_S,
    DEAD,
    DELIVER,
    DELIVERED,
    INTAKE,
    POLL,
    a_batch,
    a_source,
    a_unit,
    done,
    freeze,
    leased_units,
    settled_as,
    some_keys,
    with_batches,
    with_units,
)
from trailhook.errors import Conflict, LeaseLost, NotFound
from trailhook.model import BatchKind, BatchState, Condition, Counts, Job, NewBatch, Source, Untold, Watermark
from trailhook.store.base import Commit, Store
from trailhook.store.lists import BatchQuery

LISTEN, NOTIFY = Job(kind="listen", source_id="s1"), Job(kind="notify", source_id="s1")


async def test_a_source_comes_back_as_it_was_added(store: Store) -> None:
    source = a_source()
    assert await store.add_source(source) == source
    assert await store.source("s1") == source


async def test_an_id_is_taken_once(store: Store) -> None:
    await store.add_source(a_source())
    with pytest.raises(Conflict):
        await store.add_source(a_source())


async def test_sources_come_oldest_first(store: Store) -> None:
    for name, age_s in (("b", 20.0), ("c", 10.0), ("a", 30.0)):
        await store.add_source(a_source(name).but(created_at=START_AT - age_s))
    assert [each.id for each in await store.sources()] == ["a", "b", "c"]


async def test_what_is_not_there_is_not_found(store: Store) -> None:
    for call in (store.source("x"), store.totals("x"), store.remove_source("x"), store.add_units("x", [])):
        with pytest.raises(NotFound):
            await call
    with pytest.raises(NotFound):
        await store.change_source("x", lambda source: (source, ()))


# ------------------------------------------------------------------------------------------------------- change


async def test_a_change_is_kept_and_the_revision_grows_by_one(store: Store) -> None:
    await store.add_source(a_source())
    changed = await store.change_source("s1", lambda source: (source.but(name="new"), ()))
    assert (changed.name, changed.revision) == ("new", 1)
    assert await store.source("s1") == changed


async def test_changes_at_the_same_time_all_count(store: Store) -> None:
    await store.add_source(a_source())

    def count(source: Source) -> tuple[Source, Sequence[NewBatch]]:
        return source.but(failures=source.failures + 1), ()

    await asyncio.gather(*(store.change_source("s1", count) for _ in range(20)))
    source = await store.source("s1")
    assert (source.failures, source.revision) == (20, 20)


async def test_returning_the_very_same_source_writes_nothing(store: Store) -> None:
    await store.add_source(a_source())
    assert (await store.change_source("s1", lambda source: (source, ()))).revision == 0


async def test_notices_wait_with_the_change_and_are_counted_among_no_records(store: Store) -> None:
    await store.add_source(a_source())
    notice = a_batch("msg_notice", kind=BatchKind.NOTICE, count=1)
    await store.change_source("s1", lambda source: (source.but(announced_fetch="access_denied"), [notice]))
    (leased,) = await store.lease_batches("s1", limit=5, lease_s=60.0)
    assert (leased.id, leased.kind) == ("msg_notice", BatchKind.NOTICE)
    await store.settle(leased, DELIVERED)
    totals = await store.totals("s1")
    assert (totals.counts, totals.waiting_batches) == (Counts(), 0)


async def test_what_change_raises_leaves_source_and_notices_alone(store: Store) -> None:
    await store.add_source(a_source())

    def refuse(_: Source) -> tuple[Source, Sequence[NewBatch]]:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await store.change_source("s1", refuse)
    assert (await store.source("s1")).revision == 0


# ------------------------------------------------------------------------------------------------------- remove


async def test_removal_says_what_went(store: Store) -> None:
    units = await with_units(store, "a", "b", "c")
    sent, dead = a_batch(count=2, at=START_AT - 50), a_batch(count=3, at=START_AT - 40)
    await store.commit(Commit(source_id="s1", token=units[0].token, batches=[sent, dead], units=[done(units[0])]))
    for batch, end in zip(await store.lease_batches("s1", limit=2, lease_s=60.0), (DELIVERED, DEAD), strict=True):
        await store.settle(batch, end)
    await freeze(store, a_batch(count=5))
    removed = await store.remove_source("s1")
    assert (removed.waiting, removed.dead_lettered, removed.units) == (5, 3, 2)
    assert removed.last_event_at == START_AT - 50


async def test_a_removed_source_is_gone_with_all_that_was_to_be_done(store: Store) -> None:
    await with_units(store, "a")
    await freeze(store, a_batch("msg_waiting"), keys=some_keys(1, 1))
    await store.add_units("s1", [], [Watermark(intake="s3", place="bucket", prefix="p/", mark_at=START_AT)])
    await store.remove_source("s1")
    assert await store.sources() == []
    assert await store.due() == []
    assert await store.watermarks("s1") == []
    assert await store.known_keys("s1", some_keys(1, 1)) == set()
    assert await leased_units(store) == []
    assert await store.lease_batches("s1", limit=1, lease_s=60.0) == []
    with pytest.raises(NotFound):
        await store.source("s1")
    with pytest.raises(NotFound):
        await store.batch("msg_waiting")
    with pytest.raises(NotFound):
        await store.change_source("s1", lambda source: (source, ()))


async def test_what_was_in_flight_at_the_removal_can_settle_nothing(store: Store) -> None:
    units = await with_units(store, "a")
    await freeze(store, a_batch())
    (batch,) = await store.lease_batches("s1", limit=1, lease_s=60.0)
    await store.remove_source("s1")
    with pytest.raises(LeaseLost):
        await store.settle(batch, DELIVERED)
    with pytest.raises(NotFound):
        await store.commit(Commit(source_id="s1", token=units[0].token, units=[done(units[0])]))
    await store.postpone_units("s1", units[0].token, [units[0].id], due_at=0.0, detail="", attempt=True)
    assert await store.quarantine("s1") == []


async def test_delivered_batches_stay_in_the_log_after_a_removal(store: Store) -> None:
    await with_batches(store, a_batch("msg_sent", body=b"kept"))
    (batch,) = await store.lease_batches("s1", limit=1, lease_s=60.0)
    await store.settle(batch, DELIVERED)
    await store.remove_source("s1")
    assert (await store.batch("msg_sent")).body == b"kept"
    assert [each.source_id for each in await store.batches(BatchQuery(source_id="s1"))] == ["s1"]


async def test_a_source_added_again_begins_anew(store: Store) -> None:
    await with_batches(store, a_batch(count=4))
    await store.remove_source("s1")
    await store.add_source(a_source())
    assert (await store.totals("s1")).counts == Counts()


async def test_removing_one_source_leaves_the_others_alone(store: Store) -> None:
    await with_units(store, "a")
    await store.add_source(a_source("s2"))
    await store.add_units("s2", [a_unit("a")])
    await freeze(store, a_batch(count=2), source_id="s2", keys=some_keys(1, 2))
    await store.remove_source("s1")
    totals = await store.totals("s2")
    assert (totals.counts.waiting, totals.units) == (2, {"waiting": 1})
    assert await store.known_keys("s2", some_keys(1, 2)) == set(some_keys(1, 2))


# ------------------------------------------------------------------------------------------------------- totals


async def test_the_outbox_is_counted_in_batches_and_stored_bytes(store: Store) -> None:
    await with_batches(store, a_batch(body=b"12345", count=2), a_batch(body=b"123", count=1))
    totals = await store.totals("s1")
    assert (totals.waiting_batches, totals.waiting_bytes, totals.counts.waiting) == (2, 8, 3)


async def test_dead_letters_are_counted_in_batches_and_stored_bytes(store: Store) -> None:
    await with_batches(store, a_batch(body=b"12345", count=2))
    (batch,) = await store.lease_batches("s1", limit=1, lease_s=60.0)
    await store.settle(batch, DEAD)
    totals = await store.totals("s1")
    assert (totals.dead_batches, totals.dead_bytes, totals.waiting_bytes) == (1, 5, 0)
    assert totals.counts.dead_lettered == 2


async def test_the_oldest_waiting_is_the_oldest_unsent_event_or_unread_unit(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    assert (await store.totals("s1")).oldest_waiting_at is None
    await store.add_units("s1", [a_unit("a")])
    assert (await store.totals("s1")).oldest_waiting_at == clock.now()
    await freeze(store, a_batch(at=clock.now() - 500), a_batch(at=clock.now() - 300), a_batch(at=0.0))
    assert (await store.totals("s1")).oldest_waiting_at == clock.now() - 500
    for batch in await store.lease_batches("s1", limit=3, lease_s=60.0):
        await store.settle(batch, DELIVERED)
    (unit,) = await leased_units(store)
    assert (await store.totals("s1")).oldest_waiting_at == clock.now()
    await store.commit(Commit(source_id="s1", token=unit.token, units=[done(unit)]))
    assert (await store.totals("s1")).oldest_waiting_at is None


async def test_the_newest_event_read_is_remembered(store: Store) -> None:
    await store.add_source(a_source())
    for at in (START_AT, START_AT - 100, None):
        await store.commit(Commit(source_id="s1", token=0, last_event_at=at))
    assert (await store.totals("s1")).last_event_at == START_AT


# ---------------------------------------------------------------------------------------------------------- due


async def test_a_source_is_due_for_what_there_is_to_do(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source(next_fetch_at=clock.now() + 10))
    assert await store.due() == []
    await store.add_units("s1", [a_unit("a")])
    assert await store.due() == [INTAKE]
    await freeze(store, a_batch())
    assert list(await store.due()) == [INTAKE, DELIVER]
    clock.advance(10)
    assert list(await store.due()) == [POLL, INTAKE, DELIVER]


async def test_what_is_leased_makes_nothing_due_until_the_lease_ends(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source(next_fetch_at=clock.now() + 1_000))
    await store.add_units("s1", [a_unit("a")])
    await freeze(store, a_batch())
    await leased_units(store, lease_s=30.0)
    await store.lease_batches("s1", limit=1, lease_s=40.0)
    assert await store.due() == []
    clock.advance(31)
    assert await store.due() == [INTAKE]
    clock.advance(10)
    assert list(await store.due()) == [INTAKE, DELIVER]


async def test_what_is_not_due_yet_makes_nothing_due(store: Store, clock: FakeClock) -> None:
    await with_units(store, "a")
    await freeze(store, a_batch())
    await store.change_source("s1", lambda source: (source.but(next_fetch_at=clock.now() + 90), ()))
    (batch,) = await store.lease_batches("s1", limit=1, lease_s=60.0)
    await store.settle(batch, settled_as(BatchState.WAITING, due_at=clock.now() + 300))
    assert await store.due() == []


async def test_a_paused_source_is_never_due(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source(paused_at=clock.now()))
    await store.add_units("s1", [a_unit("a")])
    await freeze(store, a_batch())
    assert await store.due() == []
    await store.change_source("s1", lambda source: (source.but(paused_at=None), ()))
    assert list(await store.due()) == [POLL, INTAKE, DELIVER]


async def test_a_clock_that_jumped_back_puts_nothing_off_for_ever(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source(next_fetch_at=clock.now()))
    await store.add_units("s1", [a_unit("a")])
    await freeze(store, a_batch())
    assert await store.lease("poll:s1", 60.0) is not None
    clock.advance(-30 * DAY_S)
    assert list(await store.due()) == [POLL, INTAKE, DELIVER]
    assert len(await leased_units(store)) == 1
    assert len(await store.lease_batches("s1", limit=1, lease_s=60.0, ordered=True)) == 1
    assert await store.lease("poll:s1", 60.0) is not None


async def test_batches_whose_lane_waits_make_nothing_due_until_it_may_be_used(store: Store, clock: FakeClock) -> None:
    source = a_source(next_fetch_at=clock.now() + 1_000)
    await store.add_source(source)
    await freeze(store, a_batch())
    probe_at = clock.now() + 30
    await store.change_lane(source.lane, lambda lane: lane.but(open=True, probe_at=probe_at))
    assert await store.due() == []
    clock.advance(30)
    assert await store.due() == [DELIVER]
    await store.change_lane(source.lane, lambda lane: lane.but(open=False, not_before_at=probe_at + 60))
    assert await store.due() == []
    clock.advance(-30 * DAY_S)
    assert DELIVER in await store.due()


async def test_a_source_that_is_announced_to_is_listened_for_while_all_is_well(store: Store, clock: FakeClock) -> None:
    source = a_source(next_fetch_at=clock.now() + 1_000).but(intakes=("sqs", "s3"))
    await store.add_source(source)
    assert await store.due() == [LISTEN]
    denied = Condition(state="access_denied")
    troubles: list[dict[str, object]] = [{"failures": 1}, {"fetch": denied}, {"paused_at": clock.now()}]
    for trouble in troubles:
        after = source.but(**trouble)
        await store.change_source("s1", lambda _: (after, ()))  # noqa: B023 - it is called at once
        assert await store.due() == []
    await store.change_source("s1", lambda _: (source.but(intakes=("s3",)), ()))
    assert await store.due() == []


async def test_a_source_that_is_held_is_looked_at_for_delivery_though_nothing_waits(
    store: Store, clock: FakeClock
) -> None:
    await store.add_source(a_source(next_fetch_at=clock.now() + 1_000))
    hold = Condition(state="needs_attention")
    await store.change_source("s1", lambda source: (source.but(hold=hold), ()))
    assert await store.due() == [DELIVER]
    await freeze(store, a_batch())
    assert await store.due() == [DELIVER]
    await store.change_source("s1", lambda source: (source.but(paused_at=clock.now()), ()))
    assert await store.due() == []


async def test_notices_for_elsewhere_are_due_when_the_first_is_even_of_a_paused_source_and_go_with_it(
    store: Store, clock: FakeClock
) -> None:
    later, soon = (an_untold(number, due_at=clock.now() + wait_s) for number, wait_s in ((1, 60.0), (2, 30.0)))
    source = a_source(next_fetch_at=clock.now() + 1_000, paused_at=clock.now())
    await store.add_source(source.but(untold=(later, soon)))
    assert await store.due() == []
    clock.advance(30.0)
    assert await store.due() == [NOTIFY]
    await store.change_source("s1", lambda source: (source.but(untold=(later,)), ()))
    assert await store.due() == []
    clock.advance(-30 * DAY_S)
    assert await store.due() == [NOTIFY]
    await store.remove_source("s1")
    assert await store.due() == []


def an_untold(number: int, *, due_at: float) -> Untold:
    return Untold(id=f"n{number}", type="source.recovered", title="t", text="x", to=(1,), at=START_AT, due_at=due_at)
