"""The collections, their indexes, and how an older database becomes a newer one.

Bodies and columns lie beside their batches, so that listing and settling never touch them. Indexes that serve what
waits are partial: a million delivered batches or finished units cost the hot statements nothing.

    counters     the last number given out, by name       schema       the version
    documents    small values by kind and key             leases       named leases
    lanes        by key                                   sources      by number, removed ones too
    totals       by source and by who counts              samples      by source, step and slot
    watermarks   by source and what is listed             units        by number
    ledger       by source and hour, many keys to a row   quarantine   by number
    batches      by number; the same for their            bodies, columns, attempts
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import OperationFailure

from trailhook.errors import SettingsError
from trailhook.store.base import IDEMPOTENCY
from trailhook.store.mongo.engine import Database, Row

COLLECTIONS = (
    "counters",
    "documents",
    "leases",
    "lanes",
    "sources",
    "totals",
    "samples",
    "watermarks",
    "units",
    "ledger",
    "quarantine",
    "batches",
    "bodies",
    "columns",
    "attempts",
)

EXISTS = 48

_WAITING = {"state": "waiting"}
_EVENTS = {"kind": "events"}


def _index(name: str, *fields: str, unique: bool = False, only: Row | None = None) -> IndexModel:
    """`-field` is descending; `only` says which rows it holds."""
    keys = [(field.removeprefix("-"), DESCENDING if field.startswith("-") else ASCENDING) for field in fields]
    return IndexModel(keys, name=name, unique=unique, **({"partialFilterExpression": only} if only else {}))


INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "documents": [_index("idempotency", "changed_at", only={"_id.kind": IDEMPOTENCY})],
    "sources": [
        _index("live", "id", unique=True, only={"removed": False}),
        _index("registered", "id"),
        _index("removed", "removed", "cleared"),
    ],
    "units": [
        _index("identity", "identity", unique=True),
        _index("ended", "source", "state", "backfill", "found_at"),
        _index("next", "source", "backfill", "labelled_at", "name", "available_at", only=_WAITING),
        _index("due", "source", "backfill", "available_at", only=_WAITING),
    ],
    "samples": [_index("series", "source", "step_s", "slot", unique=True), _index("age", "step_s", "slot")],
    "ledger": [_index("keys", "source", "keys")],
    "quarantine": [_index("source", "source", "-_id")],
    "batches": [
        _index("id", "id", unique=True),
        _index("source", "source", "state", "-_id", "frozen_at"),
        _index("state", "state", "-_id", "frozen_at"),
        _index(
            *("dead", "source", "last_class", "last_error", "-_id", "frozen_at", "count", "settled_at"),
            only={"state": "dead"},
        ),
        _index("parent", "parent", only={"parent": {"$gt": ""}}),
        _index("next", "source", "place", "available_at", only=_WAITING),
        _index("due", "source", "available_at", only=_WAITING),
        _index("known", "source", "known_at", only={**_WAITING, "kind": "events"}),
        _index("kept", "source", "frozen_at", only={"kept": True}),
        _index("log", "-last_event_at", "-_id", "first_event_at", only=_EVENTS),
        _index("source_log", "source", "-last_event_at", "-_id", "first_event_at", only=_EVENTS),
        _index("ended", "ended_at", only={"ended_at": {"$gt": 0}}),
    ],
}
"""Made at every start where they are missing."""


async def _first(db: Database) -> None:
    for name in COLLECTIONS:
        try:
            await db.create_collection(name, check_exists=False)
        except OperationFailure as error:
            if error.code != EXISTS:
                raise


MIGRATIONS: tuple[Callable[[Database], Awaitable[None]], ...] = (_first,)
"""Step n takes a database from version n to n + 1, as often as it is run. Never edit one that was released."""


async def migrate(db: Database) -> None:
    """Bring the database up to date; two processes may do so at once. Raises SettingsError if a newer one did."""
    row = await db["schema"].find_one({"_id": "version"})
    version = 0 if row is None else row["version"]
    if version > len(MIGRATIONS):
        raise SettingsError(
            f"the database {db.name} was written by a newer Trailhook (schema {version}, this one knows "
            f"{len(MIGRATIONS)}): install that version, or restore the backup made before the upgrade"
        )
    for step in MIGRATIONS[version:]:
        await step(db)
    for name, indexes in INDEXES.items():
        await db[name].create_indexes(indexes)
    await db["schema"].update_one({"_id": "version"}, {"$max": {"version": len(MIGRATIONS)}}, upsert=True)
