"""Two connections to one database file, each on its own thread: one writes in groups, one reads.

A commit costs an fsync, so callers share it: whatever has queued up while the last group was committed becomes the
next group, each caller's work in a savepoint of its own within one transaction. A group of leases goes without. Every
statement lets go of the interpreter's lock and waits to have it back, so that few statements are worth more than fast
ones.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar

import apsw

from trailhook.errors import StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[[apsw.Connection], Any]

GROUP_MAX = 256
BUSY_TIMEOUT_MS = 10_000
"""Only our own checkpoints ever hold the other connection up."""
CACHE_BYTES = 20 * 1024 * 1024
"""What the writer keeps of the ledger; it touches a page again and again."""
READER_CACHE_BYTES = 4 * 1024 * 1024
"""The reader reads what was just written, which the system holds for it."""

_UNAVAILABLE = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.ConnectionClosedError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.InterruptError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
)

_log = logging.getLogger(__name__)


def at_the_edge(error: Exception) -> Exception:
    """SQLite's trouble as `StoreUnavailable`; anything else (ours, or a defect) as it is."""
    return _unavailable(error) if isinstance(error, _UNAVAILABLE) else error


def _unavailable(error: Exception) -> StoreUnavailable:
    unavailable = StoreUnavailable(f"the database cannot be used now: {error}")
    unavailable.__cause__ = error
    return unavailable


def connect(path: Path, *, cache_bytes: int = CACHE_BYTES) -> apsw.Connection:
    """A connection as both threads want it, to a file that only this user can read. Raises `StoreUnavailable`."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = apsw.Connection(str(path))
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "secure_delete = ON",  # erased credentials must not live on in free pages
            f"cache_size = -{cache_bytes // 1024}",
            "wal_autocheckpoint = 4000",
            "journal_size_limit = 67108864",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except OSError as error:
        raise StoreUnavailable(f"the database {path} cannot be opened: {error.strerror}") from error
    except _UNAVAILABLE as error:
        raise _unavailable(error) from error
    return connection


@dataclass(frozen=True, slots=True)
class _Ask:
    work: Work
    durable: bool
    future: "Future[Any]" = field(default_factory=Future)


class Writer:
    """The one thread that writes. `connection` is its own from now on."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        self._durable: bool | None = None
        """What the next commit waits for; None: not known."""
        self._asks: SimpleQueue[_Ask | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="store-write", daemon=True)
        self._thread.start()

    def ask(self, work: Work, *, durable: bool = True) -> "Future[Any]":
        """Have `work` done; the future ends once that is durable, or with why it is not.

        What is not `durable` the machine may forget when it loses its power, up to the next that is; a process that
        is killed forgets nothing.
        """
        ask = _Ask(work, durable)
        self._asks.put(ask)
        return ask.future

    def close(self) -> None:
        """Do what was asked before, then close. Blocks."""
        self._asks.put(None)
        self._thread.join()
        self._db.close()

    def _loop(self) -> None:
        going = True
        while going:
            group, going = self._next_group()
            if wanted := [ask for ask in group if ask.future.set_running_or_notify_cancel()]:
                self._run(wanted)

    def _next_group(self) -> tuple[list[_Ask], bool]:
        """What waits, at least one; and whether to go on after it."""
        ask = self._asks.get()
        group: list[_Ask] = []
        while ask is not None:
            group.append(ask)
            if len(group) == GROUP_MAX:
                return group, True
            try:
                ask = self._asks.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _run(self, group: list[_Ask]) -> None:
        try:
            self._synchronize(any(ask.durable for ask in group))
            outcomes = self._transaction([ask.work for ask in group])
        except Exception as error:  # noqa: BLE001 - relayed: whoever waits must hear of it, whatever it is
            for ask in group:
                ask.future.set_exception(at_the_edge(error))
            return
        for ask, (result, failure) in zip(group, outcomes, strict=True):
            if failure is None:
                ask.future.set_result(result)
            else:
                ask.future.set_exception(at_the_edge(failure))

    def _synchronize(self, durable: bool) -> None:
        """SQLite takes this between transactions only."""
        if durable is not self._durable:
            self._durable = None
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    def _transaction(self, works: list[Work]) -> list[tuple[Any, Exception | None]]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if len(works) == 1:  # what it raises undoes the transaction, which holds nothing else
                outcomes: list[tuple[Any, Exception | None]] = [(works[0](self._db), None)]
            else:
                outcomes = [self._one(work) for work in works]
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        return outcomes

    def _one(self, work: Work) -> tuple[Any, Exception | None]:
        self._db.execute("SAVEPOINT one")
        try:
            result = work(self._db)
        except Exception as error:
            if not self._db.in_transaction:
                raise  # SQLite has rolled back everybody's work
            self._db.execute("ROLLBACK TO one")
            self._db.execute("RELEASE one")
            return None, error
        self._db.execute("RELEASE one")
        return result, None


class Engine:
    """Reads and writes for the event loop; neither blocks it."""

    def __init__(self, *, writer: apsw.Connection, reader: apsw.Connection) -> None:
        self._reader = reader
        self._reader.execute("PRAGMA query_only = ON")
        self._reading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-read")
        self._writer = Writer(writer)
        self._open = True

    async def write(self, work: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work` in a transaction; returns when it is durable. Raises what it raises, or `StoreUnavailable`."""
        self._check_open()
        result: T = await asyncio.wrap_future(self._writer.ask(lambda db: work(db, *args, **kwargs)))
        return result

    async def lease(self, work: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `write`, for what need not outlive this process: no file is waited for."""
        self._check_open()
        asked = self._writer.ask(lambda db: work(db, *args, **kwargs), durable=False)
        result: T = await asyncio.wrap_future(asked)
        return result

    async def read(self, work: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work` on one snapshot, which holds everything whose write has returned."""
        return await self._on_the_reader(lambda: _snapshot(self._reader, lambda db: work(db, *args, **kwargs)))

    async def erase(self) -> None:
        """Empty the write-ahead log, so that what was deleted or replaced is in no file any more."""
        if not await self._on_the_reader(lambda: _truncate_log(self._reader)):
            _log.warning("the write-ahead log is busy: what was erased leaves it with a later checkpoint")

    async def close(self) -> None:
        """Finish what was asked, then close the file."""
        self._open = False
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reading.shutdown()
        self._reader.close()
        self._writer.close()

    def _check_open(self) -> None:
        if not self._open:
            raise StoreUnavailable("the store is closed")

    async def _on_the_reader(self, call: Callable[[], T]) -> T:
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(self._reading, call)


def _snapshot(db: apsw.Connection, work: Callable[[apsw.Connection], T]) -> T:
    try:
        db.execute("BEGIN")
        try:
            return work(db)
        finally:
            db.execute("ROLLBACK")
    except _UNAVAILABLE as error:
        raise _unavailable(error) from error


def _truncate_log(db: apsw.Connection) -> bool:
    try:
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:
        return False
    except _UNAVAILABLE as error:
        raise _unavailable(error) from error
    return True
