"""The rules of a lane: one callback, its breaker, and how much may be in flight there.

A closed lane lets `limit` requests fly. It opens on a run of failures, and then lets one probe at a time through
while everything else waits without spending attempts. The first good answer to a probe says that all is well again,
a second closes the lane, and what may be in flight grows again from one. An answer about the content (refused, too
large) is a good one: somebody is there.

All functions are pure: they take the lane as it is and return it as it should be, the very same one if nothing
changed. While a lane is open one answer is heard for each probe: what was in flight when it opened counts no more.
"""

import hashlib
import random
from collections.abc import Mapping

import msgspec

from trailhook import conditions
from trailhook.delivery.outcome import Outcome, Verdict
from trailhook.delivery.schedule import MINUTE_S, PROBE_S_MAX, RETRY_AFTER_S_MAX, delay_s, probe_delay_s
from trailhook.model import Condition, Lane, Value

FAILURES_TO_OPEN = 5
CONFIGURATION_FAILURES_TO_OPEN = 3
REFUSALS_TO_OPEN = 20
SUCCESSES_TO_CLOSE = 2
SLOWED_DOWN_WARN_S = 15 * MINUTE_S
"""A receiver that has only asked us to slow down for so long counts as failing, though the lane stays closed."""

_CLOCK_SLACK_S = 1.0
_ALIVE = frozenset({Outcome.DELIVERED, Outcome.REFUSED, Outcome.TOO_LARGE})


class Permit(Value, frozen=True, kw_only=True):
    """How many requests may be in flight now. A `probe` has to be claimed first."""

    limit: int
    probe: bool = False


def lane_key(callback_url: str, headers: Mapping[str, str], ca_certificate: str | None) -> str:
    """What answers for a callback, as 64 hex digits. Its headers belong to it: a 401 depends on them."""
    named = sorted((name.lower(), value) for name, value in headers.items())
    return hashlib.sha256(msgspec.json.encode([callback_url, named, ca_certificate])).hexdigest()


def permit(lane: Lane, now: float, in_flight_max: int) -> Permit:
    """What may be sent now: nothing before a Retry-After ends, only a probe while open, else up to the limit."""
    if _still_ahead(lane.not_before_at, now, RETRY_AFTER_S_MAX):
        return Permit(limit=0)
    if not lane.open:
        return Permit(limit=min(lane.limit or in_flight_max, in_flight_max))
    if _still_ahead(lane.probe_at, now, PROBE_S_MAX):
        return Permit(limit=0)
    return Permit(limit=1, probe=True)


def claim_probe(lane: Lane, now: float, probe_lease_s: float) -> Lane:
    """The lane with a probe under way: nobody else probes for `probe_lease_s`, or until it is answered.

    Returns the very same lane if there is no probe to claim (any more): whoever got it back may not send.
    """
    if not permit(lane, now, 1).probe:
        return lane
    return lane.but(probing=True, probes=lane.probes + 1, probe_at=now + probe_lease_s)


def probe_soon(lane: Lane, now: float) -> Lane:
    """The lane with its next probe due at once: a user says that the receiver is well again."""
    return lane.but(probe_at=now, not_before_at=min(lane.not_before_at, now)) if lane.open else lane


def held_s(lane: Lane, now: float) -> float:
    """How long the lane has been open in all."""
    return lane.held_s + (max(0.0, now - lane.opened_at) if lane.opened_at is not None else 0.0)


def refuses_every_body(lane: Lane) -> bool:
    """Whether so many bodies were refused in a row that the fault cannot be in the bodies."""
    return lane.refusals >= REFUSALS_TO_OPEN


def after(lane: Lane, verdict: Verdict, now: float, in_flight_max: int, rng: random.Random) -> Lane:
    """The lane after an attempt that ended in `verdict`."""
    if verdict.outcome is Outcome.OURS:
        return lane
    if verdict.outcome is Outcome.THROTTLED:
        return _throttled(lane, verdict, now, in_flight_max, rng)
    if lane.open and not lane.probing:
        return lane
    counted = lane.but(probing=False, refusals=_refusals(lane, verdict))
    if verdict.outcome not in _ALIVE or (verdict.outcome is Outcome.REFUSED and refuses_every_body(counted)):
        return _failed(counted, verdict, now, rng)
    changed = _answered(counted, now, in_flight_max)
    return lane if changed == lane else changed


def _refusals(lane: Lane, verdict: Verdict) -> int:
    if verdict.outcome is Outcome.DELIVERED:
        return 0
    return lane.refusals + (verdict.outcome is Outcome.REFUSED)


def _answered(lane: Lane, now: float, in_flight_max: int) -> Lane:
    well = lane.but(failures=0, failure_class="", same_failures=0, failing_since_at=None)
    if not lane.open:
        return _ramped(well.but(condition=_condition(lane, now, conditions.ACTIVE)), in_flight_max)
    if lane.successes + 1 < SUCCESSES_TO_CLOSE:
        return well.but(successes=lane.successes + 1, probe_at=now, condition=_condition(lane, now, conditions.ACTIVE))
    return well.but(
        open=False,
        opened_at=None,
        held_s=held_s(lane, now),
        condition=_condition(lane, now, conditions.ACTIVE),
        probes=0,
        probe_at=0.0,
        successes=0,
        limit=_limit(1, in_flight_max),
    )


def _ramped(lane: Lane, in_flight_max: int) -> Lane:
    """A round of good answers doubles what may be in flight, until nothing but the setting limits it."""
    if not lane.limit:
        return lane
    if lane.successes + 1 < lane.limit:
        return lane.but(successes=lane.successes + 1)
    return lane.but(successes=0, limit=_limit(2 * lane.limit, in_flight_max))


def _throttled(lane: Lane, verdict: Verdict, now: float, in_flight_max: int, rng: random.Random) -> Lane:
    """Obey, and halve what is in flight: once for the several answers of one burst. Never opens, never closes."""
    in_burst = _still_ahead(lane.not_before_at, now, RETRY_AFTER_S_MAX)
    until_at = now + delay_s(0, verdict, rng.random)
    slowed = lane.but(
        not_before_at=max(lane.not_before_at, until_at) if in_burst else until_at,
        limit=lane.limit if in_burst else max(1, min(lane.limit or in_flight_max, in_flight_max) // 2),
        failing_since_at=now if lane.failing_since_at is None else lane.failing_since_at,
    )
    if lane.open:
        return _waiting_for_probe(slowed.but(probing=False), now, rng) if lane.probing else slowed
    if _failing_s(slowed, now) >= SLOWED_DOWN_WARN_S:
        return slowed.but(condition=_condition(lane, now, conditions.DELIVERY_FAILING, verdict.error, _PATIENCE))
    return slowed


def _failed(lane: Lane, verdict: Verdict, now: float, rng: random.Random) -> Lane:
    kind = Outcome.CONFIGURATION if verdict.outcome is Outcome.GUARDED else verdict.outcome
    counted = lane.but(
        failures=lane.failures + 1,
        failure_class=kind.value,
        same_failures=lane.same_failures + 1 if lane.failure_class == kind else 1,
        failing_since_at=now if lane.failing_since_at is None else lane.failing_since_at,
        successes=0,
    )
    condition = _diagnosis(counted, verdict, now)
    if condition is not None:
        counted = counted.but(condition=condition)
        if not lane.open:
            counted = counted.but(open=True, opened_at=now, probes=0, probing=False)
    return _waiting_for_probe(counted, now, rng) if counted.open else counted


_PATIENCE = "Nothing is lost and it goes on by itself once the receiver takes deliveries again."
_REFUSES_ALL = "The receiver refuses every body."


def _diagnosis(lane: Lane, verdict: Verdict, now: float) -> Condition | None:
    """What the failures amount to, None as long as they may be chance."""
    if verdict.outcome is Outcome.GONE:
        return _condition(lane, now, conditions.PAUSED, verdict.error, verdict.remedy)
    if verdict.outcome is Outcome.REFUSED:
        reason = f"{_REFUSES_ALL} {verdict.error}"
        return _condition(lane, now, conditions.NEEDS_ATTENTION, reason, verdict.remedy)
    if lane.failure_class == Outcome.CONFIGURATION and lane.same_failures >= CONFIGURATION_FAILURES_TO_OPEN:
        return _condition(lane, now, conditions.NEEDS_ATTENTION, verdict.error, verdict.remedy)
    # An open lane changes its mind only for a run of one kind, but it is never well; a closed one must open for a
    # mixture too.
    relapsed = lane.open and lane.condition.state == conditions.ACTIVE
    if relapsed or (lane.same_failures if lane.open else lane.failures) >= FAILURES_TO_OPEN:
        return _condition(lane, now, conditions.DELIVERY_FAILING, verdict.error, verdict.remedy or _PATIENCE)
    return None


def _condition(lane: Lane, now: float, state: str, reason: str = "", remedy: str = "") -> Condition:
    since_at = lane.condition.since_at if lane.condition.state == state else now
    return Condition(state=state, reason=reason, remedy=remedy, since_at=since_at)


def _waiting_for_probe(lane: Lane, now: float, rng: random.Random) -> Lane:
    wait_s = probe_delay_s(lane.probes, lane.condition.state, _failing_s(lane, now), rng.random)
    return lane.but(probe_at=now + wait_s)


def _failing_s(lane: Lane, now: float) -> float:
    return 0.0 if lane.failing_since_at is None else now - lane.failing_since_at


def _limit(limit: int, in_flight_max: int) -> int:
    return 0 if limit >= in_flight_max else limit


def _still_ahead(at: float, now: float, longest_s: float) -> bool:
    """A time further ahead than any wait of ours means that the clock jumped back: it counts as come."""
    return 0 < at - now <= longest_s + _CLOCK_SLACK_S
