"""When to try again."""

import random

import pytest

from trailhook import conditions
from trailhook.delivery.outcome import Outcome, Verdict
from trailhook.delivery.schedule import PROBE_S_MAX, delay_s, probe_delay_s

FAILED = Verdict(outcome=Outcome.TRANSIENT)
DAY_S = 86_400.0


def middle() -> float:
    """The jitter that leaves a wait as it is."""
    return 0.5


def test_the_schedule_of_failures() -> None:
    waits = [delay_s(before, FAILED, middle) for before in range(8)]
    assert waits == pytest.approx([5, 30, 120, 300, 600, 900, 900, 900])


def test_the_schedule_of_refused_content() -> None:
    waits = [delay_s(before, Verdict(outcome=Outcome.REFUSED), middle) for before in range(4)]
    assert waits == pytest.approx([5, 60, 600, 600])


def test_waits_are_spread_by_a_fifth_either_way() -> None:
    rng = random.Random(1)
    waits = [delay_s(9, FAILED, rng.random) for _ in range(500)]
    assert 720 <= min(waits) < 730
    assert 1_070 < max(waits) <= 1_080


@pytest.mark.parametrize(("asked", "given"), [(0.0, 1.0), (7.0, 7.0), (3_600.0, 3_600.0), (9e9, 3_600.0)])
def test_retry_after_replaces_the_schedule_within_a_second_and_an_hour(asked: float, given: float) -> None:
    verdict = Verdict(outcome=Outcome.THROTTLED, retry_after_s=asked)
    assert delay_s(9, verdict, random.Random(1).random) == given


def test_after_a_timeout_a_receiver_has_a_minute() -> None:
    timed_out = Verdict(outcome=Outcome.TRANSIENT, timed_out=True)
    assert delay_s(0, timed_out, middle) == 60
    assert delay_s(2, timed_out, middle) == pytest.approx(120)


def test_our_own_faults_wait_a_little_however_often() -> None:
    assert delay_s(50, Verdict(outcome=Outcome.OURS), middle) == pytest.approx(5)


def test_a_failing_lane_is_probed_by_the_schedule_and_after_a_day_by_the_hour() -> None:
    waits = [probe_delay_s(probes, conditions.DELIVERY_FAILING, 0.0, middle) for probes in range(7)]
    assert waits == pytest.approx([5, 30, 120, 300, 600, 900, 900])
    assert probe_delay_s(0, conditions.DELIVERY_FAILING, DAY_S, middle) == pytest.approx(3_600)


@pytest.mark.parametrize(("state", "wait_s"), [(conditions.NEEDS_ATTENTION, 900), (conditions.PAUSED, 3_600)])
def test_lanes_that_wait_for_a_person_are_probed_evenly(state: str, wait_s: float) -> None:
    assert probe_delay_s(0, state, 0.0, middle) == pytest.approx(wait_s)
    assert probe_delay_s(99, state, 3 * DAY_S, middle) == pytest.approx(wait_s)


def test_no_probe_is_further_ahead_than_the_longest_wait() -> None:
    assert probe_delay_s(0, conditions.PAUSED, 0.0, lambda: 1.0) == pytest.approx(PROBE_S_MAX)
