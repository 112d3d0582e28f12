"""The store as a whole: opened, and closed again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import apsw

from trailhook.clock import Clock
from trailhook.errors import TrailhookError
from trailhook.store.base import Limits
from trailhook.store.sqlite.documents import SqliteDocuments
from trailhook.store.sqlite.engine import Engine, at_the_edge, connect
from trailhook.store.sqlite.outbox import SqliteOutbox
from trailhook.store.sqlite.quarantine import SqliteQuarantine
from trailhook.store.sqlite.schema import migrate, take_over
from trailhook.store.sqlite.sources import SqliteSources
from trailhook.store.sqlite.units import SqliteUnits
from trailhook.store.sqlite.upkeep import SqliteUpkeep


class SqliteStore(SqliteDocuments, SqliteSources, SqliteUnits, SqliteQuarantine, SqliteOutbox, SqliteUpkeep):
    """See `store.base.Store`. The process must own the data directory: see `store.ownership`."""

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, clock: Clock, limits: Limits) -> AsyncIterator[Self]:
        """The store in the file at `path`, made or brought up to date as needed; leases left in it have ended.

        Raises `SettingsError` if a newer Trailhook wrote it, `StoreUnavailable` if it cannot be opened.
        """
        engine = await asyncio.to_thread(_engine, path)
        try:
            yield cls(engine, clock, limits)
        finally:
            await engine.close()


def _engine(path: Path) -> Engine:
    writer = connect(path)
    try:
        migrate(writer)
        take_over(writer)
        return Engine(writer=writer, reader=connect(path))
    except apsw.Error as error:
        writer.close()
        raise at_the_edge(error) from error
    except TrailhookError:
        writer.close()
        raise
