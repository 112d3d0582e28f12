"""Every error that Trailhook raises for a reason it knows.

    TrailhookError
    ├── Transient               try again later, the same way        (retry_after_s, when the other side said)
    │   ├── Throttled           the other side asks us to slow down
    │   ├── Held                nothing is wrong, and it is not to be read yet      (due_at)
    │   ├── Unexplained         refused for a reason we do not know: after some tries it counts as Invalid
    │   ├── ReaderLost          the process that read it ended
    │   └── StoreUnavailable    our own store: never counted against anybody else
    ├── Invalid                 these bytes can never be read: quarantine them, go on with the rest
    ├── ObjectGone              this one object is out of reach for good (deleted, archived): quarantine it
    ├── NeedsAttention          a person must act                    (state, reason, remedy)
    │   ├── CredentialsExpired
    │   ├── CredentialsInvalid
    │   ├── AccessDenied        (action: the IAM action that is missing, where known)
    │   ├── ClockSkewed
    │   └── Misconfigured
    ├── Refused                 the guard will not connect there      (setting: what would allow it)
    ├── NotFound                no such source, delivery, token …
    ├── Conflict                the request cannot be met in the present state
    ├── KeysTaken               another transaction claimed some of these keys first: look again, cut again
    ├── LeaseLost               somebody else holds this unit or batch now: forget what was done with it
    ├── SettingsError           a setting is unknown, missing or wrong: refuse to start
    └── KeyUnavailable          a sealed value cannot be opened with the master keys at hand

They steer: whoever catches one knows from its class alone what to do next. Foreign exceptions (botocore,
apsw, ssl, …) are translated into these once, at the edge that meets them.
"""

from enum import StrEnum


class FetchState(StrEnum):
    """Whether a source's logs can be fetched; the state machine's states, best first."""

    ACTIVE = "active"
    CLOCK_SKEWED = "clock_skewed"
    NEEDS_ATTENTION = "needs_attention"
    MISCONFIGURED = "misconfigured"
    ACCESS_DENIED = "access_denied"
    CREDENTIALS_EXPIRED = "credentials_expired"
    CREDENTIALS_INVALID = "credentials_invalid"


class TrailhookError(Exception):
    """The root of the tree above."""


class Transient(TrailhookError):
    """Try again later. `retry_after_s` is what the other side asked for, if it did."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Throttled(Transient):
    """The other side asks us to slow down."""


class Held(Transient):
    """It is not to be read before something else has come: nobody's failure. Look again at `due_at`.

    `overdue`: that should have come long ago, and a person should know.
    """

    def __init__(self, message: str, *, due_at: float, overdue: bool) -> None:
        super().__init__(message)
        self.due_at = due_at
        self.overdue = overdue


class Unexplained(Transient):
    """Refused for a reason we do not know, and not for a lack on the other side."""


class ReaderLost(Transient):
    """The process that read or froze it for this one ended; nothing of that was kept."""


class StoreUnavailable(Transient):
    """Our own store does not answer: not an attempt, nobody's fault but ours."""


class Invalid(TrailhookError):
    """These bytes can never be read. `reason` is a short slug for counting, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ObjectGone(Invalid):
    """The object itself is out of reach for good: deleted by a lifecycle rule, or archived."""


class NeedsAttention(TrailhookError):
    """A person must act. `remedy` says what to do, in one sentence, without any secret in it."""

    state: FetchState

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class CredentialsExpired(NeedsAttention):
    state = FetchState.CREDENTIALS_EXPIRED


class CredentialsInvalid(NeedsAttention):
    state = FetchState.CREDENTIALS_INVALID


class AccessDenied(NeedsAttention):
    state = FetchState.ACCESS_DENIED

    def __init__(self, reason: str, remedy: str, *, action: str | None = None) -> None:
        super().__init__(reason, remedy)
        self.action = action


class ClockSkewed(NeedsAttention):
    state = FetchState.CLOCK_SKEWED


class Misconfigured(NeedsAttention):
    """Wrong bucket, region or queue. `region` is the right one where the answer told it."""

    state = FetchState.MISCONFIGURED

    def __init__(self, reason: str, remedy: str, *, region: str | None = None) -> None:
        super().__init__(reason, remedy)
        self.region = region


class Refused(TrailhookError):
    """The outbound guard will not connect there. `setting` names what would allow it, None if nothing does."""

    def __init__(self, message: str, *, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting


class NotFound(TrailhookError):
    """No such source, delivery, token …"""


class Conflict(TrailhookError):
    """The request cannot be met in the present state; the message says why."""


class KeysTaken(TrailhookError):
    """Some keys of a commit were claimed by another transaction first; nothing of the commit was kept."""


class LeaseLost(TrailhookError):
    """The lease ended and somebody else holds the work; nothing of the call was kept."""


class SettingsError(TrailhookError):
    """A setting is unknown, missing or wrong. The message names it and never shows its value."""


class KeyUnavailable(TrailhookError):
    """A sealed value cannot be opened with the master keys at hand, or it is not where it was sealed."""
