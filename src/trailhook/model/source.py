"""A source: what was registered, how it is, and what became of its records."""

from enum import StrEnum

from trailhook.errors import FetchState
from trailhook.model.value import Value


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

    A record passes when every field of `include` matches one of its patterns and no field of `exclude` does. The
    values at the paths of `redact` are taken out of those that pass.
    """

    include: dict[str, tuple[str, ...]] = {}
    exclude: dict[str, tuple[str, ...]] = {}
    redact: tuple[str, ...] = ()


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


class Silence(Value, frozen=True, kw_only=True):
    """From which accounts and regions nothing comes any more, and what AWS says about it."""

    condition: Condition = Condition(state="active")
    """`active`, `silent` (CloudTrail stopped) or `stalled` (we stopped)."""
    places: tuple[str, ...] = ()
    """Those that are silent, each `ACCOUNT REGION`, sorted; of very many only some."""
    count: int = 0
    """How many they are in all."""
    cause: str = ""
    remedy: str = ""
    """What asking AWS about the trail gave; empty before."""
    asked_at: float = 0.0


class Untold(Value, frozen=True, kw_only=True):
    """A notice on its way to `TRAILHOOK_NOTIFY_URLS`."""

    id: str
    type: str
    title: str
    text: str
    to: tuple[int, ...]
    """Numbers of the URLs not told yet, the first of the setting being 1."""
    at: float
    attempts: int = 0
    due_at: float = 0.0


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
    verify_integrity: bool = False
    """Whether the hash of every object that is read is kept, to be held against CloudTrail's digests."""
    hold_until_verified: bool = False
    """Whether objects wait until such a digest lists them, and are not read unless they are as it says."""
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
    unverified: Condition = Condition(state=FetchState.ACTIVE)
    """Whether what waits for a digest has waited for too long (`hold_until_verified`)."""
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
    silence: Silence = Silence()
    announced_silence: str = "active"
    announced_places: tuple[str, ...] = ()
    """Those of `silence` that notices have told of."""
    credentials_expire_at: float | None = None
    """When the session token ends, where that was told."""
    announced_expiry_at: float | None = None
    """The end that a notice has warned of."""
    untold: tuple[Untold, ...] = ()
    """Notices, oldest first, that have not gone everywhere yet."""


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
    replayed: int = 0
    """Records that the receiver took once more, on a user's word: they are counted nowhere else."""
    units: dict[str, int] = {}
    """Units by state (`waiting`, `done`, `quarantined`) and, as `ignored:KIND`, keys that are not logs."""
    oldest_waiting_at: float | None = None
    """Event time of the oldest record known and not yet sent, or the discovery of the oldest unread unit; backfills
    apart: of theirs, when the oldest batch was frozen."""
    last_event_at: float | None = None
    """Event time of the newest record read."""
