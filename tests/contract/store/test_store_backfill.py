"""Units that wait for a backfill, on every engine: out of the way of all others, and never twice."""

from support.clock import START_AT, FakeClock
from support.store_values import (
    DELIVERED,
    INTAKE,
    PLENTY,
    a_batch,
    a_source,
    a_unit,
    done,
    freeze,
    leased_units,
    unreadable,
)
from trailhook.model import Unit
from trailhook.store.base import Commit, Store


async def leased_back(store: Store, limit: int = 10) -> list[Unit]:
    return list(await store.lease_units("s1", limit=limit, bytes_max=PLENTY, lease_s=60.0, backfill=True))


async def with_old_units(store: Store, *names: str) -> None:
    await store.add_source(a_source(next_fetch_at=START_AT + 100))
    await store.add_units("s1", [a_unit(name, labelled_at=START_AT - 1_000).but(backfill=True) for name in names])


async def test_what_a_backfill_found_is_leased_for_it_alone_oldest_first(store: Store) -> None:
    await with_old_units(store, "b", "a")
    assert await leased_units(store) == []
    assert INTAKE not in await store.due()
    found = await leased_back(store)
    assert [(unit.name, unit.backfill) for unit in found] == [("a", True), ("b", True)]
    assert await leased_back(store) == []


async def test_nothing_is_leased_for_a_backfill_while_any_other_unit_is_due(store: Store, clock: FakeClock) -> None:
    await with_old_units(store, "old")
    await store.add_units("s1", [a_unit("new")])
    assert INTAKE in await store.due()
    assert await leased_back(store) == []
    (new,) = await leased_units(store)
    assert (new.name, new.backfill) == ("new", False)
    assert [unit.name for unit in await leased_back(store)] == ["old"], "a unit that is held is not due"
    clock.advance(61)
    assert await leased_back(store) == []


async def test_the_units_of_another_source_hold_up_no_backfill(store: Store) -> None:
    await with_old_units(store, "old")
    await store.add_source(a_source("s2"))
    await store.add_units("s2", [a_unit("new")])
    assert len(await leased_back(store)) == 1


async def test_what_is_left_of_a_backfill_is_counted(store: Store) -> None:
    await with_old_units(store, "a", "b", "c")
    await store.add_units("s1", [a_unit("new")])
    assert await store.backfill_left("s1") == 3
    (new,) = await leased_units(store)
    await store.commit(Commit(source_id="s1", token=new.token, units=[done(new)]))
    one, two, _ = await leased_back(store)
    await store.commit(Commit(source_id="s1", token=one.token, units=[done(one), unreadable(two)]))
    assert await store.backfill_left("s1") == 1
    assert (await store.totals("s1")).units == {"waiting": 1, "done": 2, "quarantined": 1}
    assert await store.backfill_left("unheard of") == 0


async def test_a_unit_that_is_found_as_it_came_waits_for_no_backfill_any_more(store: Store) -> None:
    await with_old_units(store, "a", "b")
    assert await store.add_units("s1", [a_unit("a", labelled_at=START_AT - 1_000)]) == 0
    assert [unit.name for unit in await leased_units(store)] == ["a"]
    assert [unit.name for unit in await leased_back(store)] == ["b"]


async def test_a_backfill_changes_nothing_about_what_is_known(store: Store) -> None:
    await store.add_source(a_source())
    await store.add_units("s1", [a_unit("a"), a_unit("b")])
    (unit, *_) = await leased_units(store, limit=1)
    await store.commit(Commit(source_id="s1", token=unit.token, units=[done(unit)]))
    assert await store.add_units("s1", [a_unit(name).but(backfill=True) for name in ("a", "b", "c")]) == 1
    assert await store.backfill_left("s1") == 1
    assert [each.name for each in await leased_units(store)] == ["b"]


async def test_a_unit_that_leaves_quarantine_waits_for_no_backfill(store: Store) -> None:
    await with_old_units(store, "a")
    (unit,) = await leased_back(store)
    await store.commit(Commit(source_id="s1", token=unit.token, units=[unreadable(unit)]))
    (entry,) = await store.quarantine("s1")
    await store.requeue_unit(entry.id)
    assert [each.name for each in await leased_units(store)] == ["a"]


async def test_the_lag_of_a_source_is_not_that_of_its_backfill(store: Store, clock: FakeClock) -> None:
    await with_old_units(store, "a")
    assert (await store.totals("s1")).oldest_waiting_at is None
    clock.advance(50)
    await freeze(store, a_batch("msg_old", at=START_AT - 1_000_000).but(backfill=True))
    assert (await store.totals("s1")).oldest_waiting_at == START_AT + 50
    assert (await store.batch("msg_old")).backfill
    (batch,) = await store.lease_batches("s1", limit=1, lease_s=60.0)
    await store.settle(batch, DELIVERED)
    await freeze(store, a_batch(at=START_AT - 10))
    assert (await store.totals("s1")).oldest_waiting_at == START_AT - 10


async def test_the_janitor_forgets_what_a_backfill_read_long_ago_like_any_other(store: Store, clock: FakeClock) -> None:
    await with_old_units(store, "a")
    (unit,) = await leased_back(store)
    await store.commit(Commit(source_id="s1", token=unit.token, units=[done(unit)]))
    assert await store.clean(steps=5) == 0
    clock.advance(40 * 86_400)
    assert await store.clean(steps=5) == 1
    assert await store.add_units("s1", [a_unit("a", labelled_at=START_AT - 1_000).but(backfill=True)]) == 1
