"""The connection: verbs as transactions or single statements, numbers that only grow, and the driver's errors as ours.

Reads see only what a majority has, writes return once a majority has them, transactions read one snapshot. The
driver repeats a transaction that lost a race or its connection, and a commit whose answer was lost, under the same
number: the server does it once.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import pymongo
from bson.int64 import Int64
from pymongo import AsyncMongoClient, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.client_session_shared import TransactionOptions
from pymongo.errors import (
    ConnectionFailure,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
    WTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from trailhook.clock import Clock
from trailhook.errors import StoreUnavailable
from trailhook.store.mongo.server_clock import ServerClock

P = ParamSpec("P")
T = TypeVar("T")
Row = dict[str, Any]
Client = AsyncMongoClient[Row]
Database = AsyncDatabase[Row]

TRANSACTION = TransactionOptions(read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority"))

_UNAVAILABLE = (ConnectionFailure, ExecutionTimeout, WTimeoutError, WriteConcernError)
_UNAVAILABLE_CODES = frozenset({13, 18, 388, 14031})
"""Not authorized, authentication failed (somebody changed them under us), no room in its cache, or on its disk."""
_UNAVAILABLE_LABELS = ("TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError")
_SHOWN_CHARACTERS = 200
"""The driver's messages go on with the whole topology."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """What the statements of one transaction share."""

    db: Database
    session: AsyncClientSession
    engine: "Engine"


class Engine:
    """Runs what the verbs are made of. A verb takes `timeout_s` at most, its repetitions included."""

    def __init__(self, db: Database, clock: Clock, *, timeout_s: float) -> None:
        self._db = db
        self._clock = clock
        self._timeout_s = timeout_s

    async def write(
        self, work: Callable[Concatenate[Transaction, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`work` as one transaction, durable on return. It may be called more than once; what it raises undoes it."""

        async def attempt(session: AsyncClientSession) -> T:
            return await work(Transaction(self._db, session, self), *args, **kwargs)

        with self._edge():
            async with self._db.client.start_session(default_transaction_options=TRANSACTION) as session:
                return await session.with_transaction(attempt)

    async def ask(self, work: Callable[Concatenate[Database, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work` as statements that each stand for themselves."""
        with self._edge():
            return await work(self._db, *args, **kwargs)

    async def next_numbers(self, name: str, number: int) -> range:
        """That many numbers, each greater than any given out under `name` before, to whomever.

        They are never given back, whatever becomes of the transaction that asked for them: gaps mean nothing.
        """
        asked_at = self._clock.machine_now() if isinstance(self._clock, ServerClock) else 0.0
        grown = {"$add": [{"$ifNull": ["$last", 0]}, Int64(number)]}
        with self._edge():
            row: Row = await self._db.counters.find_one_and_update(  # type: ignore[assignment] # an upsert finds one
                {"_id": name},
                [{"$set": {"last": grown, "at": {"$toLong": "$$NOW"}}}],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        if isinstance(self._clock, ServerClock):
            self._clock.heard(row["at"] / 1_000, asked_at=asked_at)
        return range(row["last"] - number + 1, row["last"] + 1)

    @contextmanager
    def _edge(self) -> Iterator[None]:
        with at_the_edge(), pymongo.timeout(self._timeout_s):
            yield


@contextmanager
def at_the_edge() -> Iterator[None]:
    """MongoDB's trouble as `StoreUnavailable`; anything else (ours, or a defect) as it is."""
    try:
        yield
    except PyMongoError as error:
        if not _means_unavailable(error):
            raise
        said = str(error)[:_SHOWN_CHARACTERS]
        raise StoreUnavailable(f"MongoDB cannot be used now: {type(error).__name__}: {said}") from error


def _means_unavailable(error: PyMongoError) -> bool:
    if isinstance(error, InvalidOperation):
        return "after close" in str(error)
    if isinstance(error, OperationFailure) and not _UNAVAILABLE_CODES.isdisjoint(_codes(error)):
        return True
    return isinstance(error, _UNAVAILABLE) or any(error.has_error_label(label) for label in _UNAVAILABLE_LABELS)


def _codes(error: OperationFailure) -> set[int | None]:
    """The codes of an error, and of the single writes in it."""
    writes = (error.details or {}).get("writeErrors", ())
    return {error.code, *(each["code"] for each in writes)}
