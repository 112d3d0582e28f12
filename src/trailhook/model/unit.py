"""Units, how far a source has been seen, and what could not be read."""

from enum import StrEnum

from trailhook.model.value import Value


class UnitState(StrEnum):
    """Where a unit stands."""

    WAITING = "waiting"
    DONE = "done"
    QUARANTINED = "quarantined"
    IGNORED = "ignored"


class FoundUnit(Value, frozen=True, kw_only=True):
    """A unit as a poll found it. `(intake, place, name, version)` is what makes it itself.

    For S3 `place` is the bucket, `name` the key and `version` the ETag: an object written again is another unit.
    For a message that announces no object they are the queue, the message's id and, if it is not understood, its body.
    """

    intake: str
    place: str
    name: str
    version: str = ""
    endpoint_url: str | None = None
    region: str = ""
    size_bytes: int = 0
    labelled_at: float = 0.0
    """The time in the key, the unit's place in time; 0 where there is none."""
    modified_at: float = 0.0
    ignored: str | None = None
    """The kind of a key that is not to be read (`digest`, `unknown`, `too_old`): known, counted, never opened."""
    backfill: bool = False
    """A backfill found it: it is read while nothing waits that was found as it came."""


class Unit(FoundUnit, frozen=True, kw_only=True):
    """A unit as the store keeps it."""

    id: int
    source_id: str
    state: UnitState = UnitState.WAITING
    found_at: float = 0.0
    attempts: int = 0
    records_taken: int = 0
    """How many of its records earlier transactions have already dealt with (large units only)."""
    token: int = 0
    """The fencing token of the lease under which it was handed out."""
    sha256: bytes = b""
    """Of its inflated content, once it is done, if the source asked for verification; else empty."""


class UnitEnd(Value, frozen=True, kw_only=True):
    """How one transaction leaves a unit. WAITING with `records_taken` means: more slices follow."""

    unit_id: int
    state: UnitState
    records: int = 0
    records_taken: int = 0
    reason: str = ""
    detail: str = ""
    sha256: bytes = b""
    """Of the inflated content, as it was read and before any filter, where the source asks for verification."""


class Rhythm(Value, frozen=True, kw_only=True):
    """When log files came from one place, by their labels: what `silence` goes by."""

    files: int = 0
    """Labels, each later than the one before."""
    first_at: float = 0.0
    last_at: float = 0.0
    pauses_s: tuple[float, float] = (0.0, 0.0)
    """The two longest times between a label and the next, longest first."""


class Watermark(Value, frozen=True, kw_only=True):
    """How far one prefix (or window chain) has been seen. `mark_at` is the newest label listed there."""

    intake: str
    place: str
    prefix: str
    mark_at: float
    reconciled_at: float = 0.0
    """When the slow pass over the whole reconcile window last completed here; 0 for never."""
    start_from_at: float = 0.0
    """The `startFrom` it was listed under: an earlier one means listing what lies before, too."""
    rhythm: Rhythm = Rhythm()
    """Of the reconcile window, as last listed whole, and what has come since."""


class QuarantineKind(StrEnum):
    """A whole unit, or one record of it."""

    UNIT = "unit"
    RECORD = "record"


class NewQuarantined(Value, frozen=True, kw_only=True):
    """A record that cannot be read, kept byte for byte; of one that is too large, as much as may be held.

    (A quarantined unit keeps its key, not its bytes.)
    """

    unit_id: int
    position: int
    """Which record of the unit, from 0."""
    reason: str
    detail: str
    body: bytes


class Quarantined(Value, frozen=True, kw_only=True):
    """One entry of the quarantine list. `id` is `u-NUMBER` or `r-NUMBER`."""

    id: str
    kind: QuarantineKind
    source_id: str
    place: str
    name: str
    position: int | None = None
    reason: str
    detail: str
    at: float
    body: bytes = b""
    unit_id: int
