"""How a source is, in one word and in full: the worst of how its fetching and its delivering are."""

from trailhook.errors import FetchState
from trailhook.model import Condition, Lane, Source

ACTIVE = "active"
PAUSED = "paused"
DELIVERY_FAILING = "delivery_failing"
NEEDS_ATTENTION = "needs_attention"

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


def fetch_condition(source: Source) -> Condition:
    """How fetching is: the state machine's state, or paused by a user."""
    return _USER_PAUSE.but(since_at=source.paused_at) if source.paused_at is not None else source.fetch


def delivery_condition(source: Source, lane: Lane) -> Condition:
    """How delivering is: as its lane is (`lane.state` names it), or paused by a user."""
    if source.paused_at is not None:
        return _USER_PAUSE.but(since_at=source.paused_at)
    return lane.condition


def overall(source: Source, lane: Lane) -> str:
    """The worst of the two: the `status` of a source."""
    if source.paused_at is not None:
        return PAUSED
    states = (source.fetch.state, lane.condition.state)
    return max(states, key=SEVERITY.index)
