"""Small values by name, and the right to be the only one doing something."""

from collections.abc import Callable, Mapping

from bson.max_key import MaxKey
from bson.min_key import MinKey
from pymongo.errors import DuplicateKeyError

from trailhook.store.base import NamedLease
from trailhook.store.mongo.engine import Database, Row
from trailhook.store.mongo.rows import Due, Part


class MongoDocuments(Part):
    """See `store.base.Documents`."""

    async def document(self, kind: str, key: str) -> bytes | None:
        return await self._ask(_document, kind, key)

    async def documents(self, kind: str) -> Mapping[str, bytes]:
        return await self._ask(documents_of, kind)

    async def change_document(
        self, kind: str, key: str, change: Callable[[bytes | None], bytes | None]
    ) -> bytes | None:
        while True:
            old = await self._ask(_document, kind, key)
            new = change(old)
            if new == old or await self._ask(_replace, kind, key, old, new, self._clock.now()):
                return new

    async def lease(self, name: str, lease_s: float) -> NamedLease | None:
        if await self._ask(_held, name, self._due()):
            return None
        (token,) = await self._engine.next_numbers("token", 1)
        return await self._ask(_lease, NamedLease(name=name, token=token), lease_s, self._due())

    async def renew(self, lease: NamedLease, lease_s: float) -> bool:
        return await self._ask(_renew, lease, self._clock.now() + lease_s)

    async def release(self, lease: NamedLease) -> None:
        await self._ask(_release, lease)


def _id(kind: str, key: str) -> Row:
    return {"kind": kind, "key": key}


async def _document(db: Database, kind: str, key: str) -> bytes | None:
    row = await db.documents.find_one({"_id": _id(kind, key)})
    return None if row is None else row["value"]


async def documents_of(db: Database, kind: str) -> dict[str, bytes]:
    """All values of a kind by key, in the order of their keys."""
    whole_kind = {"$gte": {"kind": kind, "key": MinKey()}, "$lte": {"kind": kind, "key": MaxKey()}}
    return {row["_id"]["key"]: row["value"] async for row in db.documents.find({"_id": whole_kind}).sort("_id")}


async def _replace(db: Database, kind: str, key: str, old: bytes | None, new: bytes | None, now: float) -> bool:
    """Whether `new` has taken the place of `old`: False if it was no longer there."""
    row = {"_id": _id(kind, key), "value": new, "changed_at": now}
    if old is None:
        try:
            await db.documents.insert_one(row)
        except DuplicateKeyError:
            return False
        return True
    present = {"_id": _id(kind, key), "value": old}
    if new is None:
        return (await db.documents.delete_one(present)).deleted_count == 1
    return (await db.documents.replace_one(present, row)).matched_count == 1


async def _held(db: Database, name: str, due: Due) -> bool:
    held = {"_id": name, "until_at": {"$gt": due.now, "$lte": due.horizon}}
    return await db.leases.find_one(held) is not None


async def _lease(db: Database, lease: NamedLease, lease_s: float, due: Due) -> NamedLease | None:
    free = {"_id": lease.name, "token": {"$lt": lease.token}, **due.either("until_at")}
    taken = {"$set": {"token": lease.token, "until_at": due.now + lease_s}}
    try:
        await db.leases.update_one(free, taken, upsert=True)
    except DuplicateKeyError:
        return None
    return lease


async def _renew(db: Database, lease: NamedLease, until_at: float) -> bool:
    held = {"_id": lease.name, "token": lease.token}
    return (await db.leases.update_one(held, {"$set": {"until_at": until_at}})).matched_count == 1


async def _release(db: Database, lease: NamedLease) -> None:
    await db.leases.delete_one({"_id": lease.name, "token": lease.token})
