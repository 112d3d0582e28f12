"""The janitor's work, in pieces short enough to go between anybody else's.

Each piece can be broken off and done again, by another process too: what makes the rest findable goes last.
"""

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable

import pymongo

from trailhook.model import Watermark
from trailhook.store.base import IDEMPOTENCY, Limits
from trailhook.store.mongo import ledger
from trailhook.store.mongo.engine import Database, Row
from trailhook.store.mongo.removal import delete_batches, delete_where, forget_next_of_removed
from trailhook.store.mongo.rows import Part, struct, within

DAY_S = 86_400
BATCHES_PER_STEP = 100
ROWS_PER_STEP = 2_000
WHERE_AND_WHEN = ("intake", "place", "name", "labelled_at", "modified_at", "ignored")

Piece = Callable[[Database, Limits, float], Awaitable[int]]


class MongoUpkeep(Part):
    """See `store.base.Upkeep`."""

    async def clean(self, *, steps: int = 1) -> int:
        gone = 0
        for _ in range(steps):
            step = await self._clean_once()
            if not step:
                break
            gone += step
        return gone

    async def _clean_once(self) -> int:
        """The rows of the first piece that removes any; 0 once nothing does."""
        pieces: tuple[Piece, ...] = (
            _forget_batches,
            _forget_removed,
            _forget_units,
            _forget_documents,
            _forget_sources,
            _forget_keys,
        )
        for piece in pieces:
            if gone := await self._ask(piece, self._limits, self._clock.now()):
                return gone
        return 0

    async def check(self) -> None:
        await self._ask(_touch, self._clock.now())


async def _forget_batches(db: Database, limits: Limits, now: float) -> int:
    ended = {"ended_at": {"$gt": 0, "$lt": now - limits.retention_days * DAY_S}}
    found = db.batches.find(ended, {"_id": 1}, sort=[("ended_at", 1)], limit=BATCHES_PER_STEP, hint="ended")
    return await delete_batches(db, [row["_id"] async for row in found])


async def _forget_removed(db: Database, _limits: Limits, _now: float) -> int:
    return await forget_next_of_removed(db)


async def _forget_units(db: Database, limits: Limits, now: float) -> int:
    window_s = max(limits.look_back_s, limits.reconcile_days * DAY_S)
    cutoff = now - window_s
    async for source in db.sources.find({"removed": False}, {"_id": 1}):
        marks = [struct(Watermark, row) async for row in db.watermarks.find({"_id": within(source["_id"])})]
        remembered = Remembered(marks, limits.look_back_s)
        for state in ("done", "ignored"):
            ended = {"source": source["_id"], "state": state, "backfill": {"$in": [False, True]}}
            outside = {**ended, "found_at": {"$lt": cutoff}}
            ids = []
            async for unit in db.units.find(outside, WHERE_AND_WHEN, hint="ended"):
                at = place_in_time(unit)
                if at < cutoff and not remembered.holds(unit, at):
                    ids.append(unit["_id"])
                if len(ids) == ROWS_PER_STEP:
                    break
            if ids:
                return await delete_where(db.units, {"_id": {"$in": ids}, "state": state})
    return 0


def place_in_time(unit: Row) -> float:
    """What is no log has no label, and is listed by when it was written."""
    labelled_at: float = unit["labelled_at"]
    return labelled_at if unit["ignored"] is None else max(labelled_at, unit["modified_at"])


class Remembered:
    """What a prefix that was not listed for long will see again, from a look-back before its own mark."""

    def __init__(self, marks: Iterable[Watermark], look_back_s: float) -> None:
        self._marks = sorted((mark.intake, mark.place, mark.prefix, mark.mark_at) for mark in marks)
        self._look_back_s = look_back_s

    def holds(self, unit: Row, at: float) -> bool:
        """Whether the prefix that the unit lies under still has it in view."""
        intake, place, name = unit["intake"], unit["place"], unit["name"]
        after = bisect_right(self._marks, (intake, place, name, float("inf")))
        if not after:
            return False
        *where, prefix, mark_at = self._marks[after - 1]
        under = where == [intake, place] and name.startswith(prefix)
        return under and mark_at > 0 and at >= mark_at - self._look_back_s


async def _forget_documents(db: Database, _limits: Limits, now: float) -> int:
    old = {"_id.kind": IDEMPOTENCY, "changed_at": {"$lt": now - DAY_S}}
    return await delete_where(db.documents, old)


async def _forget_sources(db: Database, _limits: Limits, _now: float) -> int:
    """A removed source's name stays as long as the log has something of it."""
    removed = db.sources.find({"removed": True, "cleared": True}, {"_id": 1})
    over = [
        row["_id"] async for row in removed if await db.batches.find_one({"source": row["_id"]}, {"_id": 1}) is None
    ]
    return await delete_where(db.sources, {"_id": {"$in": over}}) if over else 0


async def _forget_keys(db: Database, limits: Limits, now: float) -> int:
    """Those of the days before the cutoff: the next of one source."""
    cutoff = now - limits.ledger_days * DAY_S
    async for source in db.sources.find({"removed": False}, {"_id": 1}):
        if gone := await ledger.forget(db, source["_id"], before=await _seen_before(db, source["_id"], cutoff)):
            return gone
    return 0


async def _seen_before(db: Database, source: int, cutoff: float) -> int:
    """The hour before which a key must have been last seen to be forgotten: none of a batch that still matters."""
    oldest = await db.batches.find_one(
        {"source": source, "kept": True}, {"frozen_at": 1}, sort=[("frozen_at", 1)], hint="kept"
    )
    return int(min(cutoff, cutoff if oldest is None else oldest["frozen_at"]) // DAY_S) * ledger.DAY_H


async def _touch(db: Database, now: float) -> None:
    with pymongo.timeout(db.client.options.server_selection_timeout):
        await db.counters.update_one({"_id": "checked"}, {"$set": {"at": now}}, upsert=True)
        await db.counters.find_one({"_id": "checked"})
