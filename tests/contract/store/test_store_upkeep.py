"""`store.base.Upkeep`, and what outlives a restart."""

import asyncio

import pytest

from support.clock import FakeClock
from support.store_values import (
    DAY_S,
    DEAD,
    DELIVERED,
    a_batch,
    a_source,
    a_unit,
    done,
    freeze,
    leased_units,
    settled_as,
    some_keys,
    unreadable,
    with_batches,
    with_units,
)
from support.stores import OpenStore
from trailhook.errors import NotFound
from trailhook.model import BatchState, Counts, Watermark
from trailhook.store.base import IDEMPOTENCY, Commit, Limits, Store
from trailhook.store.lists import BatchQuery


async def cleaned(store: Store) -> int:
    """Clean until nothing is left to do."""
    total = 0
    while gone := await store.clean(steps=5):
        total += gone
    return total


async def listed(store: Store) -> list[str]:
    return [batch.id for batch in await store.batches(BatchQuery())]


async def test_there_is_nothing_to_clean_at_first(store: Store) -> None:
    assert await store.clean() == 0
    await with_units(store, "a")
    await freeze(store, a_batch(), keys=some_keys(1, 5))
    assert await store.clean(steps=10) == 0


async def test_what_has_ended_is_forgotten_after_retention_and_the_counts_stay(store: Store, clock: FakeClock) -> None:
    await with_batches(store, *(a_batch(name) for name in ("sent", "split", "gone", "dead", "waits")))
    sent, split, _, dead, _ = await store.lease_batches("s1", limit=9, lease_s=60.0)
    await store.settle(sent, DELIVERED)
    await store.settle(split, settled_as(BatchState.SPLIT, children=[a_batch("child", parent="split")]))
    await store.discard_batch("gone")
    await store.settle(dead, DEAD)
    before = (await store.totals("s1")).counts
    clock.advance(30 * DAY_S - 1)
    assert await cleaned(store) == 0
    clock.advance(2)
    assert await cleaned(store) >= 3
    assert await listed(store) == ["child", "waits", "dead"]
    assert (await store.totals("s1")).counts == before
    with pytest.raises(NotFound):
        await store.attempts("sent")


async def test_a_key_is_forgotten_by_when_it_was_seen(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    await store.commit(Commit(source_id="s1", token=0, keys=some_keys(1, 3)))
    clock.advance(40 * DAY_S)
    await store.commit(Commit(source_id="s1", token=0, keys=some_keys(4, 3)))
    assert await cleaned(store) == 0
    clock.advance(7 * DAY_S)
    assert await cleaned(store) == 3
    assert await store.known_keys("s1", some_keys(1, 6)) == set(some_keys(4, 3))


async def test_a_key_that_was_met_again_is_remembered_from_then(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    await store.commit(Commit(source_id="s1", token=0, keys=some_keys(1, 3)))
    clock.advance(40 * DAY_S)
    await store.known_keys("s1", some_keys(1, 2))
    clock.advance(7 * DAY_S)
    assert await cleaned(store) == 1
    assert await store.known_keys("s1", some_keys(1, 3)) == set(some_keys(1, 2))


async def test_of_keys_that_came_together_those_met_again_are_remembered_longer(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    await store.commit(Commit(source_id="s1", token=0, keys=some_keys(0, 300)))
    clock.advance(20 * DAY_S)
    assert len(await store.known_keys("s1", some_keys(100, 150))) == 150
    clock.advance(20 * DAY_S)
    assert len(await store.known_keys("s1", some_keys(200, 150))) == 100
    clock.advance(7 * DAY_S)
    assert await cleaned(store) == 100
    assert await store.known_keys("s1", some_keys(0, 300)) == set(some_keys(100, 200))
    clock.advance(47 * DAY_S)
    assert await cleaned(store) == 200


async def test_a_key_met_again_by_many_at_once_is_one_key(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    await store.commit(Commit(source_id="s1", token=0, keys=some_keys(0, 200)))
    clock.advance(2 * DAY_S)
    met = [some_keys(start, 100) for start in (0, 50, 100, 50)]
    found = await asyncio.gather(*(store.known_keys("s1", each) for each in met))
    assert found == [set(each) for each in met]
    clock.advance(47 * DAY_S)
    assert await cleaned(store) == 200


async def test_a_large_ledger_is_cleaned_to_the_end(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    await store.commit(Commit(source_id="s1", token=0, keys=some_keys(0, 50_000)))
    clock.advance(20 * DAY_S)
    await store.commit(Commit(source_id="s1", token=0, keys=some_keys(50_000, 10)))
    clock.advance(27 * DAY_S)
    assert await cleaned(store) == 50_000
    assert len(await store.known_keys("s1", some_keys(49_990, 20))) == 10


@pytest.mark.parametrize("dead", [True, False])
async def test_no_key_is_forgotten_that_is_younger_than_a_batch_not_sent_yet(
    store: Store, clock: FakeClock, dead: bool
) -> None:
    await store.add_source(a_source())
    await freeze(store, a_batch("a"), keys=some_keys(1, 1))
    if dead:
        (batch,) = await store.lease_batches("s1", limit=1, lease_s=60.0)
        await store.settle(batch, DEAD)
    clock.advance(90 * DAY_S)
    assert await cleaned(store) == 0
    assert await store.known_keys("s1", some_keys(1, 1))


async def test_the_parts_of_a_batch_keep_the_keys_of_the_whole(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    await freeze(store, a_batch("a", count=2), keys=some_keys(1, 2))
    clock.advance(20 * DAY_S)
    (batch,) = await store.lease_batches("s1", limit=1, lease_s=60.0)
    await store.settle(batch, settled_as(BatchState.SPLIT, children=[a_batch("a1", count=2, parent="a")]))
    clock.advance(40 * DAY_S)
    await cleaned(store)
    assert len(await store.known_keys("s1", some_keys(1, 2))) == 2


async def test_one_batch_sent_at_last_lets_its_keys_go(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    await freeze(store, a_batch("a"), keys=some_keys(1, 1))
    clock.advance(90 * DAY_S)
    await cleaned(store)
    await store.discard_batch("a")
    assert await cleaned(store) == 1


# -------------------------------------------------------------------------------------------------------- units


async def finished(store: Store, clock: FakeClock, *names: str) -> None:
    """The source `s1` with units that are done, and one that is ignored, waits or cannot be read."""
    units = await with_units(store, *names, "unreadable")
    ends = [unreadable(unit) if unit.name == "unreadable" else done(unit) for unit in units]
    await store.commit(Commit(source_id="s1", token=units[0].token, units=ends))
    await store.add_units("s1", [a_unit("waits"), a_unit("digest", ignored="digest")])


async def test_units_are_forgotten_outside_the_windows_and_only_when_they_have_ended(
    store: Store, clock: FakeClock
) -> None:
    await finished(store, clock, "a")
    again = [a_unit(name) for name in ("a", "digest", "waits", "unreadable")]
    clock.advance(30 * DAY_S - 1)
    assert await cleaned(store) == 0
    clock.advance(2)
    assert await cleaned(store) == 2
    assert await store.add_units("s1", again) == 2
    assert [unit.name for unit in await leased_units(store)] == ["a", "digest", "waits"]


async def test_what_was_found_late_is_remembered_from_when_it_was_found(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    backfilled = a_unit("old", labelled_at=clock.now() - 400 * DAY_S, ignored="too_old")
    await store.add_units("s1", [backfilled])
    clock.advance(29 * DAY_S)
    assert await cleaned(store) == 0
    clock.advance(2 * DAY_S)
    assert await cleaned(store) == 1


async def test_a_prefix_that_was_not_listed_for_long_keeps_what_it_will_see_again(
    store: Store, clock: FakeClock
) -> None:
    await store.add_source(a_source())
    mark = Watermark(intake="s3", place="bucket", prefix="quiet/", mark_at=clock.now())
    found = [
        a_unit("quiet/last", ignored="digest"),
        a_unit("quiet/before", labelled_at=clock.now() - 2 * DAY_S, ignored="digest"),
        a_unit("lively/x", ignored="digest"),
    ]
    lively = mark.but(prefix="lively/", mark_at=clock.now() + 60 * DAY_S)
    await store.add_units("s1", found, [mark, lively])
    clock.advance(60 * DAY_S)
    assert await cleaned(store) == 2
    assert await store.add_units("s1", found) == 2


async def test_what_has_no_label_is_remembered_by_when_it_was_written(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    mark = Watermark(intake="s3", place="bucket", prefix="quiet/", mark_at=clock.now())
    note = a_unit("quiet/note", ignored="unknown").but(labelled_at=0.0)
    older = a_unit("quiet/older", labelled_at=clock.now() - 2 * DAY_S, ignored="unknown").but(labelled_at=0.0)
    await store.add_units("s1", [note, older], [mark])
    clock.advance(60 * DAY_S)
    assert await cleaned(store) == 1
    assert await store.add_units("s1", [note, older]) == 1


# ----------------------------------------------------------------------------------------------------- documents


async def test_idempotency_documents_are_forgotten_after_a_day_and_others_never(store: Store, clock: FakeClock) -> None:
    await store.change_document(IDEMPOTENCY, "old", lambda _: b"x")
    await store.change_document("token", "old", lambda _: b"x")
    clock.advance(DAY_S / 2)
    await store.change_document(IDEMPOTENCY, "new", lambda _: b"x")
    clock.advance(DAY_S / 2 + 1)
    assert await cleaned(store) == 1
    assert list(await store.documents(IDEMPOTENCY)) == ["new"]
    assert list(await store.documents("token")) == ["old"]


# -------------------------------------------------------------------------------------------------------- steps


async def test_a_step_is_bounded_and_more_steps_do_more(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    await store.add_units("s1", [a_unit(f"{number:05}", ignored="digest") for number in range(5_000)])
    clock.advance(40 * DAY_S)
    one = await store.clean(steps=1)
    assert 0 < one < 5_000
    assert one + await cleaned(store) == 5_000


async def test_a_store_that_answers_is_ready(store: Store) -> None:
    await store.check()  # raises nothing


async def test_everything_is_there_after_a_restart(open_store: OpenStore, clock: FakeClock) -> None:
    async with open_store() as store:
        (unit,) = await with_units(store, "a")
        batch = a_batch("msg_a", count=2)
        commit = Commit(
            source_id="s1",
            token=unit.token,
            keys=some_keys(1, 2),
            batches=[batch],
            units=[done(unit)],
            counts=Counts(read=2),
        )
        await store.commit(commit)
        source, totals = await store.source("s1"), await store.totals("s1")
    async with open_store() as store:
        assert await store.source("s1") == source
        assert await store.totals("s1") == totals
        assert await store.known_keys("s1", some_keys(1, 3)) == set(some_keys(1, 2))
        assert (await store.batch("msg_a")).body == batch.body


async def test_the_log_of_a_removed_source_is_kept_until_retention_ends(store: Store, clock: FakeClock) -> None:
    await with_batches(store, a_batch("sent"))
    (batch,) = await store.lease_batches("s1", limit=1, lease_s=60.0)
    await store.settle(batch, DELIVERED)
    await store.remove_source("s1")
    await cleaned(store)
    assert await listed(store) == ["sent"]
    clock.advance(31 * DAY_S)
    await cleaned(store)
    assert await listed(store) == []


async def test_retention_is_what_the_limits_say(open_store: OpenStore, clock: FakeClock) -> None:
    async with open_store(Limits(retention_days=2)) as store:
        await with_batches(store, a_batch("a"))
        await store.discard_batch("a")
        clock.advance(3 * DAY_S)
        assert await store.clean() > 0
        assert await listed(store) == []
