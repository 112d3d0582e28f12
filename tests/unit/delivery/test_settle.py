"""What becomes of a batch after an attempt."""

import random

import pytest

from trailhook.delivery import settle
from trailhook.delivery.breaker import REFUSALS_TO_OPEN
from trailhook.delivery.outcome import Outcome, Verdict
from trailhook.delivery.settle import Decision, age_s, child_refusals
from trailhook.model import Batch, BatchKind, BatchState, Lane

NOW = 1_750_000_000.0
HOUR_S = 3_600.0
CLOSED = Lane(key="a")
REFUSING_ALL = Lane(key="a", open=True, refusals=REFUSALS_TO_OPEN)

BATCH = Batch(
    id="msg_a",
    body=b"",
    sha256=b"",
    wire_bytes=0,
    content_type="application/json",
    count=1_000,
    num=1,
    source_id="s",
    frozen_at=NOW,
    due_at=NOW,
)
SINGLE = BATCH.but(count=1)
NOTICE = BATCH.but(count=0, kind=BatchKind.NOTICE)
OLD = BATCH.but(attempts=5, first_attempt_at=NOW - 72 * HOUR_S)


def decide(batch: Batch, outcome: Outcome, *, lane: Lane = CLOSED, held_s: float = 0.0) -> Decision:
    return settle.decide(
        batch,
        Verdict(outcome=outcome, error="It said no."),
        lane=lane,
        held_s=held_s,
        now=NOW,
        rng=random.Random(1),
        give_up_after_s=72 * HOUR_S,
        give_up_attempts_min=6,
    )


def wait_s(decision: Decision) -> float:
    assert decision.state is BatchState.WAITING
    return decision.due_at - NOW


def test_what_was_taken_is_delivered() -> None:
    assert decide(OLD, Outcome.DELIVERED).state is BatchState.DELIVERED


@pytest.mark.parametrize(
    "outcome", [Outcome.TRANSIENT, Outcome.THROTTLED, Outcome.CONFIGURATION, Outcome.GUARDED, Outcome.GONE]
)
def test_what_failed_waits_by_the_schedule(outcome: Outcome) -> None:
    assert 4 <= wait_s(decide(BATCH, outcome)) <= 6
    assert 24 <= wait_s(decide(BATCH.but(attempts=1), outcome)) <= 36
    assert 720 <= wait_s(decide(BATCH.but(attempts=40), outcome)) <= 1_080


@pytest.mark.parametrize("outcome", [Outcome.TRANSIENT, Outcome.THROTTLED, Outcome.CONFIGURATION, Outcome.GUARDED])
def test_after_72_hours_and_six_attempts_it_is_a_dead_letter_that_says_why(outcome: Outcome) -> None:
    decision = decide(OLD, outcome)
    assert decision.state is BatchState.DEAD
    assert decision.reason == "Given up after 72 h and 6 attempts. It said no."


def test_neither_age_alone_nor_attempts_alone_give_up() -> None:
    assert decide(OLD.but(attempts=4), Outcome.TRANSIENT).state is BatchState.WAITING
    assert decide(OLD.but(first_attempt_at=NOW - 71.9 * HOUR_S), Outcome.TRANSIENT).state is BatchState.WAITING
    assert decide(BATCH.but(attempts=99), Outcome.TRANSIENT).state is BatchState.WAITING


def test_time_held_is_not_age() -> None:
    batch = OLD.but(held_mark_s=1_000.0)
    assert decide(batch, Outcome.TRANSIENT, held_s=1_001.0).state is BatchState.WAITING
    assert decide(batch, Outcome.TRANSIENT, held_s=1_000.0).state is BatchState.DEAD


@pytest.mark.parametrize(
    ("batch", "held_s", "age"),
    [
        (BATCH, 0.0, 0.0),
        (BATCH.but(first_attempt_at=NOW - 100), 0.0, 100.0),
        (BATCH.but(first_attempt_at=NOW - 100), 30.0, 70.0),
        (BATCH.but(first_attempt_at=NOW - 100), 500.0, 0.0),
        (BATCH.but(first_attempt_at=NOW + 100), 0.0, 0.0),
        (BATCH.but(first_attempt_at=NOW - 100, held_mark_s=500.0), 30.0, 100.0),
    ],
)
def test_age_is_never_negative_and_never_grows_by_what_was_held(batch: Batch, held_s: float, age: float) -> None:
    assert age_s(batch, held_s, NOW) == age


def test_a_410_never_ends_a_batch() -> None:
    assert decide(OLD.but(attempts=500), Outcome.GONE).state is BatchState.WAITING


def test_our_own_fault_is_no_attempt() -> None:
    decision = decide(OLD.but(refusals=2), Outcome.OURS)
    assert 4 <= wait_s(decision) <= 6
    assert (decision.attempted, decision.refusals) == (False, 2)
    assert decide(OLD, Outcome.GONE).attempted


def test_too_large_is_divided_until_a_single_event_is_a_dead_letter() -> None:
    assert decide(BATCH, Outcome.TOO_LARGE).state is BatchState.SPLIT
    assert decide(BATCH.but(count=2), Outcome.TOO_LARGE).state is BatchState.SPLIT
    single = decide(SINGLE, Outcome.TOO_LARGE)
    assert (single.state, single.reason) == (BatchState.DEAD, "It said no.")


def test_refused_content_is_tried_again_three_times_and_then_divided() -> None:
    first = decide(BATCH, Outcome.REFUSED)
    assert 4 <= wait_s(first) <= 6
    second = decide(BATCH.but(attempts=1, refusals=first.refusals), Outcome.REFUSED)
    assert 48 <= wait_s(second) <= 72
    third = decide(BATCH.but(attempts=2, refusals=second.refusals), Outcome.REFUSED)
    assert 480 <= wait_s(third) <= 720
    fourth = decide(BATCH.but(attempts=3, refusals=third.refusals), Outcome.REFUSED)
    assert fourth.state is BatchState.SPLIT


def test_the_halves_of_refused_content_get_one_try_and_a_single_event_all_of_them() -> None:
    split = decide(BATCH.but(refusals=3), Outcome.REFUSED)
    half = BATCH.but(count=500, refusals=child_refusals(split, 500))
    assert decide(half, Outcome.REFUSED).state is BatchState.SPLIT
    event = SINGLE.but(refusals=child_refusals(split, 1))
    for _ in range(3):
        again = decide(event, Outcome.REFUSED)
        assert again.state is BatchState.WAITING
        event = event.but(refusals=again.refusals)
    assert decide(event, Outcome.REFUSED).state is BatchState.DEAD


def test_the_halves_of_what_was_too_large_get_the_tries_it_had_left() -> None:
    assert child_refusals(decide(BATCH, Outcome.TOO_LARGE), 500) == 0
    assert child_refusals(decide(BATCH.but(refusals=1), Outcome.TOO_LARGE), 500) == 1


def test_a_notice_is_never_divided() -> None:
    assert decide(NOTICE, Outcome.REFUSED).state is BatchState.WAITING
    assert decide(NOTICE.but(refusals=3), Outcome.REFUSED).state is BatchState.DEAD
    assert decide(NOTICE, Outcome.TOO_LARGE).state is BatchState.DEAD


@pytest.mark.parametrize("batch", [BATCH, SINGLE, NOTICE, OLD])
def test_a_receiver_that_refuses_every_body_ends_no_batch(batch: Batch) -> None:
    decision = decide(batch.but(refusals=2), Outcome.REFUSED, lane=REFUSING_ALL)
    assert (decision.state, decision.refusals) == (BatchState.WAITING, 2)


def test_a_receiver_that_refuses_every_body_may_still_want_them_smaller() -> None:
    assert decide(BATCH, Outcome.TOO_LARGE, lane=REFUSING_ALL).state is BatchState.SPLIT
