"""What a MongoStore can be opened on, and what it says where it cannot."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from support.clock import FakeClock
from support.mongod import free_port, own_mongod
from support.store_values import a_batch, a_source, freeze, leased_units, with_units
from trailhook.errors import SettingsError, StoreUnavailable
from trailhook.store.base import Limits
from trailhook.store.mongo import MongoStore
from trailhook.store.mongo.connect import DATABASE, connected
from trailhook.store.mongo.schema import COLLECTIONS, MIGRATIONS


def opened(url: str, clock: FakeClock | None = None) -> AbstractAsyncContextManager[MongoStore]:
    return MongoStore.open(url, clock=clock, limits=Limits())


async def refusal(url: str) -> str:
    with pytest.raises(SettingsError) as refused:
        async with opened(url):
            pass
    return str(refused.value)


async def test_a_standalone_server_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with own_mongod(tmp_path, replica_set=False) as server:
        assert "--replSet" in await refusal(server.url("trailhook"))


@pytest.mark.parametrize(
    "url", ["http://example.com", "mongodb://", "mongodb://u:secret@host:port/", "mongodb://h/?w=x&w"]
)
async def test_a_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    said = await refusal(url)
    assert "TRAILHOOK_MONGODB_URL" in said
    assert "secret" not in said


async def test_a_host_without_address_is_refused() -> None:
    said = await refusal("mongodb://nowhere.invalid/?serverSelectionTimeoutMS=500")
    assert "name server" in said


async def test_a_wrong_password_is_refused(mongodb_url: str) -> None:
    said = await refusal(mongodb_url.replace("mongodb://", "mongodb://somebody:secret@"))
    assert "user and password" in said
    assert "secret" not in said


async def test_where_nobody_answers_the_store_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        async with opened(f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=100"):
            pass


async def test_a_newer_schema_is_refused_and_left_alone(mongodb_url: str) -> None:
    url = f"{mongodb_url}newer"
    async with opened(url):
        pass
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        schema = client.get_default_database()["schema"]
        assert await schema.find_one() == {"_id": "version", "version": len(MIGRATIONS)}
        await schema.update_one({}, {"$inc": {"version": 1}})
        assert "newer Trailhook" in await refusal(url)
        assert await schema.find_one() == {"_id": "version", "version": len(MIGRATIONS) + 1}


async def test_processes_that_start_at_once_make_one_database(mongodb_url: str) -> None:
    url = f"{mongodb_url}together"

    async def start() -> None:
        async with opened(url) as store:
            await store.check()

    await asyncio.gather(*(start() for _ in range(4)))
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        names = await client.get_default_database().list_collection_names()
        await client.drop_database("together")
    assert {*COLLECTIONS, "schema"} == set(names)


async def test_the_url_names_the_database_and_may_not_weaken_the_promises(mongodb_url: str) -> None:
    url = f"{mongodb_url}?w=1&readConcernLevel=local&retryWrites=false&readPreference=secondary&timeoutMS=1234"
    async with connected(url, FakeClock()) as engine:
        db = await engine.ask(_itself)
        options = db.client.options
        assert db.name == DATABASE
        assert options.write_concern.document == {"w": "majority"}
        assert options.read_concern.level == "majority"
        assert (options.retry_writes, options.read_preference.mongos_mode) == (True, "primary")
        assert options.timeout == 1.234
        await db.client.drop_database(DATABASE)


async def _itself(db: Any) -> Any:
    return db


async def test_opening_it_leaves_the_leases_of_other_processes_alone(mongodb_url: str) -> None:
    url, clock = f"{mongodb_url}leases", FakeClock()
    async with opened(url, clock) as first:
        await with_units(first, "a")
        await freeze(first, a_batch("a"))
        await first.lease_batches("s1", limit=1, lease_s=60.0)
        assert await first.lease("poll:s1", 60.0)
        async with opened(url, clock) as second:
            assert await leased_units(second) == []
            assert await second.lease_batches("s1", limit=1, lease_s=60.0) == []
            assert await second.lease("poll:s1", 60.0) is None
        await first.remove_source("s1")


async def test_without_a_clock_it_goes_by_the_servers(mongodb_url: str) -> None:
    async with opened(f"{mongodb_url}time") as store:
        await store.add_source(a_source())
        before = time.time()
        await freeze(store, a_batch("a"))
        assert before - 1 < (await store.batch("a")).frozen_at < time.time() + 1


async def test_a_closed_store_is_unavailable(mongodb_url: str) -> None:
    async with opened(f"{mongodb_url}closed") as store:
        pass
    with pytest.raises(StoreUnavailable):
        await store.check()
    with pytest.raises(StoreUnavailable):
        await store.add_source(a_source())
