"""The stores that the contract suites run on."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from pymongo import AsyncMongoClient

from support.clock import FakeClock
from trailhook.store.base import Limits, Store
from trailhook.store.mongo import MongoStore
from trailhook.store.sqlite import SqliteStore

DEFAULT_LIMITS = Limits()


class OpenStore(Protocol):
    """Opens the test's own store; opening it again finds what was left there."""

    def __call__(self, limits: Limits = DEFAULT_LIMITS) -> AbstractAsyncContextManager[Store]: ...


def sqlite(directory: Path, clock: FakeClock) -> OpenStore:
    def open_store(limits: Limits = DEFAULT_LIMITS) -> AbstractAsyncContextManager[Store]:
        return SqliteStore.open(directory / "trailhook.sqlite", clock=clock, limits=limits)

    return open_store


def mongo(url: str, clock: FakeClock) -> OpenStore:
    """In the database that `url` names, emptied before it is opened for the first time."""
    fresh = False

    @asynccontextmanager
    async def open_store(limits: Limits = DEFAULT_LIMITS) -> AsyncIterator[Store]:
        nonlocal fresh
        if not fresh:
            await empty(url)
            fresh = True
        async with MongoStore.open(url, clock=clock, limits=limits) as store:
            yield store

    return open_store


async def empty(url: str) -> None:
    """Remove every row. The collections stay: making them costs more than all else in a test."""
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        db = client.get_default_database()
        for name in await db.list_collection_names():
            if name != "schema":
                await db[name].delete_many({})


STORES = ("sqlite", "mongo")
