"""Who counts as silent, told from when files came."""

from itertools import accumulate

import pytest

from support.clock import START_AT
from trailhook.model import Condition, Rhythm, Silence, Source, Watermark
from trailhook.silence import continued, heard, is_silent, judge, patience_s

MINUTE_S, HOUR_S, DAY_S = 60.0, 3_600.0, 86_400.0
AFTER_S = 2 * HOUR_S
ROOT = "AWSLogs/111122223333/CloudTrail/{}/"


def every(step_s: float, count: int, *, until_at: float = START_AT) -> Rhythm:
    """So many files, evenly, the last of them at `until_at`."""
    return continued(Rhythm(), (until_at - step_s * number for number in range(count)))


BUSY = every(5 * MINUTE_S, 600)


def a_mark(region: str = "us-east-1", rhythm: Rhythm = BUSY, *, intake: str = "s3", prefix: str = ROOT) -> Watermark:
    return Watermark(intake=intake, place="logs", prefix=prefix.format(region), mark_at=rhythm.last_at, rhythm=rhythm)


def a_source(**fields: object) -> Source:
    source = Source(
        id="s1",
        name="prod",
        created_at=0.0,
        intakes=("s3",),
        region="us-east-1",
        callback_url="https://example.com",
        lane="l",
        last_fetch_at=START_AT,
        next_fetch_at=START_AT + 300,
    )
    return source.but(**fields)


def at(after_s: float, *marks: Watermark, **fields: object) -> Silence:
    """The verdict so long after the last file, polls being punctual."""
    now = START_AT + after_s
    source = a_source(**{"last_fetch_at": now, "next_fetch_at": now + 300, **fields})
    return judge(source, heard(source, marks), now, AFTER_S)


def test_a_rhythm_knows_its_two_longest_pauses_in_whatever_order_its_files_were_named() -> None:
    ats = [START_AT + each for each in accumulate([0, 10, 300, 20, 7_200, 30])]
    rhythm = continued(Rhythm(), reversed(ats))
    assert rhythm == Rhythm(files=6, first_at=ats[0], last_at=ats[-1], pauses_s=(7_200.0, 300.0))
    assert continued(rhythm, ats) is rhythm


def test_a_busy_region_is_silent_after_two_hours_and_not_before() -> None:
    assert at(AFTER_S, a_mark()) == Silence()
    silence = at(AFTER_S + 1, a_mark())
    assert (silence.condition.state, silence.places) == ("silent", ("111122223333 us-east-1",))
    assert silence.condition.since_at == START_AT
    assert "2025-06-15T15:06:40.000Z" in silence.condition.reason


@pytest.mark.parametrize(("pause_s", "limit_s"), [(DAY_S, 2 * DAY_S), (7 * DAY_S, 14 * DAY_S), (HOUR_S / 2, AFTER_S)])
def test_a_region_that_is_quiet_by_nature_is_given_twice_its_longest_pause(pause_s: float, limit_s: float) -> None:
    rhythm = every(pause_s, 60)
    assert patience_s(rhythm, AFTER_S) == limit_s
    assert not is_silent(rhythm, START_AT + limit_s, AFTER_S)
    assert is_silent(rhythm, START_AT + limit_s + 1, AFTER_S)


def test_one_outage_does_not_make_a_busy_region_patient() -> None:
    rhythm = continued(every(5 * MINUTE_S, 400, until_at=START_AT - 3 * DAY_S), [START_AT])
    assert patience_s(rhythm, AFTER_S) == AFTER_S


@pytest.mark.parametrize("rhythm", [Rhythm(), every(0.0, 1), every(5 * MINUTE_S, 100)], ids=["none", "one", "hours"])
def test_a_region_that_was_not_heard_for_a_day_is_not_judged(rhythm: Rhythm) -> None:
    assert patience_s(rhythm, AFTER_S) is None
    assert at(90 * DAY_S, a_mark(rhythm=rhythm)) == Silence()


def test_a_region_given_up_long_ago_is_no_alarm_while_others_write() -> None:
    old = a_mark("eu-west-1", every(5 * MINUTE_S, 600, until_at=START_AT - 29 * DAY_S))
    assert at(DAY_S, old, a_mark()).places == ("111122223333 eu-west-1", "111122223333 us-east-1")
    assert at(HOUR_S, old, a_mark()).places == ("111122223333 eu-west-1",)
    assert at(2 * DAY_S, old, a_mark(rhythm=every(HOUR_S, 60, until_at=START_AT + 2 * DAY_S))) == Silence()


def test_insights_and_folders_that_are_no_regions_are_never_waited_for() -> None:
    insight = "AWSLogs/111122223333/CloudTrail-Insight/{}/"
    assert heard(a_source(), [a_mark(prefix=insight), a_mark(prefix=ROOT + "2025/"), a_mark(prefix="AWSLogs/")]) == []


@pytest.mark.parametrize("now_at", [{"bucket": "another"}, {"bucket": "logs", "prefix": "AWSLogs/o-"}])
def test_a_bucket_or_prefix_that_the_source_no_longer_has_is_not_waited_for(now_at: dict[str, str]) -> None:
    assert heard(a_source(bucket="logs"), [a_mark()]) != []
    assert heard(a_source(**now_at), [a_mark()]) == []


def test_several_ways_in_that_hear_the_same_region_are_one() -> None:
    announced = a_mark(rhythm=every(60.0, 2, until_at=START_AT + HOUR_S), intake="sqs")
    (place,) = heard(a_source(), [announced, a_mark()])
    assert (place.rhythm.files, place.rhythm.last_at) == (601, START_AT + HOUR_S)


@pytest.mark.parametrize(
    "ours",
    [{"paused_at": START_AT}, {"failures": 1}, {"fetch": Condition(state="access_denied")}, {"last_fetch_at": None}],
    ids=["paused", "failing", "denied", "never looked"],
)
def test_while_we_do_not_look_nobody_is_said_to_have_stopped(ours: dict[str, object]) -> None:
    assert at(DAY_S, a_mark(), **ours) == Silence()


def test_a_look_that_is_long_overdue_is_our_own_silence() -> None:
    late = {"last_fetch_at": START_AT, "next_fetch_at": START_AT}
    assert at(900, a_mark(), **late) == Silence()
    silence = at(901, a_mark(), **late)
    assert (silence.condition.state, silence.places) == ("stalled", ())
    assert "worker" in silence.condition.remedy
    assert at(901, a_mark(), **late, paused_at=START_AT + 1) == Silence()
    assert at(3_600, a_mark(), next_fetch_at=START_AT, last_fetch_at=None) == Silence()


def test_whoever_has_just_started_accuses_nobody() -> None:
    now = START_AT + DAY_S
    source = a_source(last_fetch_at=START_AT, next_fetch_at=START_AT)
    assert judge(source, heard(source, [a_mark()]), now, AFTER_S, watched_since_at=now - 900) == Silence()
    assert (
        judge(source, heard(source, [a_mark()]), now, AFTER_S, watched_since_at=now - 901).condition.state == "stalled"
    )


def test_what_aws_said_and_since_when_stays_while_the_silence_lasts() -> None:
    first = at(AFTER_S + 1, a_mark())
    told = first.but(cause="The trail is off.", remedy="Start it.", asked_at=START_AT)
    later = at(DAY_S, a_mark(), a_mark("eu-west-1"), silence=told)
    assert later.condition.reason.endswith("The trail is off.")
    assert (later.condition.remedy, later.condition.since_at, later.count) == ("Start it.", START_AT, 2)
    assert at(DAY_S, a_mark(rhythm=continued(BUSY, [START_AT + DAY_S])), silence=later) == Silence()
