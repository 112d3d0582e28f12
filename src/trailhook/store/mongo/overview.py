"""What is asked of many sources at once, and how their counts have grown."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from pymongo.errors import BulkWriteError

from trailhook.model import Counts, Lane, SourceTotals
from trailhook.store.mongo.engine import Database, Row, Transaction
from trailhook.store.mongo.removal import delete_where
from trailhook.store.mongo.rows import Part, struct
from trailhook.store.mongo.sources import add_up, all_totals, as_totals, counts_in
from trailhook.store.samples import DAYS_KEPT_MIN, HOUR_S, MINUTE_S, MINUTES_KEPT_S, QUIET_S_MAX, STEPS_S, Sample

DAY_S = 86_400
DUPLICATE_KEY = 11_000


class MongoOverview(Part):
    """See `store.base.Overview`."""

    async def totals_of(self, source_ids: Collection[str]) -> Mapping[str, SourceTotals]:
        return await self._write(_totals, source_ids)

    async def sum_of_counts(self) -> Counts:
        return await self._write(_sum)

    async def lanes(self, keys: Collection[str]) -> Mapping[str, Lane]:
        return await self._ask(_lanes, keys)

    async def sample(self) -> int:
        """See `store.base.Overview`. All counts come from one snapshot; of two processes that sample at once either's
        is kept.
        """
        now = self._clock.now()
        taken = [await self._ask(_keep, changed) for changed in await self._write(_changed, now)]
        kept_s = {MINUTE_S: MINUTES_KEPT_S, HOUR_S: max(self._limits.retention_days, DAYS_KEPT_MIN) * DAY_S}
        await self._ask(_forget, {step_s: int((now - kept_s[step_s]) // step_s) for step_s in STEPS_S})
        return taken[0]

    async def samples(
        self, source_ids: Collection[str], *, step_s: int, since_at: float
    ) -> Mapping[str, Sequence[Sample]]:
        return await self._ask(_samples, source_ids, step_s, since_at)


async def _live(tx: Transaction, source_ids: Collection[str]) -> dict[int, str]:
    wanted = {"id": {"$in": list(source_ids)}, "removed": False}
    return {row["_id"]: row["id"] async for row in tx.db.sources.find(wanted, {"id": 1}, session=tx.session)}


async def _sums(tx: Transaction, nums: Collection[int]) -> dict[int, Row]:
    found: dict[int, list[Row]] = {num: [] for num in nums}
    ids = [each for num in nums for each in all_totals(num)]
    async for row in tx.db.totals.find({"_id": {"$in": ids}}, session=tx.session):
        found[row["_id"]["source"]].append(row)
    return {num: add_up(rows) for num, rows in found.items()}


async def _totals(tx: Transaction, source_ids: Collection[str]) -> dict[str, SourceTotals]:
    live = await _live(tx, source_ids)
    sums = await _sums(tx, live)
    oldest = await _oldest_waiting(tx, list(live))
    return {source_id: as_totals(sums[num], oldest.get(num)) for num, source_id in live.items()}


def _first(collection: str, at: str, **wanted: str | bool) -> Row:
    """The least `at` of the rows of `collection` that wait for the source."""
    return {
        "$lookup": {
            "from": collection,
            "localField": "_id",
            "foreignField": "source",
            "pipeline": [
                {"$match": {"state": "waiting", **wanted}},
                {"$sort": {at: 1}},
                {"$limit": 1},
                {"$project": {"_id": 0, "at": f"${at}"}},
            ],
            "as": collection,
        }
    }


async def _oldest_waiting(tx: Transaction, nums: Sequence[int]) -> dict[int, float]:
    pipeline: list[Row] = [
        {"$match": {"_id": {"$in": nums}}},
        {"$project": {"_id": 1}},
        _first("batches", "known_at", kind="events"),
        _first("units", "found_at", backfill=False),
    ]
    found = {}
    async for row in await tx.db.sources.aggregate(pipeline, session=tx.session):
        if first := [each["at"] for each in (*row["batches"], *row["units"])]:
            found[row["_id"]] = min(first)
    return found


async def _sum(tx: Transaction) -> Counts:
    sums = {name: {"$sum": f"${name}"} for name in Counts.__struct_fields__}
    cursor = await tx.db.totals.aggregate([{"$group": {"_id": None, **sums}}], session=tx.session)
    return next((counts_in(row) for row in await cursor.to_list()), Counts())


async def _lanes(db: Database, keys: Collection[str]) -> dict[str, Lane]:
    found = {
        row["_id"]: msgspec.json.decode(row["doc"], type=Lane)
        async for row in db.lanes.find({"_id": {"$in": list(keys)}})
    }
    return {key: found.get(key) or Lane(key=key) for key in keys}


# -------------------------------------------------------------------------------------------------------- samples


async def _changed(tx: Transaction, now: float) -> list[list[Row]]:
    """For each step, new samples of the sources that have changed since their last one, or were quiet for long."""
    nums = [row["_id"] async for row in tx.db.sources.find({"removed": False}, {"_id": 1}, session=tx.session)]
    counts = {num: counts_in(sums) for num, sums in (await _sums(tx, nums)).items()}
    return [_new(counts, await _last_samples(tx, step_s), step_s, now) for step_s in STEPS_S]


def _new(counts: Mapping[int, Counts], last: Mapping[int, Row], step_s: int, now: float) -> list[Row]:
    slot = int(now // step_s)
    found = []
    for num, present in counts.items():
        before = last.get(num)
        quiet = before is not None and counts_in(before) == present and before["at"] > now - QUIET_S_MAX
        if not quiet and (before is None or before["slot"] != slot):
            found.append({"source": num, "step_s": step_s, "slot": slot, "at": now, **msgspec.structs.asdict(present)})
    return found


async def _last_samples(tx: Transaction, step_s: int) -> dict[int, Row]:
    last = {
        "$lookup": {
            "from": "samples",
            "localField": "_id",
            "foreignField": "source",
            "pipeline": [{"$match": {"step_s": step_s}}, {"$sort": {"slot": -1}}, {"$limit": 1}],
            "as": "last",
        }
    }
    pipeline: list[Row] = [{"$match": {"removed": False}}, {"$project": {"_id": 1}}, last, {"$unwind": "$last"}]
    return {row["_id"]: row["last"] async for row in await tx.db.sources.aggregate(pipeline, session=tx.session)}


async def _keep(db: Database, samples: list[Row]) -> int:
    if not samples:
        return 0
    try:
        return len((await db.samples.insert_many(samples, ordered=False)).inserted_ids)
    except BulkWriteError as error:
        if any(each["code"] != DUPLICATE_KEY for each in error.details["writeErrors"]):
            raise
        kept: int = error.details["nInserted"]
        return kept


async def _forget(db: Database, oldest: Mapping[int, int]) -> None:
    for step_s, slot in oldest.items():
        await delete_where(db.samples, {"step_s": step_s, "slot": {"$lt": slot}})


async def _samples(db: Database, source_ids: Collection[str], step_s: int, since_at: float) -> dict[str, list[Sample]]:
    live = {"id": {"$in": list(source_ids)}, "removed": False}
    found: dict[str, list[Sample]] = {source_id: [] for source_id in source_ids}
    async for row in db.sources.find(live, {"id": 1}):
        series = {"source": row["_id"], "step_s": step_s}
        before = await db.samples.find_one({**series, "at": {"$lt": since_at}}, {"slot": 1}, sort=[("slot", -1)])
        first = before["slot"] if before else 0
        cursor = db.samples.find({**series, "slot": {"$gte": first}}, sort=[("slot", 1)])
        found[row["id"]] = [struct(Sample, each, counts=counts_in(each)) async for each in cursor]
    return found
