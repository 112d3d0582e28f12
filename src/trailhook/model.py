"""The values that travel through Trailhook: frozen, plain, free of behaviour that touches the outside.

Follow the data: a `Source` is polled and yields `FoundUnit`s; the store keeps them as `Unit`s; intake reads a
unit's records and freezes the new ones into `NewBatch`es; the store keeps those as `Batch`es; delivery sends
them and writes an `Attempt` each time. `Counts` must always add up (see `Counts.balanced`).
"""

from enum import StrEnum
from typing import Self

import msgspec

from trailhook.errors import FetchState


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value with keyword-only fields; `msgspec` turns it into JSON for the stores and back."""

    def but(self, **changes: object) -> Self:
        """The same value with some fields changed."""
        return msgspec.structs.replace(self, **changes)


# --------------------------------------------------------------------------------------------------- sources


class Format(StrEnum):
    """How the records of a batch are laid out in a body."""

    ENVELOPE = "envelope"
    NDJSON = "ndjson"
    ARRAY = "array"
    SINGLE = "single"


class EventFormat(StrEnum):
    """Which bytes of a record are sent: CloudTrail's own, or the short form."""

    CLOUDTRAIL = "cloudtrail"
    COMPACT = "compact"


class Compression(StrEnum):
    """How a body travels."""

    NONE = "none"
    GZIP = "gzip"


class Filter(Value, frozen=True, kw_only=True):
    """Which records to forward: field path (`eventName`, `userIdentity.arn`) → patterns with `*` and `?`.

    A record passes when every field of `include` matches one of its patterns and no field of `exclude` does.
    """

    include: dict[str, tuple[str, ...]] = {}
    exclude: dict[str, tuple[str, ...]] = {}


class DeliveryOptions(Value, frozen=True, kw_only=True):
    """How a source's batches are built and sent. The values of `headers` are secrets and kept sealed."""

    format: Format = Format.ENVELOPE
    event_format: EventFormat = EventFormat.CLOUDTRAIL
    max_events: int = 1_000
    max_bytes: int = 900 * 1024
    compression: Compression = Compression.NONE
    header_names: tuple[str, ...] = ()
    ordered: bool = False


class Condition(Value, frozen=True, kw_only=True):
    """A state with what a person needs to know about it."""

    state: str
    reason: str = ""
    remedy: str = ""
    since_at: float = 0.0


class Credentials(Value, frozen=True, kw_only=True):
    """AWS credentials in the clear: they live in memory only, for the time of one use.

    Without keys the machine's own identity is used. `role_arn` is assumed on top of either.
    """

    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None
    role_arn: str | None = None
    external_id: str | None = None

    def __repr__(self) -> str:
        return "Credentials(***)"


class Source(Value, frozen=True, kw_only=True):
    """One registered source. What is secret is only here as sealed bytes (see `security.vault`)."""

    id: str
    name: str
    revision: int = 0
    created_at: float
    intakes: tuple[str, ...]
    region: str
    access_key_last4: str = ""
    role_arn: str | None = None
    bucket: str | None = None
    prefix: str = ""
    endpoint_url: str | None = None
    sqs_queue_url: str | None = None
    regions: tuple[str, ...] = ()
    ca_certificate: str | None = None
    interval_s: int = 300
    callback_url: str
    start_from_at: float = 0.0
    """Records labelled or modified before this are not fetched; 0 means from the beginning."""
    filter: Filter | None = None
    delivery: DeliveryOptions = DeliveryOptions()
    lane: str
    """What answers for this source's callback: see `delivery.breaker.lane_key`."""
    sealed: dict[str, bytes] = {}
    """`credentials`, `signing` (newest first, each with its end) and `headers`, each one sealed value."""
    paused_at: float | None = None
    """Set while a user holds the source: it neither fetches nor delivers."""
    paused_total_s: float = 0.0
    fetch: Condition = Condition(state=FetchState.ACTIVE)
    """How the last look for units went."""
    reading: Condition = Condition(state=FetchState.ACTIVE)
    """How reading units goes: a listing that works says nothing of the objects' own permissions."""
    behind_s: float = 0.0
    """For how long the window read last had waited because LookupEvents answers no faster."""
    hold: Condition | None = None
    """Why this source delivers nothing although its callback may be well: its dead letters are full."""
    last_fetch_at: float | None = None
    next_fetch_at: float = 0.0
    failures: int = 0
    """Polls that failed in a row, for the backoff."""
    announced_fetch: str = FetchState.ACTIVE
    announced_delivery: str = "active"
    """The states that the last notices told of: a notice is sent when the present one differs."""


class Counts(Value, frozen=True, kw_only=True):
    """What became of a source's records. `waiting` are frozen and neither sent nor given up yet."""

    read: int = 0
    sent: int = 0
    filtered: int = 0
    duplicate: int = 0
    quarantined: int = 0
    dead_lettered: int = 0
    discarded: int = 0
    waiting: int = 0

    def plus(self, other: "Counts") -> "Counts":
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    @property
    def balanced(self) -> bool:
        """Whether every record that was read is accounted for."""
        return self.read == (
            self.sent
            + self.filtered
            + self.duplicate
            + self.quarantined
            + self.dead_lettered
            + self.discarded
            + self.waiting
        )


class SourceTotals(Value, frozen=True, kw_only=True):
    """Everything the store counts for one source."""

    counts: Counts = Counts()
    waiting_batches: int = 0
    waiting_bytes: int = 0
    """Stored bytes of the batches that wait: the outbox, held against its limit."""
    dead_batches: int = 0
    dead_bytes: int = 0
    units: dict[str, int] = {}
    """Units by state (`waiting`, `done`, `quarantined`) and, as `ignored:KIND`, keys that are not logs."""
    oldest_waiting_at: float | None = None
    """Event time of the oldest record known and not yet sent, or the discovery of the oldest unread unit."""
    last_event_at: float | None = None
    """Event time of the newest record read."""


# ----------------------------------------------------------------------------------------------------- units


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


class UnitEnd(Value, frozen=True, kw_only=True):
    """How one transaction leaves a unit. WAITING with `records_taken` means: more slices follow."""

    unit_id: int
    state: UnitState
    records: int = 0
    records_taken: int = 0
    reason: str = ""
    detail: str = ""


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


# --------------------------------------------------------------------------------------------------- batches


class BatchState(StrEnum):
    """Where a batch stands. SPLIT batches live on in their children."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"
    DISCARDED = "discarded"
    SPLIT = "split"


class BatchKind(StrEnum):
    """Events, or a notice to the user (which is counted nowhere among the records)."""

    EVENTS = "events"
    NOTICE = "notice"


class NewBatch(Value, frozen=True, kw_only=True):
    """A frozen body on its way into the store. `body` is always gzip; `sha256` is the hash of `body`."""

    id: str
    kind: BatchKind = BatchKind.EVENTS
    type: str = "cloudtrail.events"
    body: bytes
    sha256: bytes
    wire_bytes: int
    """Length of what travels: of `body` itself when `content_encoding` is gzip, else of the inflated body."""
    content_type: str
    content_encoding: str = ""
    count: int
    columns: bytes = b""
    """The packed search columns with the records' offsets in the inflated body: see `cloudtrail.columns`."""
    first_event_at: float = 0.0
    last_event_at: float = 0.0
    parent: str | None = None
    refusals: int = 0


class Batch(NewBatch, frozen=True, kw_only=True):
    """A batch as the store keeps it."""

    num: int
    """Its place in the order frozen, ascending over all sources."""
    source_id: str
    state: BatchState = BatchState.WAITING
    frozen_at: float
    due_at: float
    attempts: int = 0
    first_attempt_at: float | None = None
    held_mark_s: float = 0.0
    """What `held_s` of its source and lane added up to at the first attempt: held time is not age."""
    uncertain: bool = False
    """An attempt's answer was lost: the receiver may have taken it."""
    last_class: str = ""
    last_error: str = ""
    settled_at: float | None = None
    token: int = 0


class Attempt(Value, frozen=True, kw_only=True):
    """One request and what came of it. `answer` is at most 4 KiB of the response, redacted."""

    number: int
    started_at: float
    took_s: float
    outcome: str
    """The class of the outcome, see `delivery.outcome`."""
    status: int | None = None
    error: str = ""
    answer: str = ""


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


class Lane(Value, frozen=True, kw_only=True):
    """The breaker of one callback, shared by all that send there. Its rules are in `delivery.breaker`."""

    key: str
    revision: int = 0
    open: bool = False
    """Open: one probe at a time, all else waits without spending attempts."""
    condition: Condition = Condition(state="active")
    """How delivering there is: `active`, `delivery_failing`, `needs_attention` or `paused` (a 410)."""
    failing_since_at: float | None = None
    """Start of the unbroken failure, None while the last answer was good."""
    failures: int = 0
    """In a row, of whatever class."""
    failure_class: str = ""
    """The class of the last failure."""
    same_failures: int = 0
    """In a row, all of `failure_class`."""
    refusals: int = 0
    """Bodies refused in a row with nothing taken between."""
    successes: int = 0
    """In a row: since it opened, or since `limit` was last doubled."""
    limit: int = 0
    """How many requests may be in flight now; 0 means as many as the setting says."""
    probes: int = 0
    """Sent since it opened."""
    probe_at: float = 0.0
    """While open: when the next probe may go out."""
    probing: bool = False
    """A probe was claimed and is not answered yet."""
    not_before_at: float = 0.0
    """Retry-After: nothing goes out before this."""
    opened_at: float | None = None
    held_s: float = 0.0
    """How long it has been open in all, before the present opening."""

    @property
    def waits_until_at(self) -> float:
        """Nothing may be sent before this."""
        return max(self.not_before_at, self.probe_at if self.open else 0.0)


class Job(Value, frozen=True, kw_only=True):
    """A hint that there is something to do. It carries ids only; losing it costs time, never an event."""

    kind: str
    """`poll`, `listen`, `intake`, `deliver`, `sweep` or `janitor`."""
    source_id: str = ""
