"""The keys seen. A key's id begins with its source and goes on with its time: inserts are nearly append-only."""

from collections.abc import Sequence

from pymongo.errors import BulkWriteError

from trailhook.errors import KeysTaken
from trailhook.store.mongo.engine import Database, Transaction
from trailhook.store.mongo.rows import scoped, source_num

HOUR_S = 3_600
SEEN_AGAIN_H = 24
"""A key that is met again is remembered anew, at most once a day."""
KEYS_PER_QUESTION = 10_000
"""Well below the 16 MB that one statement may have."""
DUPLICATE_KEY = 11_000


async def known_keys(db: Database, source_id: str, keys: Sequence[bytes], now: float) -> set[bytes]:
    """Those of `keys` that the ledger holds, seen now."""
    source = await source_num(db, source_id)
    if source is None or not keys:
        return set()
    hour = int(now // HOUR_S)
    ids = [scoped(source, key) for key in keys]
    known: dict[bytes, int] = {}
    for start in range(0, len(ids), KEYS_PER_QUESTION):
        wanted = {"_id": {"$in": ids[start : start + KEYS_PER_QUESTION]}}
        found = db.ledger.find(wanted, batch_size=KEYS_PER_QUESTION)
        known.update({row["_id"]: row["seen"] for row in await found.to_list()})
    if fading := [each for each, seen in known.items() if seen <= hour - SEEN_AGAIN_H]:
        await _see_again(db, fading, hour)
    return {each[-len(keys[0]) :] for each in known}


async def _see_again(db: Database, ids: Sequence[bytes], hour: int) -> None:
    for start in range(0, len(ids), KEYS_PER_QUESTION):
        wanted = {"_id": {"$in": ids[start : start + KEYS_PER_QUESTION]}}
        await db.ledger.update_many(wanted, {"$max": {"seen": hour}})


async def claim(tx: Transaction, source: int, keys: Sequence[bytes], now: float) -> None:
    """Enter keys into the ledger. Raises `KeysTaken` if one of them is there."""
    if not keys:
        return
    hour = int(now // HOUR_S)
    try:
        await tx.db.ledger.insert_many([{"_id": scoped(source, key), "seen": hour} for key in keys], session=tx.session)
    except BulkWriteError as error:
        if any(each["code"] != DUPLICATE_KEY for each in error.details["writeErrors"]):
            raise
        raise KeysTaken("another transaction claimed some of these keys first") from None


async def knows(tx: Transaction, source: int, key: bytes) -> bool:
    """Whether the ledger holds `key`, in a transaction that goes on if it does."""
    return await tx.db.ledger.find_one({"_id": scoped(source, key)}, session=tx.session) is not None
