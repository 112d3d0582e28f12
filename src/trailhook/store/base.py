"""What a store promises. The docstrings here are the specification; `tests/contract/test_store.py` is its proof.

The store is the truth. Every verb is atomic: it happens whole or, when it raises, not at all. When a verb that
writes returns, what it wrote is durable (SQLite: WAL with synchronous FULL; MongoDB: majority); leases alone may be
forgotten when a machine fails, for their holder is gone as well. Every verb may raise `StoreUnavailable`, which is
nobody's fault but ours and never counts as an attempt. No verb blocks the event loop. A store has a clock of its own;
leases and due times are judged by it, and a due time further ahead than `Limits.due_ahead_s_max` counts as due, so that
a clock that jumped back cannot put work off for ever.

**Leases.** A lease hands work to one holder for `lease_s` seconds and gives it a fencing token, a number that
only grows. Whoever comes back with a token that is no longer the row's gets `LeaseLost` and has changed nothing.
A lease that ended may be taken by anybody; until somebody does, its holder may still settle.

**Counting.** The verbs keep each source's `Counts` in the same transaction as the work they count.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from trailhook.conditions import listens
from trailhook.model import (
    Attempt,
    Batch,
    BatchState,
    Counts,
    FoundUnit,
    Job,
    Lane,
    NewBatch,
    NewQuarantined,
    Quarantined,
    Source,
    SourceTotals,
    Unit,
    UnitEnd,
    Value,
    Watermark,
)
from trailhook.store.lists import BatchLists
from trailhook.store.log import EventLog
from trailhook.store.samples import Overview

IDEMPOTENCY = "idempotency"
"""The kind of documents that are forgotten after a day."""
NOTIFY_FAILING = "notify-failing"
"""The kind of documents that say since when a notify URL, by its number, takes nothing."""


class Limits(Value, frozen=True, kw_only=True):
    """What the store itself must know of the settings."""

    due_ahead_s_max: float = 2 * 86_400.0
    """A due time further ahead than this counts as due: no schedule of ours is that long."""
    ledger_days: int = 45
    retention_days: int = 30
    look_back_s: float = 86_400.0
    reconcile_days: int = 30
    """Units whose label lies within the look-back or reconcile window are never forgotten."""
    keep_bodies: bool = True
    """False (`metadata` mode): a batch loses its body once delivered, split (its children have it) or discarded."""


class Commit(Value, frozen=True, kw_only=True):
    """One intake transaction: the new keys, the batches frozen from them, and how it leaves its units."""

    source_id: str
    token: int
    keys: Sequence[bytes] = ()
    """Ledger keys (16 bytes each) of the records in `batches`, none of them known, no two the same."""
    batches: Sequence[NewBatch] = ()
    units: Sequence[UnitEnd] = ()
    quarantined: Sequence[NewQuarantined] = ()
    counts: Counts = Counts()
    """What to add: read, filtered, duplicate and quarantined. The store adds `waiting` from the batches."""
    last_event_at: float | None = None


class Settlement(Value, frozen=True, kw_only=True):
    """What an attempt leads to. WAITING: again at `due_at`. SPLIT: `children` take its place, due at once."""

    state: BatchState
    attempt: Attempt | None = None
    """None when there was none: the batch is handed back as it was, and no attempt is counted."""
    due_at: float = 0.0
    refusals: int = 0
    held_mark_s: float = 0.0
    """Kept with the batch at its first attempt, ignored at later ones."""
    uncertain: bool = False
    children: Sequence[NewBatch] = ()


Plan = Callable[[Source, Lane], tuple[Lane, int]]
"""How a source and its lane, as they are now, are to go on: the lane as it should be, the very same if nothing changes,
and how many batches to lease. It is pure and may be called more than once; what it raises goes to the caller."""


Held = Callable[[bytes], bool]
"""Whether a body is at hand and need not be read, by its hash."""


def nothing_held(_: bytes) -> bool:
    """Every body is to be read."""
    return False


class Turn(Value, frozen=True, kw_only=True):
    """What may be sent next for a source, all of it as of one moment."""

    source: Source
    lane: Lane
    """As `Plan` has left it."""
    batches: Sequence[Batch]
    lost: Collection[str] = ()
    """The ids of batches that could not be settled because their leases were lost; nothing has changed for them."""


class Removed(Value, frozen=True, kw_only=True):
    """What went with a source."""

    waiting: int
    """Records that were frozen and not yet sent."""
    dead_lettered: int
    units: int
    """Units known and not yet read."""
    last_event_at: float | None
    """Event time of the newest record that was delivered: a later registration may start from here."""


class Replayed(Value, frozen=True, kw_only=True):
    """What came of freezing batches anew."""

    batches: int = 0
    events: int = 0
    gone: int = 0
    """Batches of which no body is kept any more."""


class NamedLease(Value, frozen=True, kw_only=True):
    """The right to be the only one doing `name`."""

    name: str
    token: int


def source_columns(source: Source) -> dict[str, object]:
    """What a store keeps of a source: the whole, and beside it what `Sources.due` asks for."""
    return {
        "doc": msgspec.json.encode(source),
        "created_at": source.created_at,
        "next_fetch_at": source.next_fetch_at,
        "paused": source.paused_at is not None,
        "lane": source.lane,
        "held": source.hold is not None,
        "listens": listens(source),
        "notify_at": min((each.due_at for each in source.untold), default=None),
    }


class Documents(Protocol):
    """A drawer for small values that need no verbs of their own: tokens, idempotency keys, key checks."""

    async def document(self, kind: str, key: str) -> bytes | None:
        """The value, or None."""

    async def documents(self, kind: str) -> Mapping[str, bytes]:
        """All values of a kind by key, in the order of their keys."""

    async def change_document(
        self, kind: str, key: str, change: Callable[[bytes | None], bytes | None]
    ) -> bytes | None:
        """Replace a value by what `change` makes of it and return that; None deletes or leaves absent.

        `change` is pure and may be called more than once; what it raises goes to the caller and nothing is changed.
        """

    async def lease(self, name: str, lease_s: float) -> NamedLease | None:
        """The sole right to `name` for `lease_s` seconds, or None while another holds it."""

    async def renew(self, lease: NamedLease, lease_s: float) -> bool:
        """Hold it for `lease_s` seconds from now. False if it was given back, or another has taken it."""

    async def release(self, lease: NamedLease) -> None:
        """Give it back early. Nothing happens if it was lost meanwhile."""


class Sources(Protocol):
    """The registered sources."""

    async def add_source(self, source: Source) -> Source:
        """Keep a new source. Raises `Conflict` if the id is taken."""

    async def source(self, source_id: str) -> Source:
        """Raises `NotFound`."""

    async def sources(self) -> Sequence[Source]:
        """All of them, oldest first."""

    async def change_source(
        self, source_id: str, change: Callable[[Source], tuple[Source, Sequence[NewBatch]]]
    ) -> Source:
        """Replace a source by what `change` makes of it, and freeze the notices that tell of it, in one go.

        `change` is pure and may be called more than once; returning the very same source with no notices
        writes nothing. The revision grows by one. What `change` raises goes to the caller. Raises `NotFound`.
        """

    async def remove_source(self, source_id: str) -> Removed:
        """Forget a source: its secrets, its ledger, its units, what waits, and its leases (by raising their tokens).

        Delivered batches stay in the log until retention ends. Raises `NotFound`.
        """

    async def totals(self, source_id: str) -> SourceTotals:
        """Everything counted for a source. Raises `NotFound`."""

    async def due(self) -> Sequence[Job]:
        """What is worth a hint now: sources to poll, to listen for (`conditions.listens`), with units to read, with
        batches to send or a `hold` to look at again, with notices to pass on (`Source.untold`). Of paused ones only the
        last.

        A batch, unit or notice that is leased, or not due yet, does not make its source due; nor do batches whose lane
        waits (see `Lane.waits_until_at`), nor units that wait for a backfill.
        """


class Units(Protocol):
    """Units, the ledger, the quarantine: the way in."""

    async def watermarks(self, source_id: str) -> Sequence[Watermark]:
        """Every watermark of a source."""

    async def add_units(self, source_id: str, found: Sequence[FoundUnit], marks: Sequence[Watermark] = ()) -> int:
        """Keep those not known yet as WAITING (IGNORED where `ignored` is set) and return how many were new.

        The watermarks are set in the same transaction, so that a mark is never ahead of the units behind it. One that
        waits for a backfill and is found without `backfill` waits for it no longer. Raises `NotFound` when the source
        is gone.
        """

    async def lease_units(
        self, source_id: str, *, limit: int, bytes_max: int, lease_s: float, backfill: bool = False
    ) -> Sequence[Unit]:
        """Up to `limit` units that are due, oldest label first, all under one new token.

        It stops before the unit that would exceed `bytes_max` (as listed), but hands out at least one. `backfill`:
        only those that backfills found, and none while any other is due; else none of those.
        """

    async def oldest_unit_at(self, source_id: str) -> float | None:
        """The oldest label of those that wait to be read, for whatever reason."""

    async def release_units(self, source_id: str, *, limit: int) -> int:
        """Make up to `limit` units due now that wait for a later time and are not leased; how many they were."""

    async def backfill_left(self, source_id: str) -> int:
        """How many units that backfills found wait to be read."""

    async def postpone_units(
        self, source_id: str, token: int, unit_ids: Sequence[int], *, due_at: float, detail: str, attempt: bool
    ) -> None:
        """Hand units back to be tried at `due_at`. `attempt` counts it as one of the unit's failed attempts.

        Units whose token is another's are passed over in silence: their new holder decides.
        """

    async def known_keys(self, source_id: str, keys: Sequence[bytes]) -> set[bytes]:
        """Those of `keys` that the source's ledger holds. They count as seen now (to the day): see `clean`."""

    async def commit(self, commit: Commit) -> None:
        """The intake transaction. Raises `KeysTaken` if one of its keys is known by now, `LeaseLost` if one of its
        units is no longer held under its token, `NotFound` if the source is gone; then nothing of it was kept.

        A unit left WAITING (more slices follow) stays leased under the same token until that lease ends.
        """

    async def units_named(self, source_id: str, place: str, names: Sequence[str]) -> Sequence[Unit]:
        """Every unit that is known of these objects of one place, of whichever intake and version, in no order.

        Those that `clean` has forgotten are not known any more.
        """

    async def quarantine(
        self, source_id: str | None = None, *, limit: int = 50, before: str | None = None
    ) -> Sequence[Quarantined]:
        """What could not be read, newest first, without bodies."""

    async def quarantined(self, quarantine_id: str) -> Quarantined:
        """One entry, a record with its bytes. Raises `NotFound`."""

    async def requeue_unit(self, quarantine_id: str) -> None:
        """A quarantined unit waits again, for no backfill, due at once, attempts 0. Raises `NotFound`."""

    async def release_record(self, quarantine_id: str, *, key: bytes | None, batch: NewBatch | None) -> None:
        """A quarantined record leaves quarantine, as `batch` under `key` (None: unremembered), as a duplicate if the
        key is known, or as filtered if there is no batch. Raises `NotFound`.
        """


class Outbox(BatchLists, Protocol):
    """Batches: the way out."""

    async def lease_batches(
        self, source_id: str, *, limit: int, lease_s: float, ordered: bool = False
    ) -> Sequence[Batch]:
        """Up to `limit` waiting batches that are due, in the order frozen, each with its body and its own token.

        `ordered`: only the first that waits, and nothing while it is leased or not yet due. A batch whose last lease
        ended without a word is uncertain from now on: its holder may have sent it.
        """

    async def settle(self, batch: Batch, settlement: Settlement) -> None:
        """End a lease with what came of it; the attempt is kept with the batch. Raises `LeaseLost`.

        Moves the counts: DELIVERED waiting → sent, DEAD waiting → dead_lettered; SPLIT leaves them, its children wait
        in the parent's place of the order, as old (`frozen_at`) as it is.
        """

    async def settle_and_lease(
        self,
        source_id: str,
        settlements: Sequence[tuple[Batch, Settlement]],
        plan: Plan,
        *,
        lease_s: float,
        held: Held = nothing_held,
    ) -> Turn:
        """`settle` batches of one source, `change_lane` and `lease_batches` (ordered if the source is) as `plan` says,
        in one transaction: whoever sends needs one trip for the end of some batches and the beginning of others.

        A lease that was lost keeps nothing else from happening: it is in `Turn.lost`. It leases what `plan` allows for
        the source and the lane as they are in this transaction, so of a source paused before it nothing. Raises
        `NotFound` if the source is gone; nothing has happened then. With nothing to settle it is a lease, and as
        durable as one. The batches come without columns, and without the bodies that are `held`.
        """

    async def batch(self, batch_id: str) -> Batch:
        """One batch, with its body if it still has one (`b""` if not). Raises `NotFound`."""

    async def attempts(self, batch_id: str) -> Sequence[Attempt]:
        """Every attempt at a batch, oldest first. Raises `NotFound`."""

    async def retry_batch(self, batch_id: str) -> Batch:
        """A dead letter waits again under its own id with a new count of attempts towards its end; a waiting
        batch becomes due at once. Raises `NotFound`; `Conflict` for any other state.
        """

    async def discard_batch(self, batch_id: str) -> Batch:
        """A waiting or dead batch is given up for good, counted as discarded. A request in flight may complete.

        Raises `NotFound`; `Conflict` for any other state.
        """

    async def replayable(
        self, source_id: str, *, from_at: float, to_at: float, after: int = 0, limit: int = 50
    ) -> Sequence[Batch]:
        """Delivered batches with events that reach into the span (both ends included), in the order frozen, of those
        whose `num` is above `after`; without bodies and columns.
        """

    async def replay(self, source_id: str, copies: Mapping[str, str]) -> Replayed:
        """Freeze delivered batches of events anew, in their order: the same bytes as REPLAY under the id that `copies`
        has for theirs, at the end of the order, due at once. What has no body any more is counted as gone.

        Raises `NotFound` if the source or one of them is not there, `Conflict` if one is not a delivered batch of
        events.
        """

    async def lane(self, key: str) -> Lane:
        """The lane, a closed new one if it has never failed."""

    async def change_lane(self, key: str, change: Callable[[Lane], Lane]) -> Lane:
        """Replace a lane by what `change` makes of it; `change` is pure and may be called more than once.

        Returning the very same lane writes nothing. What it raises goes to the caller.
        """


class Upkeep(Protocol):
    """What keeps the store small and whole."""

    async def clean(self, *, steps: int = 1) -> int:
        """Do up to `steps` bounded pieces of the janitor's work and return how many rows went; 0 when all is clean.

        By `Limits`: delivered, discarded and split batches with their attempts after retention; ledger keys last seen
        (not dated) longer ago than `ledger_days` (or up to a day later), but none that is younger than the source's
        oldest batch that waits or is dead; done and ignored units outside every window, that of a prefix that was
        not listed for long included; `IDEMPOTENCY` documents after a day. Totals stay as they are.
        """

    async def check(self) -> None:
        """Raise `StoreUnavailable` unless the store can read and write now: for readiness."""


class Store(Documents, Sources, Units, Outbox, EventLog, Overview, Upkeep, Protocol):
    """All of it. Opened and closed by its `open` context manager in `app.py`."""
