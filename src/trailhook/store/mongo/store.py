"""The store as a whole: opened, and closed again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from trailhook.clock import Clock, SystemClock
from trailhook.store.base import Limits
from trailhook.store.mongo.connect import connected
from trailhook.store.mongo.documents import MongoDocuments
from trailhook.store.mongo.listing import MongoListing
from trailhook.store.mongo.log import MongoEventLog
from trailhook.store.mongo.outbox import MongoOutbox
from trailhook.store.mongo.overview import MongoOverview
from trailhook.store.mongo.quarantine import MongoQuarantine
from trailhook.store.mongo.server_clock import ServerClock
from trailhook.store.mongo.sources import MongoSources
from trailhook.store.mongo.units import MongoUnits
from trailhook.store.mongo.upkeep import MongoUpkeep
from trailhook.store.moving import MARK, marked, refuse_new_home


class MongoStore(
    MongoDocuments,
    MongoSources,
    MongoUnits,
    MongoQuarantine,
    MongoOutbox,
    MongoListing,
    MongoEventLog,
    MongoOverview,
    MongoUpkeep,
):
    """See `store.base.Store`. Any number of processes may have it open."""

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, limits: Limits, clock: Clock | None = None) -> AsyncIterator[Self]:
        """The store in the database that `url` names, made or brought up to date as needed; leases in it go on.

        Without a `clock` it goes by the server's, as processes that share it must. Raises `SettingsError` if the URL
        leads to no replica set that lets us in, to what a newer Trailhook wrote, or to the unfinished copy of another
        store; `StoreUnavailable` if nobody answers.
        """
        clock = clock or ServerClock(SystemClock())
        async with connected(url, clock) as engine:
            store = cls(engine, clock, limits)
            refuse_new_home(marked(await store.document(*MARK)))
            yield store
