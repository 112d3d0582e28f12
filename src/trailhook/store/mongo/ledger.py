"""The keys seen, some dozens to a row, found by an index over the keys in the rows.

A row of its own for each key would be most of what an intake costs MongoDB: measured, 11 µs a key in a transaction, and
under 3 in rows of 64. The index cannot keep a key from being entered twice, as that of ids could; so `claim` looks once
more, where nobody can come between, for 1 µs.

A row's id goes on, after its source, with the hour in which its keys were seen: what is old enough to be forgotten is
the beginning of the source's stretch. Keys that are seen again move to a new row. A key begins with its time, so both
the rows and their index are nearly append-only.
"""

from collections.abc import Collection, Iterator, Sequence
from hashlib import blake2b

from pymongo import DeleteOne, UpdateOne

from trailhook.errors import KeysTaken
from trailhook.store.mongo.engine import Database, Row, Transaction
from trailhook.store.mongo.rows import INTAKE, SOURCE_BYTES, live_num, scoped, source_num, tally

HOUR_S = 3_600
DAY_H = 24
SEEN_AGAIN_H = DAY_H
"""A key that is met again is remembered anew, at most once a day."""
KEYS_PER_ROW = 64
"""Twice or ten times as many cost the same to enter, and one that is met again would bring more others with it."""
KEYS_PER_QUESTION = 10_000
"""Well below the 16 MB that one statement may have."""
ROWS_PER_ANSWER = 1_000
"""Some 64,000 keys in memory, where each that is asked for lies in another row; a whole file lies in a few dozen."""
ROWS_PER_STEP = 300
"""Some 20,000 keys: what is forgotten in one piece of the janitor's work."""
BY_KEYS = "keys"
"""The index."""

_HOUR_BYTES = 4
_NAME_BYTES = 12


async def known_keys(db: Database, source_id: str, keys: Sequence[bytes], now: float) -> tuple[set[bytes], set[bytes]]:
    """Those of `keys` that the ledger holds, and which of them were last seen so long ago that `see_again` is due."""
    known: set[bytes] = set()
    fading: set[bytes] = set()
    source = await source_num(db, source_id)
    if source is None or not keys:
        return known, fading
    wanted: set[bytes] = set()  # made once it is needed: mostly nothing is known
    for question in _questions(source, keys):
        async for row in db.ledger.find(question, hint=BY_KEYS, batch_size=ROWS_PER_ANSWER):
            wanted = wanted or set(keys)
            here = wanted.intersection(row["keys"])
            known |= here
            if _fades(row, now):
                fading |= here
    return known, fading


async def see_again(tx: Transaction, source_id: str, keys: Collection[bytes], now: float) -> None:
    """Remember those of `keys` from now on that are in the ledger. Raises `NotFound` if the source is gone."""
    source = await live_num(tx, source_id)
    await tally(tx, source, INTAKE)
    left: dict[bytes, list[bytes]] = {}
    moved: list[bytes] = []
    for question in _questions(source, [*keys]):
        async for row in tx.db.ledger.find(question, hint=BY_KEYS, session=tx.session):
            if row["_id"] not in left and _fades(row, now):
                left[row["_id"]] = [each for each in row["keys"] if each not in keys]
                moved += [each for each in row["keys"] if each in keys]
    if moved:
        await tx.db.ledger.bulk_write([_leave(*each) for each in left.items()], session=tx.session)
        await tx.db.ledger.insert_many(rows_of(source, moved, _hour(now)), session=tx.session)


async def claim(tx: Transaction, source: int, keys: Sequence[bytes], now: float) -> None:
    """Enter keys into the ledger, no two of them the same. Raises `KeysTaken` if one of them is there.

    The source's INTAKE must have been tallied before: of two transactions that have, one is repeated when the other has
    ended, and then sees what that one has entered.
    """
    if not keys:
        return
    if await knows_any(tx, source, keys):
        raise KeysTaken("another transaction claimed some of these keys first")
    await tx.db.ledger.insert_many(rows_of(source, keys, _hour(now)), session=tx.session)


async def knows_any(tx: Transaction, source: int, keys: Sequence[bytes]) -> bool:
    """Whether the ledger holds one of `keys`, in a transaction that goes on if it does."""
    for question in _questions(source, keys):
        if await tx.db.ledger.find_one(question, {"_id": 1}, hint=BY_KEYS, session=tx.session) is not None:
            return True
    return False


def rows_of(source: int, keys: Sequence[bytes], hour: int) -> list[Row]:
    """Keys seen in an hour, as they lie in the ledger. The same keys make the same rows.

    A key is in one row at a time, and leaves it a day later at the earliest: the first names the row.
    """
    parts = [keys[start : start + KEYS_PER_ROW] for start in range(0, len(keys), KEYS_PER_ROW)]
    return [
        {
            "_id": scoped(source, _at(hour) + blake2b(part[0], digest_size=_NAME_BYTES).digest()),
            "source": source,
            "keys": part,
        }
        for part in parts
    ]


async def forget(db: Database, source: int, *, before: int | None = None) -> int:
    """Delete a source's next rows, of the hours before `before` or of all, and return how many keys those had."""
    end = _at(2**32 - 1) + b"\xff" * _NAME_BYTES if before is None else _at(before) + b"\x00" * _NAME_BYTES
    ids = {"$gte": scoped(source, _at(0) + b"\x00" * _NAME_BYTES), "$lt": scoped(source, end)}
    found = db.ledger.find({"_id": ids}, {"held": {"$size": "$keys"}}, sort=[("_id", 1)], limit=ROWS_PER_STEP)
    rows = await found.to_list()
    if rows:
        await db.ledger.delete_many({"_id": {"$in": [row["_id"] for row in rows]}})
    return sum(row["held"] for row in rows)


async def count(db: Database) -> int:
    """How many keys there are of all sources."""
    total = {"$group": {"_id": None, "held": {"$sum": {"$size": "$keys"}}}}
    found = await (await db.ledger.aggregate([total])).to_list()
    return found[0]["held"] if found else 0


def _leave(row: bytes, keys: Sequence[bytes]) -> UpdateOne | DeleteOne:
    return UpdateOne({"_id": row}, {"$set": {"keys": keys}}) if keys else DeleteOne({"_id": row})


def _questions(source: int, keys: Sequence[bytes]) -> Iterator[Row]:
    for start in range(0, len(keys), KEYS_PER_QUESTION):
        yield {"source": source, "keys": {"$in": keys[start : start + KEYS_PER_QUESTION]}}


def _fades(row: Row, now: float) -> bool:
    return int.from_bytes(row["_id"][SOURCE_BYTES : SOURCE_BYTES + _HOUR_BYTES], "big") <= _hour(now) - SEEN_AGAIN_H


def _hour(now: float) -> int:
    return int(now // HOUR_S)


def _at(hour: int) -> bytes:
    return hour.to_bytes(_HOUR_BYTES, "big")
