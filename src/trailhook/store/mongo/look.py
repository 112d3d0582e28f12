"""Looking at a MongoDB from outside: who answers, as what, and what time it is there. Nothing is changed."""

from typing import Any

from pymongo import AsyncMongoClient, ReadPreference
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

from trailhook.clock import Clock
from trailhook.errors import SettingsError, StoreUnavailable
from trailhook.model import Value
from trailhook.store.base import NOTIFY_FAILING
from trailhook.store.mongo.connect import DATABASE
from trailhook.store.mongo.documents import documents_of
from trailhook.store.moving import MARK, Mark, marked

Database = AsyncDatabase[dict[str, Any]]
ANYBODY = ReadPreference.PRIMARY_PREFERRED


class Look(Value, frozen=True, kw_only=True):
    """What was found."""

    version: str
    transactions: bool
    """A replica set's, or a sharded cluster's; a standalone has none."""
    primary: bool
    """Whether a primary answered: without one nothing can be written."""
    ahead_s: float
    """How far its clock is ahead of ours."""
    round_trip_s: float
    """How long asking took: `ahead_s` is true to half of it."""
    key_check: bytes | None = None
    transaction_s_max: int | None = None
    """How long a transaction may stay open that nobody ends; None where we may not ask."""
    mark: Mark | None = None
    """That of an unfinished move into here."""
    notify_failing: tuple[str, ...] = ()
    """The numbers of the notify URLs that take nothing."""


async def look(url: str, *, key_check: tuple[str, str], clock: Clock, within_s: float) -> Look:
    """Ask the server at `url`. Raises `StoreUnavailable` without an answer, `SettingsError` for a URL that is none."""
    within_ms = int(within_s * 1_000)
    try:
        async with AsyncMongoClient[dict[str, Any]](
            url, tz_aware=True, serverSelectionTimeoutMS=within_ms, connectTimeoutMS=within_ms, timeoutMS=within_ms
        ) as client:
            return await _look(client.get_default_database(DATABASE, read_preference=ANYBODY), key_check, clock)
    except (ConfigurationError, ValueError) as error:
        raise SettingsError("TRAILHOOK_MONGODB_URL is not a MongoDB URL, or names hosts that nobody knows") from error
    except PyMongoError as error:
        raise StoreUnavailable(f"MongoDB does not answer as it should: {type(error).__name__}") from error


async def _look(db: Database, key_check: tuple[str, str], clock: Clock) -> Look:
    admin = db.client.admin
    await admin.command("ping", read_preference=ANYBODY)  # connecting takes longer than asking
    asked_at = clock.now()
    said = await admin.command("hello", read_preference=ANYBODY)
    answered_at = clock.now()
    found = Look(
        version=(await admin.command("buildInfo", read_preference=ANYBODY))["version"],
        transactions="setName" in said or said.get("msg") == "isdbgrid",
        primary=said["isWritablePrimary"],
        ahead_s=said["localTime"].timestamp() - (asked_at + answered_at) / 2,
        round_trip_s=answered_at - asked_at,
    )
    return found.but(
        key_check=await _document(db, *key_check),
        mark=marked(await _document(db, *MARK)),
        transaction_s_max=await _transaction_s_max(db),
        notify_failing=tuple(await documents_of(db, NOTIFY_FAILING)),
    )


async def _transaction_s_max(db: Database) -> int | None:
    name = "transactionLifetimeLimitSeconds"
    try:
        said = await db.client.admin.command({"getParameter": 1, name: 1}, read_preference=ANYBODY)
    except OperationFailure:  # whoever may use a database may not always ask the server
        return None
    return int(said[name])


async def _document(db: Database, kind: str, key: str) -> bytes | None:
    row = await db.documents.find_one({"_id": {"kind": kind, "key": key}})
    return None if row is None else row["value"]
