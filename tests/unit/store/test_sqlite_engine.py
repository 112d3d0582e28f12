"""The writer's promises: one commit for many, each caller's work on its own, nothing lost in silence."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import apsw
import pytest

from trailhook.errors import StoreUnavailable
from trailhook.store.sqlite.engine import Engine, Writer, connect


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    path = tmp_path / "test.sqlite"
    writer = connect(path)
    writer.execute("CREATE TABLE notes (text TEXT UNIQUE)")
    engine = Engine(writer=writer, reader=connect(path))
    yield engine
    await engine.close()


def note(db: apsw.Connection, text: str) -> None:
    db.execute("INSERT INTO notes VALUES (?)", (text,))


def notes(db: apsw.Connection) -> list[Any]:
    return [text for (text,) in db.execute("SELECT text FROM notes ORDER BY rowid")]


async def test_what_was_written_is_read(engine: Engine) -> None:
    await engine.write(note, "a")
    assert await engine.read(notes) == ["a"]


async def test_one_callers_failure_undoes_its_own_work_only(engine: Engine) -> None:
    def half(db: apsw.Connection) -> None:
        note(db, "half")
        raise LookupError("no")

    outcomes = await asyncio.gather(
        engine.write(note, "a"), engine.write(half), engine.write(note, "b"), return_exceptions=True
    )
    assert [type(each) for each in outcomes] == [type(None), LookupError, type(None)]
    assert await engine.read(notes) == ["a", "b"]


async def test_a_lease_waits_for_no_file_and_all_else_does(engine: Engine) -> None:
    def synchronous(db: apsw.Connection) -> int:
        return int(db.pragma("synchronous"))

    full, normal = 2, 1
    assert [await engine.lease(synchronous), await engine.write(synchronous)] == [normal, full]
    await engine.lease(note, "leased")
    assert await engine.read(notes) == ["leased"]


async def test_those_who_wait_share_one_commit(engine: Engine) -> None:
    commits: list[int] = []
    gate = threading.Event()

    def count() -> bool:
        commits.append(1)
        return False

    def count_commits(db: apsw.Connection) -> None:
        db.set_commit_hook(count)
        gate.wait(5)

    first = asyncio.ensure_future(engine.write(count_commits))
    await asyncio.sleep(0)
    rest = asyncio.gather(*(engine.write(note, str(number)) for number in range(50)))
    await asyncio.sleep(0)
    gate.set()
    await first
    await rest
    assert await engine.read(notes) == [str(number) for number in range(50)]
    assert len(commits) <= 2


async def test_a_read_sees_one_moment(engine: Engine) -> None:
    def twice(db: apsw.Connection) -> bool:
        before = notes(db)
        asyncio.run_coroutine_threadsafe(engine.write(note, "meanwhile"), loop).result(5)
        return before == notes(db)

    loop = asyncio.get_running_loop()
    assert await engine.read(twice)


async def test_the_reader_cannot_write(engine: Engine) -> None:
    with pytest.raises(StoreUnavailable):
        await engine.read(note, "a")


async def test_a_full_disk_fails_the_caller_and_keeps_nothing_and_later_ones_succeed(engine: Engine) -> None:
    pages = await engine.write(lambda db: db.pragma("page_count"))
    await engine.write(lambda db: db.pragma("max_page_count", pages + 2))
    with pytest.raises(StoreUnavailable):
        await engine.write(note, "x" * 100_000)
    assert await engine.read(notes) == []
    await engine.write(note, "small")
    assert await engine.read(notes) == ["small"]


async def test_a_defect_is_not_called_an_outage(engine: Engine) -> None:
    with pytest.raises(apsw.SQLError):
        await engine.write(lambda db: db.execute("INSERT INTO nowhere VALUES (1)").fetchall())


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    path = tmp_path / "test.sqlite"
    engine = Engine(writer=connect(path), reader=connect(path))
    await engine.close()
    for call in (engine.write(notes), engine.read(notes), engine.erase()):
        with pytest.raises(StoreUnavailable):
            await call


async def test_what_was_asked_before_the_close_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "test.sqlite"
    writer = connect(path)
    writer.execute("CREATE TABLE notes (text TEXT UNIQUE)")
    engine = Engine(writer=writer, reader=connect(path))
    asked = asyncio.gather(*(engine.write(note, str(number)) for number in range(20)))
    await asyncio.sleep(0)
    await engine.close()
    await asked
    assert len(notes(connect(path))) == 20


def test_only_this_user_can_read_the_file(tmp_path: Path) -> None:
    connection = connect(tmp_path / "test.sqlite")
    connection.execute("CREATE TABLE notes (text TEXT)")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    connection.close()


def test_what_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "test.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreUnavailable):
        connect(tmp_path / "test.sqlite")
    with pytest.raises(StoreUnavailable):
        connect(tmp_path / "nowhere" / "test.sqlite")


# ------------------------------------------------------------------------------------------ a disk that breaks


class Disk(apsw.VFS):
    """The real file system, until it is broken: then nothing reaches the disk."""

    def __init__(self) -> None:
        self.broken = False
        super().__init__("breaking", "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return DiskFile(self, name, flags)


class DiskFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._disk.broken:
            raise apsw.IOError("the disk does not answer")
        super().xSync(flags)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.unregister()


def test_a_commit_that_fails_fails_everybody_in_it_and_keeps_nothing(tmp_path: Path, disk: Disk) -> None:
    connection = apsw.Connection(str(tmp_path / "test.sqlite"), vfs="breaking")
    for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE notes (text TEXT UNIQUE)")
    writer = Writer(connection)

    def breaking(_: apsw.Connection) -> None:
        disk.broken = True

    def asked(text: str) -> "Future[Any]":
        return writer.ask(lambda db: note(db, text))

    started, gate = threading.Event(), threading.Event()

    def hold(_: apsw.Connection) -> bool:
        started.set()
        return gate.wait(5)

    held = writer.ask(hold)
    assert started.wait(5)
    together = [writer.ask(breaking), asked("a"), asked("b")]
    gate.set()
    assert held.result(5)
    for future in together:
        assert isinstance(future.exception(5), StoreUnavailable)
    disk.broken = False
    asked("c").result(5)
    assert writer.ask(notes).result(5) == ["c"]
    writer.close()
