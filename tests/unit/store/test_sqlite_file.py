"""What is in the file, and what is not: schemas, leases of the dead, erased secrets."""

import base64
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import apsw
import pytest

from support.clock import FakeClock
from support.store_values import (
    DELIVERED,
    a_batch,
    a_source,
    a_unit,
    freeze,
    leased_units,
    settled_as,
)
from trailhook.errors import LeaseLost, SettingsError
from trailhook.model import BatchState
from trailhook.store.base import Limits
from trailhook.store.sqlite import SqliteStore
from trailhook.store.sqlite.schema import MIGRATIONS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trailhook.sqlite"


def opened(path: Path, clock: FakeClock | None = None) -> AbstractAsyncContextManager[SqliteStore]:
    return SqliteStore.open(path, clock=clock or FakeClock(), limits=Limits())


async def test_a_file_has_the_newest_schema(path: Path) -> None:
    async with opened(path):
        pass
    assert apsw.Connection(str(path)).pragma("user_version") == len(MIGRATIONS)


async def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    async with opened(path):
        pass
    apsw.Connection(str(path)).pragma("user_version", len(MIGRATIONS) + 1)
    with pytest.raises(SettingsError, match="newer Trailhook"):
        async with opened(path):
            pass
    assert apsw.Connection(str(path)).pragma("user_version") == len(MIGRATIONS) + 1


async def test_a_clean_close_leaves_one_file(path: Path) -> None:
    async with opened(path) as store:
        await store.add_source(a_source())
    assert [each.name for each in path.parent.iterdir()] == ["trailhook.sqlite"]


async def test_the_leases_of_a_dead_process_end_with_it_and_what_it_was_sending_is_uncertain(path: Path) -> None:
    clock = FakeClock()
    async with opened(path, clock) as store:
        await store.add_source(a_source())
        await store.add_units("s1", [a_unit("a")])
        await freeze(store, a_batch("sending"), a_batch("later"), a_batch("waiting"))
        (unit,) = await leased_units(store, lease_s=3_600.0)
        sending, later = await store.lease_batches("s1", limit=2, lease_s=3_600.0)
        await store.settle(later, settled_as(BatchState.WAITING, due_at=clock.now() + 60))
        assert await store.lease("poll:s1", 3_600.0) is not None
    async with opened(path, clock) as store:
        assert [each.name for each in await leased_units(store)] == ["a"]
        leased = await store.lease_batches("s1", limit=5, lease_s=60.0)
        assert [(batch.id, batch.uncertain) for batch in leased] == [("sending", True), ("waiting", False)]
        assert await store.lease("poll:s1", 60.0) is not None
        with pytest.raises(LeaseLost):
            await store.settle(sending, DELIVERED)
        assert (await leased_units(store)) == []
        assert unit.token < leased[0].token


def everywhere(path: Path) -> bytes:
    """All that lies in the database's files."""
    return b"".join(each.read_bytes() for each in path.parent.iterdir() if each.name.startswith(path.name))


async def test_sealed_credentials_of_a_removed_source_are_in_no_file(path: Path) -> None:
    sealed = base64.b64encode(a_source().sealed["credentials"])
    async with opened(path) as store:
        await store.add_source(a_source())
        assert sealed in everywhere(path)
        await store.remove_source("s1")
        assert sealed not in everywhere(path)


async def test_sealed_credentials_that_were_replaced_are_in_no_file(path: Path) -> None:
    sealed = base64.b64encode(a_source().sealed["credentials"])
    async with opened(path) as store:
        await store.add_source(a_source())
        await store.change_source("s1", lambda source: (source.but(sealed={"credentials": b"newer"}), ()))
        assert sealed not in everywhere(path)
        assert base64.b64encode(b"newer") in everywhere(path)


async def test_the_body_of_a_discarded_source_is_in_no_file(path: Path) -> None:
    body = b"a body of which nothing may remain " * 1_000
    async with opened(path) as store:
        await store.add_source(a_source())
        await freeze(store, a_batch(body=body))
        assert body[:100] in everywhere(path)
        await store.remove_source("s1")
        assert body[:100] not in everywhere(path)
