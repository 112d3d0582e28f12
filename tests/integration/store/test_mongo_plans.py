"""The hot verbs find their rows by index, however much has been delivered and done; nothing removed is left."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from support.clock import START_AT, FakeClock
from support.store_values import DAY_S, DELIVERED, PLENTY, a_batch, a_source, a_unit, done, freeze, some_keys
from support.stores import empty
from trailhook.model import BatchState
from trailhook.store.base import Commit, Limits
from trailhook.store.lists import BatchQuery
from trailhook.store.log import LogQuery
from trailhook.store.mongo import MongoStore

ROWS_EXAMINED_MAX = 2_500
"""A statement may look at what it was asked for (2,000 keys, 50 units), not at the thousands of rows there are."""


class Watched:
    """A store whose statements the server writes down."""

    def __init__(self, store: MongoStore, db: Any) -> None:
        self.store = store
        self._db = db

    async def statements(self, work: Callable[[], Awaitable[None]]) -> list[dict[str, Any]]:
        """What the server did for `work`."""
        await self._db.command("profile", 2)
        try:
            await work()
        finally:
            await self._db.command("profile", 0)
        done = await self._db["system.profile"].find({"ns": {"$not": {"$regex": "profile"}}}).to_list()
        await self._db["system.profile"].drop()
        return list(done)

    async def count(self, name: str) -> int:
        """How many rows a collection has."""
        number: int = await self._db[name].count_documents({})
        return number


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def watched(mongodb_url: str, clock: FakeClock) -> AsyncIterator[Watched]:
    url = f"{mongodb_url}plans"
    await empty(url)
    async with (
        MongoStore.open(url, clock=clock, limits=Limits()) as store,
        AsyncMongoClient[dict[str, Any]](url) as client,
    ):
        yield Watched(store, client.get_default_database())


async def fill(store: MongoStore) -> None:
    """10,000 units, 20,000 keys, and batches in several states."""
    await store.add_source(a_source())
    await store.add_units("s1", [a_unit(f"{number:06}", labelled_at=START_AT + number) for number in range(10_000)])
    units = await store.lease_units("s1", limit=200, bytes_max=PLENTY, lease_s=600.0)
    await store.commit(
        Commit(source_id="s1", token=units[0].token, keys=some_keys(0, 20_000), units=[done(unit) for unit in units])
    )
    await freeze(store, *(a_batch(f"msg_{number}") for number in range(3_000)))
    for batch in await store.lease_batches("s1", limit=10, lease_s=60.0):
        await store.settle(batch, DELIVERED)


async def test_no_hot_verb_walks_over_what_there_is(watched: Watched, clock: FakeClock) -> None:
    store = watched.store
    await fill(store)

    async def work() -> None:
        await store.due()
        await store.totals("s1")
        (unit, *_) = await store.lease_units("s1", limit=50, bytes_max=PLENTY, lease_s=60.0)
        await store.postpone_units("s1", unit.token, [unit.id], due_at=clock.now(), detail="", attempt=True)
        await store.lease_units("s1", limit=50, bytes_max=PLENTY, lease_s=60.0, backfill=True)
        await store.backfill_left("s1")
        await store.oldest_unit_at("s1")
        await store.release_units("s1", limit=10)
        await store.known_keys("s1", some_keys(19_000, 2_000))
        await store.units_named("s1", "bucket", ["000007", "unheard of"])
        await store.commit(Commit(source_id="s1", token=0, keys=some_keys(30_000, 2_000), batches=[a_batch("new")]))
        for ordered in (True, False):
            for batch in await store.lease_batches("s1", limit=4, lease_s=60.0, ordered=ordered):
                await store.settle(batch, DELIVERED)
        for source_id in (None, "s1"):
            await store.batches(BatchQuery(source_id=source_id, limit=50))
            await store.batches(BatchQuery(source_id=source_id, states=[BatchState.DEAD], limit=50))
            await store.batches(BatchQuery(source_id=source_id, frozen_from_at=START_AT, limit=50))
            await store.batches(BatchQuery(source_id=source_id, ended=("refused", "why"), limit=50))
            await store.quarantine(source_id)
            blocks = await store.log_blocks(LogQuery(source_id=source_id, from_at=1.0, limit=20))
            await store.log_blocks(LogQuery(source_id=source_id, before=(START_AT, blocks[-1].num), limit=20))
            await store.log_after(blocks[0].num - 20, but=[blocks[0].num], source_id=source_id)
        await store.log_bodies([await store.log_end()])
        await store.attempts("msg_0")
        await store.retry_batch("new")
        await store.children("msg_0")
        await store.dead_groups(limit=10)

    statements = await watched.statements(work)
    assert len(statements) > 40
    walks = [
        (each["ns"], each.get("planSummary"), each.get("keysExamined"), each.get("docsExamined"))
        for each in statements
        if max(each.get("keysExamined", 0), each.get("docsExamined", 0)) > ROWS_EXAMINED_MAX
    ]
    assert walks == []


async def test_the_janitor_leaves_nothing_of_a_removed_source(watched: Watched, clock: FakeClock) -> None:
    store = watched.store
    await fill(store)
    await store.remove_source("s1")
    assert await store.clean(steps=1) <= 4 * 2_000
    while await store.clean(steps=5):
        pass
    names = ("units", "ledger", "watermarks", "quarantine", "totals")
    assert {name: await watched.count(name) for name in names} == dict.fromkeys(names, 0)
    assert await watched.count("batches") == await watched.count("bodies") == await watched.count("columns") == 10
    clock.advance(31 * DAY_S)
    while await store.clean(steps=5):
        pass
    rest = ("batches", "bodies", "columns", "attempts", "sources")
    assert {name: await watched.count(name) for name in rest} == dict.fromkeys(rest, 0)
