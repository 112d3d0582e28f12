"""How a source is, in one word and in full: the worst of how its fetching and its delivering are."""

from trailhook.errors import FetchState, NeedsAttention
from trailhook.model import Condition, Lane, Source

ACTIVE = "active"
PAUSED = "paused"
DELIVERY_FAILING = "delivery_failing"
NEEDS_ATTENTION = "needs_attention"

LISTENING = "sqs"
"""The way in whose units are announced."""
BEHIND_S = 900.0
"""A source whose LookupEvents are so late says so, although nothing is wrong with it."""

SEVERITY = (
    ACTIVE,
    PAUSED,
    FetchState.CLOCK_SKEWED,
    DELIVERY_FAILING,
    NEEDS_ATTENTION,
    FetchState.MISCONFIGURED,
    FetchState.ACCESS_DENIED,
    FetchState.CREDENTIALS_EXPIRED,
    FetchState.CREDENTIALS_INVALID,
)
"""From nothing to do to most in need of a person."""

_USER_PAUSE = Condition(state=PAUSED, reason="Paused by a user.", remedy="Resume the source to go on.")


def condition_of(error: NeedsAttention, now: float) -> Condition:
    """The condition that an error puts a source in."""
    return Condition(state=error.state, reason=error.reason, remedy=error.remedy, since_at=now)


def entered(before: Condition, after: Condition) -> Condition:
    """`after`, or `before` itself where the two say the same: a condition's `since_at` is when it began."""
    if after.state == before.state:
        return before if after.reason == before.reason else after.but(since_at=before.since_at)
    return after


def worse(one: Condition, other: Condition) -> Condition:
    """The one more in need of a person; `one` where they are alike."""
    return max(one, other, key=lambda each: SEVERITY.index(each.state))


def fetch_state(source: Source) -> Condition:
    """How fetching is, whether or not a user holds the source."""
    condition = worse(worse(source.fetch, source.reading), source.unverified)
    if condition.state == ACTIVE and source.behind_s >= BEHIND_S:
        return condition.but(
            reason=f"LookupEvents cannot keep up: it is {source.behind_s / 60:.0f} minutes behind.",
            remedy="It gives some 20 events a second, each of them looked for four times: "
            "have a trail write to a bucket, and set s3Bucket.",
        )
    return condition


def delivery_state(source: Source, lane: Lane) -> Condition:
    """How delivering is, whether or not a user holds the source."""
    return worse(lane.condition, source.hold) if source.hold else lane.condition


def fetch_condition(source: Source) -> Condition:
    """How fetching is: the state machine's state, or paused by a user."""
    return _user_pause(source) or fetch_state(source)


def delivery_condition(source: Source, lane: Lane) -> Condition:
    """How delivering is: as its lane is, held for its dead letters, or paused by a user."""
    return _user_pause(source) or delivery_state(source, lane)


def listens(source: Source) -> bool:
    """Whether it makes sense to wait at the source's queue: not while something is wrong, for polls find out, at their
    own pace, when it is right again.
    """
    well = source.fetch.state == ACTIVE and not source.failures
    return LISTENING in source.intakes and source.paused_at is None and well


def overall(source: Source, lane: Lane) -> str:
    """The worst of the two: the `status` of a source."""
    return worse(fetch_condition(source), delivery_condition(source, lane)).state


def _user_pause(source: Source) -> Condition | None:
    return None if source.paused_at is None else _USER_PAUSE.but(since_at=source.paused_at)
