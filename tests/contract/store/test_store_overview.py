"""`store.samples.Overview`."""

from support.clock import START_AT, FakeClock
from support.store_values import DAY_S, DELIVERED, a_batch, a_source, a_unit, freeze, with_batches
from trailhook.model import Counts
from trailhook.store.base import Store
from trailhook.store.samples import HOUR_S, MINUTE_S


async def reads(store: Store, count: int, source_id: str = "s1") -> None:
    await freeze(store, a_batch(count=count), source_id=source_id)


async def read_by(store: Store, *, since_at: float = 0.0, step_s: int = MINUTE_S) -> list[int]:
    found = await store.samples(["s1"], step_s=step_s, since_at=since_at)
    return [each.counts.read for each in found["s1"]]


async def test_totals_of_several_are_those_of_each(store: Store) -> None:
    await with_batches(store, a_batch(count=3, at=START_AT - 50), a_batch(count=2))
    await store.add_source(a_source("s2"))
    await store.add_units("s2", [a_unit("a")])
    await store.add_source(a_source("idle"))
    both = await store.totals_of(["s1", "s2", "idle", "nobody"])
    assert both == {name: await store.totals(name) for name in ("s1", "s2", "idle")}
    assert await store.totals_of([]) == {}


async def test_counts_of_all_sources_are_added_up(store: Store) -> None:
    assert await store.sum_of_counts() == Counts()
    await with_batches(store, a_batch(count=3))
    (batch,) = await store.lease_batches("s1", limit=1, lease_s=60.0)
    await store.settle(batch, DELIVERED)
    await store.add_source(a_source("s2"))
    await reads(store, 4, "s2")
    assert await store.sum_of_counts() == Counts(read=7, sent=3, waiting=4)
    await store.remove_source("s2")
    assert await store.sum_of_counts() == Counts(read=3, sent=3)


async def test_lanes_of_several_are_those_of_each(store: Store) -> None:
    await store.change_lane("broken", lambda lane: lane.but(open=True, failures=3))
    lanes = await store.lanes(["broken", "new"])
    assert lanes == {name: await store.lane(name) for name in ("broken", "new")}


async def test_the_first_sample_of_a_minute_counts(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch(count=3))
    assert await store.sample() == 1
    await reads(store, 4)
    assert await store.sample() == 0
    clock.advance(MINUTE_S)
    assert await store.sample() == 1
    assert await read_by(store) == [3, 7]
    assert await read_by(store, step_s=HOUR_S) == [3]


async def test_counts_that_do_not_change_are_sampled_once_a_day(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch(count=3))
    kept = [await store.sample()]
    for _ in range(4):
        clock.advance(DAY_S / 4)
        kept.append(await store.sample())
    assert kept == [1, 0, 0, 0, 1]


async def test_samples_are_led_by_the_last_one_before(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    for count in (1, 2, 3, 4):
        await reads(store, count)
        await store.sample()
        clock.advance(10 * MINUTE_S)
    assert await read_by(store, since_at=START_AT + 10 * MINUTE_S) == [1, 3, 6, 10]
    assert await read_by(store, since_at=START_AT + 15 * MINUTE_S) == [3, 6, 10]
    assert await read_by(store, since_at=START_AT + 60 * MINUTE_S) == [10]


async def test_a_source_without_samples_or_one_that_is_gone_has_none(store: Store) -> None:
    await store.add_source(a_source())
    assert await store.samples(["s1", "gone"], step_s=MINUTE_S, since_at=0.0) == {"s1": [], "gone": []}


async def test_minutes_are_kept_for_a_day_and_hours_as_long_as_the_log(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch())
    await store.sample()
    clock.advance(1.5 * DAY_S)
    await reads(store, 1)
    await store.sample()
    assert (await read_by(store), await read_by(store, step_s=HOUR_S)) == ([2], [1, 2])
    clock.advance(29 * DAY_S)
    await reads(store, 1)
    await store.sample()
    assert await read_by(store, step_s=HOUR_S) == [2, 3]


async def test_a_source_added_again_begins_without_samples(store: Store) -> None:
    await with_batches(store, a_batch(count=3))
    await store.sample()
    await store.remove_source("s1")
    await store.add_source(a_source())
    assert await read_by(store) == []
    assert await store.sample() == 1
    assert await read_by(store) == [0]
