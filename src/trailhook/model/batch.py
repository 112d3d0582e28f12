"""Batches, the attempts at them, the lanes they go through, and the hints that set all of it in motion."""

from enum import StrEnum

from trailhook.model.source import Condition
from trailhook.model.value import Value


class BatchState(StrEnum):
    """Where a batch stands. SPLIT batches live on in their children."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"
    DISCARDED = "discarded"
    SPLIT = "split"


class BatchKind(StrEnum):
    """Events; a notice to the user; or events sent again on a user's word. Only the first count among the records."""

    EVENTS = "events"
    NOTICE = "notice"
    REPLAY = "replay"


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
    backfill: bool = False
    """Read for a backfill: what is late about it is the time since it was frozen, not the age of its events."""


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
    sent: tuple[tuple[str, str], ...] = ()
    """Headers of the request that do not follow from the batch, `***` for what is secret; see `delivery.headers`."""
    received: tuple[tuple[str, str], ...] = ()
    """A few of the answer's headers, redacted."""


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
    """`poll`, `listen`, `intake`, `backfill`, `deliver`, `notify`, `sweep`, `janitor` or `watch`."""
    source_id: str = ""
