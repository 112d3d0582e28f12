"""The hot queries find their rows by index, however much has been delivered and done."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import apsw
import pytest

from support.clock import START_AT, FakeClock
from support.store_values import (
    DAY_S,
    DELIVERED,
    PLENTY,
    a_batch,
    a_source,
    a_unit,
    done,
    freeze,
    some_keys,
)
from trailhook.model import BatchState
from trailhook.store.base import Commit, Limits, Store
from trailhook.store.lists import BatchQuery
from trailhook.store.log import LogQuery
from trailhook.store.sqlite import SqliteStore
from trailhook.store.sqlite.engine import Engine, connect
from trailhook.store.sqlite.schema import migrate

BIG = {"units", "batches", "ledger", "bodies", "columns", "attempts", "quarantine", "u", "b", "l", "q"}
"""The tables that grow, and what the queries call them."""


class Watched:
    """A store whose statements are written down."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        self.statements: dict[str, Any] = {}
        self._path = path
        writer = connect(path)
        migrate(writer)
        reader = connect(path)
        self.engine = Engine(writer=writer, reader=reader)
        for connection in (writer, reader):
            connection.exec_trace = self._remember
        self.store = SqliteStore(self.engine, clock, Limits())

    def _remember(self, _: apsw.Cursor, sql: str, bindings: Any) -> bool:
        self.statements[sql] = bindings
        return True

    def scans(self) -> list[str]:
        """The statements since the last time that walk over a whole big table."""
        explainer = connect(self._path)
        found = []
        for sql, bindings in self.statements.items():
            if sql.startswith(("SELECT", "UPDATE", "DELETE", "INSERT", "\n")):
                plan = explainer.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)
                found += [f"{step}: {sql}" for *_, step in plan if step.startswith("SCAN") and step.split()[1] in BIG]
        explainer.close()
        self.statements.clear()
        return found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def watched(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Watched]:
    watched = Watched(tmp_path / "test.sqlite", clock)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(watched.engine.close)
        yield watched


async def fill(store: Store) -> None:
    """50,000 units, 20,000 keys, and batches in every state."""
    await store.add_source(a_source())
    await store.add_units("s1", [a_unit(f"{number:06}", labelled_at=START_AT + number) for number in range(50_000)])
    units = await store.lease_units("s1", limit=200, bytes_max=PLENTY, lease_s=600.0)
    await store.commit(
        Commit(source_id="s1", token=units[0].token, keys=some_keys(0, 20_000), units=[done(unit) for unit in units])
    )
    await freeze(store, *(a_batch(f"msg_{number}") for number in range(300)))
    for batch in await store.lease_batches("s1", limit=100, lease_s=60.0):
        await store.settle(batch, DELIVERED)


async def test_no_hot_verb_walks_over_a_big_table(watched: Watched, clock: FakeClock) -> None:
    store = watched.store
    await fill(store)
    watched.scans()

    await store.due()
    await store.totals("s1")
    (unit, *_) = await store.lease_units("s1", limit=50, bytes_max=PLENTY, lease_s=60.0)
    await store.postpone_units("s1", unit.token, [unit.id], due_at=clock.now(), detail="", attempt=True)
    await store.lease_units("s1", limit=50, bytes_max=PLENTY, lease_s=60.0, backfill=True)
    await store.backfill_left("s1")
    await store.oldest_unit_at("s1")
    await store.release_units("s1", limit=10)
    await store.replayable("s1", from_at=START_AT, to_at=START_AT, limit=10)
    await store.add_units("s1", [a_unit("old").but(backfill=True)])
    await store.add_units("s1", [a_unit("old")])
    await store.known_keys("s1", some_keys(19_000, 2_000))
    await store.units_named("s1", "bucket", ["000007", "unheard of"])
    await store.commit(Commit(source_id="s1", token=0, keys=some_keys(30_000, 2_000), batches=[a_batch("new")]))
    for ordered in (True, False):
        batches = await store.lease_batches("s1", limit=4, lease_s=60.0, ordered=ordered)
        for batch in batches:
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
    assert len(watched.statements) > 20
    assert watched.scans() == []


async def test_the_janitor_walks_over_no_big_table_at_once(watched: Watched, clock: FakeClock) -> None:
    await fill(watched.store)
    clock.advance(60 * DAY_S)
    watched.scans()
    while await watched.store.clean(steps=5):
        pass
    assert watched.scans() == []
