"""`store.base.Units`: units, leases, watermarks, the ledger, the intake transaction."""

import asyncio

import pytest

from support.clock import START_AT, FakeClock
from support.store_values import (
    DAY_S,
    PLENTY,
    a_bad_record,
    a_batch,
    a_key,
    a_source,
    a_unit,
    done,
    leased_units,
    some_keys,
    unreadable,
    with_units,
)
from trailhook.errors import KeysTaken, LeaseLost, NotFound
from trailhook.model import Counts, Rhythm, UnitEnd, UnitState, Watermark
from trailhook.store.base import Commit, Store
from trailhook.store.lists import BatchQuery

HEARD = Rhythm(files=3, first_at=START_AT - 900, last_at=START_AT, pauses_s=(600.0, 300.0))
MARK = Watermark(intake="s3", place="bucket", prefix="p/", mark_at=START_AT, rhythm=HEARD)


async def counts(store: Store) -> Counts:
    return (await store.totals("s1")).counts


async def units(store: Store) -> dict[str, int]:
    return (await store.totals("s1")).units


# ---------------------------------------------------------------------------------------------------------- add


async def test_only_units_not_known_yet_are_new(store: Store) -> None:
    await store.add_source(a_source())
    assert await store.add_units("s1", [a_unit("a"), a_unit("b"), a_unit("a")]) == 2
    assert await store.add_units("s1", [a_unit("b"), a_unit("c")]) == 1
    assert await units(store) == {"waiting": 3}


async def test_an_object_written_again_is_another_unit(store: Store) -> None:
    await store.add_source(a_source())
    unit = a_unit("a")
    others = [unit.but(version="other"), unit.but(intake="sqs"), unit.but(place="elsewhere")]
    assert await store.add_units("s1", [unit, *others]) == 4
    assert await store.add_units("s1", [unit.but(size_bytes=7, modified_at=1.0)]) == 0


async def test_sources_know_their_units_apart(store: Store) -> None:
    for name in ("s1", "s2"):
        await store.add_source(a_source(name))
        assert await store.add_units(name, [a_unit("a")]) == 1


async def test_a_known_unit_is_not_new_once_it_is_done(store: Store) -> None:
    (unit,) = await with_units(store, "a")
    await store.commit(Commit(source_id="s1", token=unit.token, units=[done(unit)]))
    assert await store.add_units("s1", [a_unit("a")]) == 0
    assert await units(store) == {"done": 1}


async def test_an_ignored_key_is_known_and_counted_and_never_leased(store: Store) -> None:
    await store.add_source(a_source())
    found = [a_unit("a", ignored="digest"), a_unit("b", ignored="digest"), a_unit("c", ignored="unknown")]
    assert await store.add_units("s1", found) == 3
    assert await units(store) == {"ignored:digest": 2, "ignored:unknown": 1}
    assert await leased_units(store) == []


async def test_watermarks_are_set_with_the_units(store: Store) -> None:
    await store.add_source(a_source())
    other = MARK.but(prefix="q/", reconciled_at=7.0)
    await store.add_units("s1", [a_unit("a")], [MARK, other])
    await store.add_units("s1", [], [MARK.but(mark_at=START_AT + 5)])
    marks = sorted(await store.watermarks("s1"), key=lambda mark: mark.prefix)
    assert marks == [MARK.but(mark_at=START_AT + 5), other]


# -------------------------------------------------------------------------------------------------------- lease


async def test_a_leased_unit_is_all_that_was_found_and_more(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    found = a_unit("a").but(endpoint_url="https://minio.example", modified_at=START_AT - 3)
    await store.add_units("s1", [found])
    (unit,) = await leased_units(store)
    assert {name: getattr(unit, name) for name in found.__struct_fields__} == {
        name: getattr(found, name) for name in found.__struct_fields__
    }
    assert (unit.source_id, unit.state, unit.found_at, unit.attempts) == ("s1", UnitState.WAITING, clock.now(), 0)
    assert unit.token > 0


async def test_the_oldest_label_is_leased_first_then_by_name(store: Store) -> None:
    await store.add_source(a_source())
    found = [a_unit("c"), a_unit("a"), a_unit("z", labelled_at=START_AT - 60), a_unit("b")]
    await store.add_units("s1", found)
    assert [unit.name for unit in await leased_units(store, limit=3)] == ["z", "a", "b"]
    assert [unit.name for unit in await leased_units(store)] == ["c"]


async def test_one_lease_is_one_token_and_the_next_is_greater(store: Store) -> None:
    await store.add_source(a_source())
    await store.add_units("s1", [a_unit(name) for name in "abcd"])
    first, second = await leased_units(store, limit=2), await leased_units(store, limit=2)
    assert len({unit.token for unit in first}) == 1
    assert second[0].token > first[0].token


async def test_a_lease_stops_before_the_unit_that_is_too_much_but_hands_out_one(store: Store) -> None:
    await store.add_source(a_source())
    await store.add_units("s1", [a_unit(name, size_bytes=100) for name in "abcd"])

    async def lease(bytes_max: int) -> list[str]:
        leased = await store.lease_units("s1", limit=10, bytes_max=bytes_max, lease_s=60.0)
        return [unit.name for unit in leased]

    assert await lease(200) == ["a", "b"]
    assert await lease(50) == ["c"]


async def test_leasing_at_the_same_time_hands_nothing_out_twice(store: Store) -> None:
    await store.add_source(a_source())
    await store.add_units("s1", [a_unit(f"{number:03}") for number in range(50)])
    leases = await asyncio.gather(*(leased_units(store, limit=3) for _ in range(20)))
    names = [unit.name for lease in leases for unit in lease]
    assert len(names) == len(set(names)) == 50


async def test_a_lease_that_ended_may_be_taken_by_another_and_then_the_first_has_lost_it(
    store: Store, clock: FakeClock
) -> None:
    (mine,) = await with_units(store, "a")
    clock.advance(61)
    (theirs,) = await leased_units(store)
    assert theirs.token > mine.token
    with pytest.raises(LeaseLost):
        await store.commit(Commit(source_id="s1", token=mine.token, units=[done(mine)], counts=Counts(read=1)))
    assert (await counts(store)).read == 0
    await store.commit(Commit(source_id="s1", token=theirs.token, units=[done(theirs)]))


async def test_until_somebody_takes_it_an_ended_lease_may_still_be_used(store: Store, clock: FakeClock) -> None:
    (unit,) = await with_units(store, "a")
    clock.advance(600)
    await store.commit(Commit(source_id="s1", token=unit.token, units=[done(unit)]))
    assert await units(store) == {"done": 1}


# ----------------------------------------------------------------------------------------------------- postpone


async def test_postponed_units_come_again_when_due(store: Store, clock: FakeClock) -> None:
    leased = await with_units(store, "a", "b")
    ids = [unit.id for unit in leased]
    due_at = clock.now() + 30
    await store.postpone_units("s1", leased[0].token, ids, due_at=due_at, detail="SlowDown", attempt=True)
    assert await leased_units(store) == []
    clock.advance(30)
    again = await leased_units(store)
    assert [(unit.name, unit.attempts) for unit in again] == [("a", 1), ("b", 1)]


async def test_handing_back_without_an_attempt_counts_none(store: Store, clock: FakeClock) -> None:
    (unit,) = await with_units(store, "a")
    await store.postpone_units("s1", unit.token, [unit.id], due_at=clock.now(), detail="", attempt=False)
    (again,) = await leased_units(store)
    assert again.attempts == 0


async def test_postponing_what_another_holds_is_passed_over_in_silence(store: Store, clock: FakeClock) -> None:
    (mine,) = await with_units(store, "a")
    clock.advance(61)
    (theirs,) = await leased_units(store)
    await store.postpone_units("s1", mine.token, [mine.id], due_at=0.0, detail="", attempt=True)
    assert await leased_units(store) == []
    await store.commit(Commit(source_id="s1", token=theirs.token, units=[done(theirs)]))


async def test_a_postponed_unit_is_no_longer_held(store: Store, clock: FakeClock) -> None:
    (unit,) = await with_units(store, "a")
    await store.postpone_units("s1", unit.token, [unit.id], due_at=clock.now(), detail="", attempt=False)
    with pytest.raises(LeaseLost):
        await store.commit(Commit(source_id="s1", token=unit.token, units=[done(unit)]))


# ------------------------------------------------------------------------------------------------------- ledger


async def test_the_ledger_knows_what_was_committed(store: Store) -> None:
    await store.add_source(a_source())
    await store.commit(Commit(source_id="s1", token=0, keys=some_keys(10, 3)))
    assert await store.known_keys("s1", some_keys(11, 5)) == {a_key(11), a_key(12)}
    assert await store.known_keys("s1", []) == set()


async def test_each_source_has_a_ledger_of_its_own(store: Store) -> None:
    for name in ("s1", "s2"):
        await store.add_source(a_source(name))
    await store.commit(Commit(source_id="s1", token=0, keys=some_keys(1, 1)))
    assert await store.known_keys("s2", some_keys(1, 1)) == set()
    await store.commit(Commit(source_id="s2", token=0, keys=some_keys(1, 1)))


async def test_many_keys_are_looked_up_and_claimed_at_once(store: Store) -> None:
    await store.add_source(a_source())
    keys = some_keys(0, 20_000)
    await store.commit(Commit(source_id="s1", token=0, keys=keys[::2]))
    assert await store.known_keys("s1", keys) == set(keys[::2])


async def test_what_was_claimed_together_is_known_one_by_one_and_taken_one_by_one(store: Store) -> None:
    await store.add_source(a_source())
    await store.commit(Commit(source_id="s1", token=0, keys=some_keys(0, 200)))
    for each in (0, 63, 64, 199):
        assert await store.known_keys("s1", some_keys(each, 1)) == {a_key(each)}
        with pytest.raises(KeysTaken):
            await store.commit(Commit(source_id="s1", token=0, keys=some_keys(each, 1)))


# ------------------------------------------------------------------------------------------------------- commit


async def test_a_commit_keeps_keys_batches_ends_and_counts_together(store: Store) -> None:
    first, second = await with_units(store, "a", "b")
    await store.commit(
        Commit(
            source_id="s1",
            token=first.token,
            keys=some_keys(1, 5),
            batches=[a_batch("msg_a", count=3), a_batch("msg_b", count=2)],
            units=[done(first, 9), done(second, 1)],
            counts=Counts(read=10, filtered=2, duplicate=3),
            last_event_at=START_AT,
        )
    )
    assert await counts(store) == Counts(read=10, filtered=2, duplicate=3, waiting=5)
    assert (await counts(store)).balanced
    assert await units(store) == {"done": 2}
    leased = await store.lease_batches("s1", limit=5, lease_s=60.0)
    assert [batch.id for batch in leased] == ["msg_a", "msg_b"]


async def test_a_commit_with_a_known_key_keeps_nothing(store: Store) -> None:
    (unit,) = await with_units(store, "a")
    await store.commit(Commit(source_id="s1", token=unit.token, keys=some_keys(5, 1)))
    with pytest.raises(KeysTaken):
        await store.commit(
            Commit(
                source_id="s1",
                token=unit.token,
                keys=some_keys(3, 4),
                batches=[a_batch("msg_a")],
                units=[done(unit)],
                quarantined=[a_bad_record(unit)],
                counts=Counts(read=4),
            )
        )
    assert await store.known_keys("s1", some_keys(3, 4)) == {a_key(5)}
    assert await counts(store) == Counts()
    assert await units(store) == {"waiting": 1}
    assert await store.batches(BatchQuery()) == []
    assert await store.quarantine() == []
    await store.commit(Commit(source_id="s1", token=unit.token, keys=some_keys(3, 2), units=[done(unit)]))


async def test_a_known_key_in_the_middle_of_many_keeps_all_of_them_out(store: Store) -> None:
    await store.add_source(a_source())
    keys = some_keys(0, 25_000)
    await store.commit(Commit(source_id="s1", token=0, keys=keys[15_000:15_001]))
    with pytest.raises(KeysTaken):
        await store.commit(Commit(source_id="s1", token=0, keys=keys, batches=[a_batch(count=25_000)]))
    assert await store.known_keys("s1", keys) == {keys[15_000]}
    assert await store.batches(BatchQuery()) == []


async def test_a_commit_with_one_lost_unit_keeps_nothing(store: Store) -> None:
    first, second = await with_units(store, "a", "b")
    await store.postpone_units("s1", second.token, [second.id], due_at=START_AT, detail="", attempt=False)
    with pytest.raises(LeaseLost):
        await store.commit(
            Commit(source_id="s1", token=first.token, keys=some_keys(1, 1), units=[done(first), done(second)])
        )
    assert await units(store) == {"waiting": 2}
    assert await store.known_keys("s1", some_keys(1, 1)) == set()


async def test_a_unit_ends_once(store: Store) -> None:
    (unit,) = await with_units(store, "a")
    commit = Commit(source_id="s1", token=unit.token, units=[done(unit)], counts=Counts(read=1, filtered=1))
    await store.commit(commit)
    with pytest.raises(LeaseLost):
        await store.commit(commit)
    assert (await counts(store)).read == 1


async def test_of_two_who_claim_the_same_keys_one_wins(store: Store) -> None:
    await store.add_source(a_source())
    commits = [Commit(source_id="s1", token=0, keys=some_keys(1, 3), batches=[a_batch(count=3)]) for _ in range(8)]
    outcomes = await asyncio.gather(*(store.commit(each) for each in commits), return_exceptions=True)
    assert [type(each) for each in outcomes if each is not None] == [KeysTaken] * 7
    assert (await counts(store)).waiting == 3


async def test_a_large_unit_stays_leased_between_its_slices(store: Store, clock: FakeClock) -> None:
    (unit,) = await with_units(store, "a")
    half = UnitEnd(unit_id=unit.id, state=UnitState.WAITING, records_taken=20_000)
    await store.commit(Commit(source_id="s1", token=unit.token, units=[half]))
    assert await leased_units(store) == []
    await store.commit(Commit(source_id="s1", token=unit.token, units=[half.but(records_taken=40_000)]))
    clock.advance(61)
    (again,) = await leased_units(store)
    assert again.records_taken == 40_000
    assert await units(store) == {"waiting": 1}


async def test_a_unit_can_turn_out_to_be_no_log(store: Store) -> None:
    (unit,) = await with_units(store, "a")
    end = UnitEnd(unit_id=unit.id, state=UnitState.IGNORED, reason="digest")
    await store.commit(Commit(source_id="s1", token=unit.token, units=[end]))
    assert await units(store) == {"ignored:digest": 1}


# --------------------------------------------------------------------------------------------------- quarantine


async def test_an_unreadable_unit_is_quarantined_with_its_reason(store: Store, clock: FakeClock) -> None:
    (unit,) = await with_units(store, "a")
    await store.commit(Commit(source_id="s1", token=unit.token, units=[unreadable(unit)]))
    (entry,) = await store.quarantine()
    assert (entry.kind, entry.source_id, entry.place, entry.name) == ("unit", "s1", "bucket", "a")
    assert (entry.reason, entry.detail, entry.at, entry.position) == ("truncated", "ends at byte 7", clock.now(), None)
    assert (entry.id[:2], entry.unit_id) == ("u-", unit.id)
    assert await units(store) == {"quarantined": 1}
    assert await leased_units(store) == []


async def test_a_bad_record_is_kept_byte_for_byte_and_listed_without_its_bytes(store: Store) -> None:
    (unit,) = await with_units(store, "a")
    commit = Commit(
        source_id="s1",
        token=unit.token,
        units=[done(unit)],
        quarantined=[a_bad_record(unit, 4)],
        counts=Counts(read=1, quarantined=1),
    )
    await store.commit(commit)
    (entry,) = await store.quarantine("s1")
    assert (entry.kind, entry.position, entry.id[:2], entry.body) == ("record", 4, "r-", b"")
    assert await store.quarantined(entry.id) == entry.but(body=a_bad_record(unit).body)
    assert (await counts(store)).balanced


async def test_the_quarantine_is_paged_newest_first(store: Store) -> None:
    leased = await with_units(store, "a", "b", "c")
    for unit in leased:
        commit = Commit(source_id="s1", token=unit.token, units=[unreadable(unit)], quarantined=[a_bad_record(unit)])
        await store.commit(commit)
    await store.add_source(a_source("s2"))
    entries = await store.quarantine("s1", limit=4)
    rest = await store.quarantine("s1", limit=4, before=entries[-1].id)
    assert [entry.name for entry in (*entries, *rest)] == ["c", "c", "b", "b", "a", "a"]
    assert len({entry.id for entry in (*entries, *rest)}) == 6
    assert await store.quarantine("s2") == []


@pytest.mark.parametrize("quarantine_id", ["u-99", "r-99", "u-", "x-1", "", "u-1;", "r-²", "u-" + "9" * 40])
async def test_an_unknown_entry_is_not_found(store: Store, quarantine_id: str) -> None:
    with pytest.raises(NotFound):
        await store.quarantined(quarantine_id)
    with pytest.raises(NotFound):
        await store.requeue_unit(quarantine_id)
    with pytest.raises(NotFound):
        await store.release_record(quarantine_id, key=None, batch=None)


async def test_a_requeued_unit_waits_again_from_the_start(store: Store, clock: FakeClock) -> None:
    (unit,) = await with_units(store, "a")
    await store.postpone_units("s1", unit.token, [unit.id], due_at=clock.now(), detail="", attempt=True)
    (unit,) = await leased_units(store)
    await store.commit(Commit(source_id="s1", token=unit.token, units=[unreadable(unit)]))
    (entry,) = await store.quarantine()
    await store.requeue_unit(entry.id)
    (again,) = await leased_units(store)
    assert (again.name, again.attempts) == ("a", 0)
    assert await units(store) == {"waiting": 1}
    assert await store.quarantine() == []
    with pytest.raises(NotFound):
        await store.requeue_unit(entry.id)


async def in_quarantine(store: Store) -> str:
    """The id of one bad record."""
    (unit,) = await with_units(store, "a")
    commit = Commit(
        source_id="s1",
        token=unit.token,
        units=[done(unit)],
        quarantined=[a_bad_record(unit)],
        counts=Counts(read=1, quarantined=1),
    )
    await store.commit(commit)
    (entry,) = await store.quarantine()
    return entry.id


async def test_a_released_record_goes_out_and_its_key_is_remembered(store: Store) -> None:
    entry_id = await in_quarantine(store)
    await store.release_record(entry_id, key=a_key(7), batch=a_batch("msg_released"))
    assert await counts(store) == Counts(read=1, waiting=1)
    assert await store.known_keys("s1", [a_key(7)]) == {a_key(7)}
    assert [batch.id for batch in await store.lease_batches("s1", limit=5, lease_s=60.0)] == ["msg_released"]
    with pytest.raises(NotFound):
        await store.release_record(entry_id, key=a_key(7), batch=a_batch())


async def test_a_released_record_whose_key_is_known_is_a_duplicate(store: Store) -> None:
    entry_id = await in_quarantine(store)
    await store.commit(Commit(source_id="s1", token=0, keys=[a_key(7)]))
    await store.release_record(entry_id, key=a_key(7), batch=a_batch())
    assert await counts(store) == Counts(read=1, duplicate=1)
    assert await store.batches(BatchQuery()) == []


async def test_a_record_released_as_no_batch_was_filtered(store: Store) -> None:
    await store.release_record(await in_quarantine(store), key=a_key(7), batch=None)
    assert await counts(store) == Counts(read=1, filtered=1)
    assert await store.known_keys("s1", [a_key(7)]) == set()


async def test_a_unit_entry_is_no_record_and_a_record_no_unit(store: Store) -> None:
    entry_id = await in_quarantine(store)
    with pytest.raises(NotFound):
        await store.requeue_unit(entry_id)
    with pytest.raises(NotFound):
        await store.quarantined(entry_id.replace("r-", "u-"))


async def test_a_lease_takes_what_a_jumped_clock_left_far_ahead(store: Store, clock: FakeClock) -> None:
    (unit,) = await with_units(store, "a")
    await store.postpone_units("s1", unit.token, [unit.id], due_at=clock.now() + 3 * DAY_S, detail="", attempt=False)
    assert len(await store.lease_units("s1", limit=1, bytes_max=PLENTY, lease_s=60.0)) == 1


# ------------------------------------------------------------------------------------------------------ by name


async def test_units_are_found_by_the_name_of_their_object_in_every_version_and_of_every_intake(store: Store) -> None:
    await store.add_source(a_source())
    unit = a_unit("a")
    others = [unit.but(version="other"), unit.but(intake="sqs"), unit.but(place="elsewhere"), a_unit("b"), a_unit("c")]
    await store.add_units("s1", [unit, *others])
    found = await store.units_named("s1", "bucket", ["a", "b", "unheard of", "a"])
    assert sorted((each.name, each.intake, each.version) for each in found) == [
        ("a", "s3", "etag"),
        ("a", "s3", "other"),
        ("a", "sqs", "etag"),
        ("b", "s3", "etag"),
    ]
    assert {each.source_id for each in found} == {"s1"}
    assert await store.units_named("s1", "bucket", []) == []


async def test_sources_find_their_own_units_only(store: Store) -> None:
    for name in ("s1", "s2"):
        await store.add_source(a_source(name))
    await store.add_units("s1", [a_unit("a")])
    assert await store.units_named("s2", "bucket", ["a"]) == []
    assert await store.units_named("nobody", "bucket", ["a"]) == []


async def test_a_unit_keeps_the_hash_that_it_ended_with(store: Store) -> None:
    unit, other = await with_units(store, "a", "b")
    ends = [done(unit).but(sha256=b"\x07" * 32), done(other)]
    await store.commit(Commit(source_id="s1", token=unit.token, units=ends))
    found = {each.name: (each.state, each.sha256) for each in await store.units_named("s1", "bucket", ["a", "b"])}
    assert found == {"a": (UnitState.DONE, b"\x07" * 32), "b": (UnitState.DONE, b"")}


# ------------------------------------------------------------------------------------------------ released early


async def test_units_put_off_are_released_before_their_time_some_at_a_time(store: Store, clock: FakeClock) -> None:
    await store.add_source(a_source())
    await store.add_units("s1", [a_unit("a"), a_unit("b"), a_unit("old").but(backfill=True)])
    for backfill in (False, True):
        found = await store.lease_units("s1", limit=5, bytes_max=PLENTY, lease_s=600.0, backfill=backfill)
        ids, due_at = [unit.id for unit in found], clock.now() + 3_600
        await store.postpone_units("s1", found[0].token, ids, due_at=due_at, detail="not yet", attempt=False)
    await store.add_units("s1", [a_unit("leased")])
    assert [unit.name for unit in await leased_units(store)] == ["leased"]
    assert [await store.release_units("s1", limit=2) for _ in range(3)] == [2, 1, 0]
    assert {unit.name for unit in await leased_units(store)} == {"a", "b"}
    (old,) = await store.lease_units("s1", limit=5, bytes_max=PLENTY, lease_s=60.0, backfill=True)
    assert old.name == "old"


async def test_the_oldest_label_is_that_of_what_waits(store: Store) -> None:
    await store.add_source(a_source())
    assert await store.oldest_unit_at("s1") is None
    await store.add_units("s1", [a_unit("new", labelled_at=300.0), a_unit("old", labelled_at=200.0)])
    await store.add_units("s1", [a_unit("older", labelled_at=100.0).but(backfill=True)])
    await store.add_units("s1", [a_unit("ignored", labelled_at=50.0, ignored="digest")])
    assert await store.oldest_unit_at("s1") == 100.0
    old, _ = await leased_units(store)
    await store.commit(Commit(source_id="s1", token=old.token, units=[done(old)]))
    assert await store.oldest_unit_at("s1") == 100.0
    assert await store.oldest_unit_at("unheard of") is None
