"""What is left of removed sources, taken away piece by piece: a ledger can have millions of keys."""

from collections.abc import Sequence

from pymongo.asynchronous.collection import AsyncCollection

from trailhook.store.mongo import ledger
from trailhook.store.mongo.engine import Database, Row
from trailhook.store.mongo.rows import within

BATCHES_PER_STEP = 100
ROWS_PER_STEP = 2_000


async def delete_where(collection: AsyncCollection[Row], wanted: Row) -> int:
    """Delete them and say how many there were."""
    return (await collection.delete_many(wanted)).deleted_count


async def delete_batches(db: Database, nums: Sequence[int]) -> int:
    """Forget batches with all that belongs to them; the rows go last."""
    if not nums:
        return 0
    ids = {"_id": {"$in": list(nums)}}
    gone = await delete_where(db.bodies, ids) + await delete_where(db.columns, ids)
    attempts = [{"_id": {"$gte": {"batch": num}, "$lt": {"batch": num + 1}}} for num in nums]
    gone += await delete_where(db.attempts, {"$or": attempts})
    return gone + await delete_where(db.batches, ids)


async def forget_next_of_removed(db: Database) -> int:
    """Delete the next rows of a removed source and say how many; 0 once nothing is left of any."""
    async for row in db.sources.find({"removed": True, "cleared": False}, {"_id": 1}):
        if gone := await _forget_next(db, row["_id"]):
            return gone
        await db.sources.update_one({"_id": row["_id"]}, {"$set": {"cleared": True}})
    return 0


async def _forget_next(db: Database, source: int) -> int:
    mine = {"source": source}
    batches = db.batches.find({**mine, "kept": True}, {"_id": 1}, limit=BATCHES_PER_STEP)
    if gone := await delete_batches(db, [row["_id"] async for row in batches]):
        return gone
    for collection, wanted in (
        (db.quarantine, mine),
        (db.units, mine),
        (db.samples, mine),
        (db.watermarks, {"_id": within(source)}),
    ):
        found = collection.find(wanted, {"_id": 1}, limit=ROWS_PER_STEP, batch_size=ROWS_PER_STEP)
        ids = [row["_id"] async for row in found]
        if ids:
            return await delete_where(collection, {"_id": {"$in": ids}})
    return await ledger.forget(db, source)
