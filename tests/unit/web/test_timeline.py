"""From samples of counts to columns."""

from trailhook.model import Counts
from trailhook.store.samples import Sample
from trailhook.web.timeline import SPANS, columns, rate_per_minute, since

HOUR = SPANS["1h"]
NOW = 1_750_000_000.0 // 60 * 60 + 30
OLD = NOW - 1e6


def sample(minutes_ago: float, sent: int, **more: int) -> Sample:
    return Sample(at=NOW - 60 * minutes_ago, counts=Counts(read=sent, sent=sent, **more))


def test_what_came_between_two_samples_is_in_the_column_of_the_later_one() -> None:
    drawn = columns([sample(90, 100), sample(10, 130)], present=sample(0, 135), created_at=OLD, span=HOUR)
    assert (drawn.sent[-11], drawn.sent[-1], sum(drawn.sent)) == (30, 5, 35)
    assert len(drawn.sent) == len(drawn.begins) == 60
    assert drawn.begins[-1] <= NOW < drawn.begins[-1] + 60


def test_what_was_counted_before_the_first_sample_is_history() -> None:
    drawn = columns([sample(20, 1_000)], present=sample(0, 1_007), created_at=OLD, span=HOUR)
    assert sum(drawn.sent) == 7
    assert sum(columns([], present=sample(0, 1_007), created_at=OLD, span=HOUR).sent) == 0


def test_all_that_a_new_source_did_is_in_its_columns() -> None:
    drawn = columns([sample(2, 40)], present=sample(0, 50), created_at=NOW - 200, span=HOUR)
    assert sum(drawn.sent) == 50


def test_what_failed_is_what_needs_a_person_and_nothing_counts_backwards() -> None:
    samples = [sample(70, 0), sample(5, 0, dead_lettered=3, quarantined=2), sample(3, 3, quarantined=2)]
    drawn = columns(samples, present=sample(0, 3, quarantined=2), created_at=OLD, span=HOUR)
    assert (sum(drawn.failed), sum(drawn.sent)) == (5, 3)


def test_what_waits_goes_on_waiting_where_nothing_changes() -> None:
    samples = [sample(90, 0, waiting=7), sample(10, 0, waiting=9)]
    drawn = columns(samples, present=sample(0, 5, waiting=4), created_at=OLD, span=HOUR)
    assert (drawn.waiting[0], drawn.waiting[-12], drawn.waiting[-11], drawn.waiting[-2]) == (7, 7, 9, 9)
    assert drawn.waiting[-1] == 4


def test_the_rate_is_that_of_the_last_minute() -> None:
    assert rate_per_minute([sample(3, 0), sample(1, 100)], present=sample(0, 160), created_at=OLD) == 60
    assert rate_per_minute([], present=sample(0, 30), created_at=NOW - 20) == 30
    assert rate_per_minute([], present=sample(0, 9_000), created_at=OLD) == 0


def test_what_comes_after_a_long_silence_came_just_now() -> None:
    assert rate_per_minute([sample(600, 0)], present=sample(0, 100), created_at=OLD) == 50


def test_a_young_source_is_shown_since_it_was_added() -> None:
    created_at = NOW - 30 * 60
    drawn = since(columns([], present=sample(0, 5), created_at=created_at, span=HOUR), created_at)
    assert len(drawn.begins) == len(drawn.sent) == 31
    assert drawn.begins[0] <= created_at < drawn.begins[1]
    new = since(columns([], present=sample(0, 5), created_at=NOW, span=HOUR), NOW)
    assert (len(new.begins), sum(new.sent)) == (20, 5)
    assert len(since(columns([], present=sample(0, 5), created_at=OLD, span=HOUR), OLD).begins) == 60
