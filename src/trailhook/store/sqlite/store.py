"""The store as a whole: opened, and closed again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import apsw

from trailhook.clock import Clock
from trailhook.errors import TrailhookError
from trailhook.store.base import Limits
from trailhook.store.moving import refuse_old_home
from trailhook.store.sqlite.documents import SqliteDocuments, mark
from trailhook.store.sqlite.engine import READER_CACHE_BYTES, Engine, at_the_edge, connect
from trailhook.store.sqlite.listing import SqliteListing
from trailhook.store.sqlite.log import SqliteEventLog
from trailhook.store.sqlite.outbox import SqliteOutbox
from trailhook.store.sqlite.overview import SqliteOverview
from trailhook.store.sqlite.quarantine import SqliteQuarantine
from trailhook.store.sqlite.schema import migrate, take_over
from trailhook.store.sqlite.sources import SqliteSources
from trailhook.store.sqlite.units import SqliteUnits
from trailhook.store.sqlite.upkeep import SqliteUpkeep


class SqliteStore(
    SqliteDocuments,
    SqliteSources,
    SqliteUnits,
    SqliteQuarantine,
    SqliteOutbox,
    SqliteListing,
    SqliteEventLog,
    SqliteOverview,
    SqliteUpkeep,
):
    """See `store.base.Store`. The process must own the data directory: see `store.ownership`."""

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, clock: Clock, limits: Limits) -> AsyncIterator[Self]:
        """The store in the file at `path`, made or brought up to date as needed; leases left in it have ended.

        Raises `SettingsError` if a newer Trailhook wrote it or it has moved, `StoreUnavailable` if it cannot be opened.
        """
        async with open_engine(path, admit=lambda db: refuse_old_home(mark(db))) as engine:
            yield cls(engine, clock, limits)


@asynccontextmanager
async def open_engine(
    path: Path, *, admit: Callable[[apsw.Connection], None] = lambda _: None
) -> AsyncIterator[Engine]:
    """What runs on the file at `path`, brought up to date; leases left in it have ended unless `admit` raises."""
    engine = await asyncio.to_thread(_engine, path, admit)
    try:
        yield engine
    finally:
        await engine.close()


def _engine(path: Path, admit: Callable[[apsw.Connection], None]) -> Engine:
    writer = connect(path)
    try:
        migrate(writer)
        admit(writer)
        take_over(writer)
        return Engine(writer=writer, reader=connect(path, cache_bytes=READER_CACHE_BYTES))
    except apsw.Error as error:
        writer.close()
        raise at_the_edge(error) from error
    except TrailhookError:
        writer.close()
        raise
