"""The rules of a lane."""

import random

import pytest

from trailhook import conditions
from trailhook.delivery import breaker
from trailhook.delivery.breaker import Permit, lane_key, permit
from trailhook.delivery.outcome import Outcome, Verdict, judge
from trailhook.errors import Refused
from trailhook.model import Lane
from trailhook.net.base import Answer

NOW = 1_750_000_000.0
HOUR_S = 3_600.0
IN_FLIGHT_MAX = 4
LEASE_S = 60.0

OK = Verdict(outcome=Outcome.DELIVERED, status=200)
FAILED = judge(Answer(status=500), now=NOW, kept_bytes=0)
GONE = judge(Answer(status=410), now=NOW, kept_bytes=0)
UNAUTHORIZED = judge(Answer(status=401), now=NOW, kept_bytes=0)
REFUSED = judge(Answer(status=400), now=NOW, kept_bytes=0)
TOO_LARGE = judge(Answer(status=413), now=NOW, kept_bytes=0)
SLOW_DOWN = judge(Answer(status=429, headers=[("retry-after", "60")]), now=NOW, kept_bytes=0)
OURS = Verdict(outcome=Outcome.OURS)


class Callback:
    """A lane with a clock, for telling stories."""

    def __init__(self, lane: Lane | None = None) -> None:
        self.lane = lane or Lane(key="a")
        self.now = NOW
        self._rng = random.Random(1)

    def answers(self, *verdicts: Verdict) -> "Callback":
        """Answers to requests that were in flight."""
        for verdict in verdicts:
            self.lane = breaker.after(self.lane, verdict, self.now, IN_FLIGHT_MAX, self._rng)
        return self

    def probed(self, *verdicts: Verdict) -> "Callback":
        """Wait for each probe, send it, hear its answer."""
        for verdict in verdicts:
            self.now = max(self.now, self.lane.probe_at, self.lane.not_before_at)
            assert self.permit.probe
            self.lane = breaker.claim_probe(self.lane, self.now, LEASE_S)
            self.answers(verdict)
        return self

    def later(self, seconds: float) -> "Callback":
        self.now += seconds
        return self

    @property
    def permit(self) -> Permit:
        return permit(self.lane, self.now, IN_FLIGHT_MAX)

    @property
    def probe_in_s(self) -> float:
        return self.lane.probe_at - self.now


def failing() -> Callback:
    return Callback().answers(*[FAILED] * 5)


# ------------------------------------------------------------------------------------------------------- closed


def test_a_new_lane_lets_through_what_the_setting_says() -> None:
    assert Callback().permit == Permit(limit=IN_FLIGHT_MAX)


@pytest.mark.parametrize("verdict", [OK, TOO_LARGE, OURS])
def test_a_healthy_lane_is_not_written_at_every_answer(verdict: Verdict) -> None:
    lane = Lane(key="a")
    assert breaker.after(lane, verdict, NOW, IN_FLIGHT_MAX, random.Random(1)) is lane


def test_four_failures_are_chance_and_five_in_a_row_open() -> None:
    callback = Callback().answers(*[FAILED] * 4)
    assert callback.permit == Permit(limit=IN_FLIGHT_MAX)
    callback.answers(FAILED)
    assert callback.lane.open
    assert callback.permit == Permit(limit=0)
    condition = callback.lane.condition
    assert (condition.state, condition.since_at) == (conditions.DELIVERY_FAILING, NOW)
    assert "500" in condition.reason


@pytest.mark.parametrize("alive", [OK, REFUSED, TOO_LARGE])
def test_an_answer_about_the_content_shows_that_somebody_is_there(alive: Verdict) -> None:
    callback = Callback().answers(*[FAILED] * 4, alive, *[FAILED] * 4)
    assert not callback.lane.open


def test_a_mixture_of_failures_opens_too() -> None:
    callback = Callback().answers(FAILED, UNAUTHORIZED, FAILED, UNAUTHORIZED, FAILED)
    assert (callback.lane.open, callback.lane.condition.state) == (True, conditions.DELIVERY_FAILING)


def test_three_configuration_failures_in_a_row_need_a_person_told_what_to_do() -> None:
    callback = Callback().answers(UNAUTHORIZED, UNAUTHORIZED)
    assert not callback.lane.open
    callback.answers(UNAUTHORIZED)
    condition = callback.lane.condition
    assert (callback.lane.open, condition.state) == (True, conditions.NEEDS_ATTENTION)
    assert "401" in condition.reason
    assert "delivery.headers" in condition.remedy


def test_what_our_guard_refuses_needs_attention_and_names_the_setting() -> None:
    refused = judge(Refused("It is private.", setting="TRAILHOOK_ALLOW_CALLBACK_CIDRS"), now=NOW, kept_bytes=0)
    callback = Callback().answers(refused, UNAUTHORIZED, refused)
    assert callback.lane.condition.state == conditions.NEEDS_ATTENTION
    assert "TRAILHOOK_ALLOW_CALLBACK_CIDRS" in callback.lane.condition.remedy


def test_a_410_pauses_at_once() -> None:
    callback = Callback().answers(GONE)
    assert (callback.lane.open, callback.lane.condition.state) == (True, conditions.PAUSED)
    assert 0.8 * HOUR_S <= callback.probe_in_s <= 1.2 * HOUR_S


def test_a_receiver_that_refuses_twenty_bodies_in_a_row_refuses_every_body() -> None:
    callback = Callback().answers(*[REFUSED] * 19)
    assert not callback.lane.open
    callback.answers(REFUSED)
    assert breaker.refuses_every_body(callback.lane)
    assert (callback.lane.open, callback.lane.condition.state) == (True, conditions.NEEDS_ATTENTION)
    assert "refuses every body" in callback.lane.condition.reason


def test_one_delivery_shows_that_not_every_body_is_refused() -> None:
    callback = Callback().answers(*[REFUSED] * 19, OK, *[REFUSED] * 19)
    assert not callback.lane.open
    callback.answers(TOO_LARGE, FAILED, REFUSED)
    assert callback.lane.open


# ---------------------------------------------------------------------------------------------------- throttled


def test_a_throttle_is_obeyed_and_halves_what_is_in_flight() -> None:
    callback = Callback().answers(SLOW_DOWN)
    assert callback.permit == Permit(limit=0)
    assert callback.later(59).permit == Permit(limit=0)
    assert callback.later(1).permit == Permit(limit=2)


def test_several_throttles_of_one_burst_halve_once() -> None:
    callback = Callback().answers(SLOW_DOWN).later(5).answers(SLOW_DOWN, SLOW_DOWN)
    assert callback.later(59).permit == Permit(limit=0)
    assert callback.later(1).permit == Permit(limit=2)


def test_throttles_never_open_and_leave_one_in_flight() -> None:
    callback = Callback()
    for _ in range(30):
        callback.answers(SLOW_DOWN).later(60)
    assert not callback.lane.open
    assert callback.permit == Permit(limit=1)


def test_a_receiver_that_only_says_slow_down_is_failing_after_a_quarter_of_an_hour() -> None:
    callback = Callback().answers(SLOW_DOWN).later(899).answers(SLOW_DOWN)
    assert callback.lane.condition.state == conditions.ACTIVE
    callback.later(61).answers(SLOW_DOWN)
    assert callback.lane.condition.state == conditions.DELIVERY_FAILING
    assert callback.answers(OK).lane.condition.state == conditions.ACTIVE


def test_a_throttle_neither_hides_nor_makes_a_row_of_failures() -> None:
    callback = Callback().answers(*[FAILED] * 4, SLOW_DOWN)
    assert not callback.lane.open
    assert callback.answers(FAILED).lane.open


def test_rounds_of_good_answers_bring_back_what_a_throttle_took() -> None:
    callback = Callback().answers(SLOW_DOWN).later(60).answers(OK)
    assert callback.permit == Permit(limit=2)
    assert callback.answers(OK).permit == Permit(limit=4)


def test_an_hour_of_retry_after_is_waited_for_to_the_end() -> None:
    callback = Callback()
    callback.now += 0.123456
    callback.answers(SLOW_DOWN.but(retry_after_s=9e9))
    assert callback.permit == Permit(limit=0)
    assert callback.later(HOUR_S - 0.01).permit == Permit(limit=0)
    assert callback.later(0.02).permit.limit > 0


# --------------------------------------------------------------------------------------------------------- open


def test_an_open_lane_lets_one_probe_through_when_its_time_has_come() -> None:
    callback = failing()
    assert 4 <= callback.probe_in_s <= 6
    assert callback.later(6).permit == Permit(limit=1, probe=True)


def test_a_claimed_probe_is_not_sent_twice_until_its_lease_ends() -> None:
    callback = failing().later(6)
    claimed = breaker.claim_probe(callback.lane, callback.now, LEASE_S)
    assert permit(claimed, callback.now, IN_FLIGHT_MAX) == Permit(limit=0)
    assert breaker.claim_probe(claimed, callback.now + 59, LEASE_S) is claimed
    assert permit(claimed, callback.now + 60, IN_FLIGHT_MAX).probe


def test_there_is_no_probe_to_claim_on_a_closed_lane() -> None:
    lane = Lane(key="a")
    assert breaker.claim_probe(lane, NOW, LEASE_S) is lane


def test_probes_follow_the_schedule() -> None:
    callback = failing()
    for least, most in [(24, 36), (96, 144), (240, 360), (480, 720), (720, 1_080), (720, 1_080)]:
        callback.probed(FAILED)
        assert least <= callback.probe_in_s <= most


def test_what_was_in_flight_when_it_opened_counts_no_more() -> None:
    lane = failing().lane
    assert failing().answers(FAILED, FAILED, OK, OK, OK, GONE).lane == lane


def test_two_good_probes_close_it_and_the_limit_grows_from_one() -> None:
    callback = failing().probed(FAILED, OK)
    assert callback.permit == Permit(limit=1, probe=True)
    callback.probed(OK)
    assert (callback.lane.open, callback.lane.condition.state) == (False, conditions.ACTIVE)
    limits = [callback.permit.limit] + [callback.answers(OK).permit.limit for _ in range(4)]
    assert limits == [1, 2, 2, 4, 4]


def test_a_good_probe_and_a_bad_one_leave_it_open() -> None:
    callback = failing().probed(OK, FAILED, OK)
    assert callback.lane.open
    assert not callback.probed(OK).lane.open


def test_a_lane_that_opens_again_starts_its_schedule_again() -> None:
    callback = failing().probed(FAILED, FAILED, FAILED, OK, OK).answers(*[FAILED] * 5)
    assert callback.probe_in_s <= 6


def test_failing_since_is_the_start_of_the_unbroken_failure() -> None:
    callback = failing().probed(FAILED, FAILED)
    assert callback.lane.failing_since_at == NOW
    assert callback.lane.condition.since_at == NOW
    assert callback.probed(OK).lane.failing_since_at is None


def test_after_a_day_of_failure_it_is_probed_by_the_hour_and_never_given_up() -> None:
    callback = failing().later(86_400).probed(FAILED)
    assert 0.8 * HOUR_S <= callback.probe_in_s <= 1.2 * HOUR_S
    assert callback.lane.condition.state == conditions.DELIVERY_FAILING
    assert not callback.later(30 * 86_400).probed(OK, OK).lane.open


def test_what_is_wrong_may_change_while_it_is_open() -> None:
    callback = failing().probed(UNAUTHORIZED, UNAUTHORIZED)
    assert callback.lane.condition.state == conditions.DELIVERY_FAILING
    callback.probed(UNAUTHORIZED)
    assert callback.lane.condition.state == conditions.NEEDS_ATTENTION
    callback.probed(*[FAILED] * 5)
    assert callback.lane.condition.state == conditions.DELIVERY_FAILING
    assert callback.probed(GONE).lane.condition.state == conditions.PAUSED


def test_a_person_is_waited_for_with_a_probe_each_quarter_of_an_hour() -> None:
    callback = Callback().answers(*[UNAUTHORIZED] * 3)
    for _ in range(3):
        assert 720 <= callback.probe_in_s <= 1_080
        callback.probed(UNAUTHORIZED)


def test_refused_probes_close_a_failing_lane_but_not_one_that_refuses_every_body() -> None:
    assert not failing().probed(REFUSED, TOO_LARGE).lane.open
    callback = Callback().answers(*[REFUSED] * 20).probed(REFUSED, REFUSED, REFUSED)
    assert callback.lane.open
    assert not callback.probed(OK, OK).lane.open


def test_a_throttled_probe_neither_closes_nor_fails() -> None:
    callback = failing().probed(SLOW_DOWN)
    assert (callback.lane.open, callback.lane.failures) == (True, 5)
    assert callback.permit == Permit(limit=0)
    assert not callback.probed(OK, OK).lane.open


def test_a_user_may_have_it_probed_at_once() -> None:
    callback = Callback().answers(GONE)
    callback.lane = breaker.probe_soon(callback.lane, callback.now)
    assert callback.permit.probe
    closed = Lane(key="a")
    assert breaker.probe_soon(closed, NOW) is closed


# -------------------------------------------------------------------------------------------------------- clocks


def test_held_time_adds_up_over_openings() -> None:
    callback = failing()
    assert breaker.held_s(callback.lane, NOW + 100) == 100
    callback.later(100).probed(OK, OK)
    assert breaker.held_s(callback.lane, callback.now + 5_000) == 100
    callback.later(1_000).answers(*[FAILED] * 5).later(50)
    assert breaker.held_s(callback.lane, callback.now) == 150


def test_held_time_never_falls_below_what_it_was_before_when_a_clock_jumps_back() -> None:
    lane = failing().lane.but(held_s=70.0)
    assert breaker.held_s(lane, NOW - 9_999) == 70


@pytest.mark.parametrize("back_s", [3 * HOUR_S, 10 * 365 * 86_400.0])
def test_a_clock_that_jumped_back_wedges_neither_probe_nor_throttle(back_s: float) -> None:
    assert Callback().answers(GONE).later(-back_s).permit == Permit(limit=1, probe=True)
    assert Callback().answers(SLOW_DOWN).later(-back_s).permit.limit > 0


# ---------------------------------------------------------------------------------------------------------- keys


def test_a_lane_is_the_url_with_its_headers_and_its_authority() -> None:
    keys = {
        lane_key("https://a.example/x", {}, None),
        lane_key("https://a.example/y", {}, None),
        lane_key("https://a.example/x", {"authorization": "1"}, None),
        lane_key("https://a.example/x", {"authorization": "2"}, None),
        lane_key("https://a.example/x", {}, "PEM"),
        lane_key("https://a.example/x", {"a": 'b","c'}, None),
        lane_key("https://a.example/x", {"a": "b", "c": ""}, None),
    }
    assert len(keys) == 7
    assert {len(key) for key in keys} == {64}


def test_order_and_case_of_header_names_make_no_other_lane() -> None:
    one = lane_key("https://a.example", {"Authorization": "1", "x-team": "2"}, None)
    assert one == lane_key("https://a.example", {"X-Team": "2", "authorization": "1"}, None)
