"""When to try again: how long a batch waits after an attempt, and an open lane until its next probe.

`jitter` gives numbers from 0 up to 1 (`random.Random.random`) and spreads each wait by ±20 %.
"""

from collections.abc import Callable

from trailhook import conditions
from trailhook.delivery.outcome import Outcome, Verdict

MINUTE_S = 60.0
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S

STEPS_S = (5.0, 30.0, 2 * MINUTE_S, 5 * MINUTE_S, 10 * MINUTE_S, 15 * MINUTE_S)
"""After the first failed attempt, the second, …; the last one repeats."""
REFUSAL_STEPS_S = (5.0, MINUTE_S, 10 * MINUTE_S)
"""The same where the content is refused: waiting hardly helps, but a receiver may be half deployed."""
OURS_S = 5.0
JITTER = 0.2

AFTER_TIMEOUT_S_MIN = 60.0
"""A receiver too slow to answer is not asked again sooner."""
RETRY_AFTER_S_MIN = 1.0
RETRY_AFTER_S_MAX = HOUR_S
"""A receiver may ask for longer; it is asked again after this."""

ATTENTION_PROBE_S = 15 * MINUTE_S
SLOW_PROBE_S = HOUR_S
"""A lane paused by a 410, or failing for longer than `LONG_FAILURE_S`."""
LONG_FAILURE_S = DAY_S
PROBE_S_MAX = SLOW_PROBE_S * (1 + JITTER)
"""No probe is ever further ahead."""


def delay_s(before: int, verdict: Verdict, jitter: Callable[[], float]) -> float:
    """How long a batch waits after `verdict` when `before` attempts (for REFUSED: refusals) had gone before it.

    Retry-After, at least 1 s and at most 1 h, replaces the schedule and is not spread: it may not be undercut.
    """
    if verdict.retry_after_s is not None:
        return min(max(verdict.retry_after_s, RETRY_AFTER_S_MIN), RETRY_AFTER_S_MAX)
    if verdict.outcome is Outcome.OURS:
        return _spread(OURS_S, jitter)
    steps_s = REFUSAL_STEPS_S if verdict.outcome is Outcome.REFUSED else STEPS_S
    wait_s = _spread(_step(steps_s, before), jitter)
    return max(wait_s, AFTER_TIMEOUT_S_MIN) if verdict.timed_out else wait_s


def probe_delay_s(probes: int, state: str, failing_s: float, jitter: Callable[[], float]) -> float:
    """How long an open lane in condition `state` waits for its next probe when `probes` were sent since it opened."""
    if state == conditions.PAUSED:
        return _spread(SLOW_PROBE_S, jitter)
    if state == conditions.NEEDS_ATTENTION:
        return _spread(ATTENTION_PROBE_S, jitter)
    return _spread(SLOW_PROBE_S if failing_s >= LONG_FAILURE_S else _step(STEPS_S, probes), jitter)


def _step(steps_s: tuple[float, ...], index: int) -> float:
    return steps_s[min(index, len(steps_s) - 1)]


def _spread(wait_s: float, jitter: Callable[[], float]) -> float:
    return wait_s * (1 - JITTER + 2 * JITTER * jitter())
