"""Answers that get lost, and a server that dies under the work: nothing is lost, nothing is doubled."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pymongo import MongoClient

from support.mongod import Mongod
from support.store_values import DELIVERED, a_batch, a_source, freeze, some_keys, with_batches
from trailhook.errors import KeysTaken, LeaseLost, StoreUnavailable
from trailhook.model import BatchState, Counts
from trailhook.store.base import Commit, Limits, Store
from trailhook.store.lists import BatchQuery
from trailhook.store.mongo import MongoStore

LOST = {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}
"""The command was done, but its answer does not promise that it stays so."""
FULL = {"errorCode": 14031}
"""There is no room on the server's disk."""
CUT = {"closeConnection": True}
"""The connection broke before the command was done."""


PATIENT_MS = 20_000


@asynccontextmanager
async def opened(mongod: Mongod, name: str, *, timeout_ms: int = PATIENT_MS) -> AsyncIterator[Store]:
    if timeout_ms < PATIENT_MS:  # a new database may take longer to make than the test is to wait for anything else
        async with opened(mongod, name):
            pass
    url = mongod.url(f"{name}?appName={name}&timeoutMS={timeout_ms}")
    async with MongoStore.open(url, limits=Limits()) as store:
        yield store


@contextmanager
def failing(
    mongod: Mongod, name: str, commands: list[str], how: dict[str, Any], *, times: int | None
) -> Iterator[None]:
    """Some commands of the store opened under `name` fail, so many times (None: always) while the context lasts."""
    with MongoClient[dict[str, Any]](mongod.url(), directConnection=True) as client:
        mode = "alwaysOn" if times is None else {"times": times}
        data = {"failCommands": commands, "appName": name, **how}
        client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        try:
            yield
        finally:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def a_commit(start: int = 1) -> Commit:
    return Commit(source_id="s1", token=0, keys=some_keys(start, 5), batches=[a_batch(count=5)], counts=Counts(read=5))


@pytest.mark.parametrize("how", [LOST, CUT])
async def test_a_commit_whose_answer_is_lost_counts_once(mongod: Mongod, how: dict[str, Any]) -> None:
    name = "cut" if how is CUT else "lost"
    async with opened(mongod, name) as store:
        await store.add_source(a_source())
        with failing(mongod, name, ["commitTransaction"], how, times=3):
            await store.commit(a_commit())
        assert (await store.totals("s1")).counts == Counts(read=5, waiting=5)
        assert len(await store.batches(BatchQuery())) == 1


async def test_a_commit_that_stays_unknown_is_found_when_it_is_repeated(mongod: Mongod) -> None:
    async with opened(mongod, "unknown", timeout_ms=2_500) as store:
        await store.add_source(a_source())
        with failing(mongod, "unknown", ["commitTransaction"], LOST, times=None), pytest.raises(StoreUnavailable):
            await store.commit(a_commit())
        with pytest.raises(KeysTaken):
            await store.commit(a_commit())
        assert (await store.totals("s1")).counts == Counts(read=5, waiting=5)


async def test_a_settlement_that_stays_unknown_is_found_when_it_is_repeated(mongod: Mongod) -> None:
    async with opened(mongod, "settled", timeout_ms=2_500) as store:
        await with_batches(store, a_batch("a", count=5))
        (batch,) = await store.lease_batches("s1", limit=1, lease_s=60.0)
        with failing(mongod, "settled", ["commitTransaction"], LOST, times=None), pytest.raises(StoreUnavailable):
            await store.settle(batch, DELIVERED)
        with pytest.raises(LeaseLost):
            await store.settle(batch, DELIVERED)
        assert (await store.totals("s1")).counts == Counts(read=5, sent=5)
        assert len(await store.attempts("a")) == 1


@pytest.mark.parametrize("command", ["insert", "update", "find"])
async def test_a_statement_that_breaks_off_is_done_with_the_whole_again(mongod: Mongod, command: str) -> None:
    async with opened(mongod, command) as store:
        await store.add_source(a_source())
        with failing(mongod, command, [command], CUT, times=2):
            await store.commit(a_commit())
        assert (await store.totals("s1")).counts == Counts(read=5, waiting=5)


@pytest.mark.parametrize("command", ["find", "insert"])
async def test_a_server_that_refuses_a_statement_is_unavailable_and_keeps_nothing(mongod: Mongod, command: str) -> None:
    name = f"refused_{command}"
    async with opened(mongod, name) as store:
        await store.add_source(a_source())
        with failing(mongod, name, [command], FULL, times=None), pytest.raises(StoreUnavailable):
            await store.commit(a_commit())
        assert await store.known_keys("s1", some_keys(1, 5)) == set()
        assert (await store.totals("s1")).counts == Counts()


async def test_a_body_too_large_for_a_document_is_refused_and_nothing_of_it_is_kept(mongod: Mongod) -> None:
    async with opened(mongod, "large") as store:
        await store.add_source(a_source())
        with pytest.raises(ValueError, match="more than MongoDB keeps"):
            await store.commit(a_commit().but(batches=[a_batch(body=bytes(16 * 1024 * 1024))]))
        assert await store.known_keys("s1", some_keys(1, 5)) == set()
        largest = a_batch("msg_largest", body=os.urandom(10 * 1024 * 1024 + 100_000))
        await store.commit(a_commit().but(batches=[largest]))
        (batch,) = await store.lease_batches("s1", limit=1, lease_s=60.0)
        assert batch.body == largest.body


# ---------------------------------------------------------------------------------------------------- kill -9


@dataclass
class Load:
    """Intake and delivery of one source at the same time, each repeating what stayed unknown."""

    store: Store
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    committed: list[int] = field(default_factory=list)
    """Commits that returned, or were found to have been kept."""
    refused: list[int] = field(default_factory=list)
    """Commits that claimed a key of another one besides one of their own."""
    unknown: int = 0
    stopped: bool = False
    taking: int = 0
    """How many still take in."""

    def keys(self, number: int) -> list[bytes]:
        return some_keys(number * 10, 4)

    async def take_in(self) -> None:
        self.taking += 1
        while not self.stopped:
            number = next(self.numbers)
            batch = a_batch(f"msg_{number}", count=4, body=os.urandom(2_000))
            commit = Commit(source_id="s1", token=0, keys=self.keys(number), batches=[batch], counts=Counts(read=4))
            await self._until_known(commit)
            self.committed.append(number)
            await self._claim_again(number)
        self.taking -= 1

    async def _until_known(self, commit: Commit) -> None:
        while True:
            try:
                await self.store.commit(commit)
            except StoreUnavailable:
                self.unknown += 1
            except KeysTaken:
                return
            else:
                return

    async def _claim_again(self, number: int) -> None:
        keys = [self.keys(number)[0], self.keys(number)[0][:-1] + b"\xff"]
        try:
            with pytest.raises(KeysTaken):
                await self.store.commit(
                    Commit(source_id="s1", token=0, keys=keys, batches=[a_batch()], counts=Counts(read=2))
                )
        except StoreUnavailable:
            self.unknown += 1
        self.refused.append(number)

    async def deliver(self) -> None:
        while not self.stopped or self.taking or await self._waiting():
            try:
                batches = await self.store.lease_batches("s1", limit=3, lease_s=2.0)
                for batch in batches:
                    await self.store.settle(batch, DELIVERED)
            except StoreUnavailable:
                self.unknown += 1
            except LeaseLost:
                continue
            await asyncio.sleep(0.01)

    async def _waiting(self) -> bool:
        try:
            return (await self.store.totals("s1")).waiting_batches > 0
        except StoreUnavailable:
            return True


@pytest.mark.slow
async def test_a_server_killed_under_the_work_loses_and_doubles_nothing(mongod: Mongod) -> None:
    async with opened(mongod, "killed", timeout_ms=1_500) as store:
        await store.add_source(a_source())
        load = Load(store)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(load.take_in())
                tasks.create_task(load.deliver())
            for _ in range(2):
                before = len(load.committed)
                while len(load.committed) < before + 10:
                    await asyncio.sleep(0.02)
                await asyncio.to_thread(mongod.kill)
                await asyncio.sleep(2.0)  # beyond the verbs' patience: some outcomes stay unknown
                await asyncio.to_thread(mongod.start)
            load.stopped = True

        number = len(load.committed)
        assert number == len(set(load.committed)) >= 20
        assert load.unknown > 0
        assert (await store.totals("s1")).counts == Counts(read=4 * number, sent=4 * number)
        kept = [key for each in load.committed for key in load.keys(each)]
        assert await store.known_keys("s1", kept) == set(kept)
        refused = [load.keys(each)[0][:-1] + b"\xff" for each in load.refused]
        assert await store.known_keys("s1", refused) == set()
        batches = await store.batches(BatchQuery(limit=10_000))
        assert sorted(batch.id for batch in batches) == sorted(f"msg_{each}" for each in load.committed)
        assert {(batch.state, batch.attempts) for batch in batches} == {(BatchState.DELIVERED, 1)}


async def test_a_server_that_is_away_for_a_moment_is_waited_for(mongod: Mongod) -> None:
    async with opened(mongod, "moment") as store:
        await store.add_source(a_source())
        await asyncio.to_thread(mongod.stop)
        waiting = asyncio.create_task(freeze(store, a_batch("a")))
        await asyncio.to_thread(mongod.start)
        await waiting
        assert (await store.batch("a")).body


async def test_a_server_that_is_away_for_long_is_unavailable_and_then_good_again(mongod: Mongod) -> None:
    async with opened(mongod, "away"):
        pass  # to make a database may take longer than the store is to wait here
    url = mongod.url("away?serverSelectionTimeoutMS=200&timeoutMS=1000")
    async with MongoStore.open(url, limits=Limits()) as store:
        await store.add_source(a_source())
        await asyncio.to_thread(mongod.stop)
        try:
            for call in (store.check(), store.commit(a_commit()), store.lease("x", 1.0), store.due()):
                with pytest.raises(StoreUnavailable):
                    await call
        finally:
            await asyncio.to_thread(mongod.start)
        await store.commit(a_commit())
        await store.check()
