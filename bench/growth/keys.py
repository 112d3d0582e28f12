"""A ledger that has grown: keys of the last weeks, put in through the store's own statements."""

import os
from collections.abc import Iterator
from typing import Any

from pymongo import MongoClient
from pymongo.write_concern import WriteConcern

from bench.corpus import DAY_S
from bench.engines import SQLITE, Installation
from trailhook.app import STORE_FILE
from trailhook.cloudtrail.identity import KEY_BYTES
from trailhook.store.mongo.ledger import HOUR_S, rows_of
from trailhook.store.sqlite.engine import connect
from trailhook.store.sqlite.units import claim

SPAN_DAYS = 45
"""What a ledger remembers: the new events' day is the last of them, so that their keys come between others."""
CHUNK_KEYS = 100_000
TIME_BYTES = 4


def fill(place: Installation, source_id: str, keys: int, now: float) -> None:
    """Enter so many keys, and have the walk over them be due. Nothing else may have the installation open."""
    if keys and place.engine == SQLITE:
        _fill_sqlite(place, source_id, keys, now)
    elif keys:
        _fill_mongo(place, source_id, keys, now)


def made(keys: int, now: float) -> Iterator[tuple[bytes, ...]]:
    """Keys in the order of their time, as the events of many accounts come."""
    first_at, span_s, rest_bytes = int(now) - SPAN_DAYS * DAY_S, SPAN_DAYS * DAY_S, KEY_BYTES - TIME_BYTES
    for start in range(0, keys, CHUNK_KEYS):
        numbers = range(start, min(start + CHUNK_KEYS, keys))
        chance = os.urandom(len(numbers) * rest_bytes)
        yield tuple(
            (first_at + number * span_s // keys).to_bytes(TIME_BYTES, "big") + chance[at : at + rest_bytes]
            for number, at in zip(numbers, range(0, len(chance), rest_bytes), strict=True)
        )


def _fill_sqlite(place: Installation, source_id: str, keys: int, now: float) -> None:
    database = connect(place.data_dir / STORE_FILE)
    try:
        number = database.execute("SELECT num FROM sources WHERE id = ?", (source_id,)).get
        for chunk in made(keys, now):
            with database:
                claim(database, number, chunk, now)
        database.execute("UPDATE totals SET clean_to = 0")
    finally:
        database.close()


def _fill_mongo(place: Installation, source_id: str, keys: int, now: float) -> None:
    with MongoClient[dict[str, Any]](place.environ["TRAILHOOK_MONGODB_URL"]) as client:
        database = client.get_default_database()
        source = database["sources"].find_one({"id": source_id}) or {}
        ledger = database["ledger"].with_options(write_concern=WriteConcern(w=1, j=False))
        for chunk in made(keys, now):
            ledger.insert_many(rows_of(source["_id"], chunk, int(now // HOUR_S)), ordered=False)
