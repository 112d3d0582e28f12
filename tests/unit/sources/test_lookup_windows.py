"""Which windows are planned when: every moment by every look, none ahead of time, none in vain."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhook.model import Watermark
from trailhook.sources.lookup_windows import KEPT_S, LOOKS, WINDOW_S, Window, cut, plan, read_window_name, window_name

NOW = 1_750_000_000
LATEST_S = 1_800
"""An event that turns up so late must still be found."""


class Looker:
    """Polls at the times given, and remembers what was asked for when."""

    def __init__(self, category: str = "management", *, start_from_at: float) -> None:
        self.looks = LOOKS[category]
        self.start_from_at = start_from_at
        self.marks: dict[str, Watermark] = {}
        self.asked: list[tuple[float, str, Window]] = []

    def poll(self, now: float) -> list[tuple[str, Window]]:
        new = []
        for each in plan(self.looks, self.marks, start_from_at=self.start_from_at, now=now):
            new += [(each.look.name, window) for window in each.windows]
            self.marks[each.look.name] = Watermark(
                intake="lookup",
                place="r",
                prefix=each.look.name,
                mark_at=each.mark_at,
                start_from_at=self.start_from_at,
            )
        self.asked += [(now, name, window) for name, window in new]
        return new

    def finds(self, happened_at: float, appears_at: float) -> bool:
        """Whether an event was there when somebody looked."""
        return any(
            appears_at <= now and window.start_at <= happened_at <= window.end_at for now, _, window in self.asked
        )


@given(
    gaps=st.lists(st.sampled_from([1, 7, 30, 60, 61, 300, 900, 4_000, 90_000]), min_size=1, max_size=60),
    happened=st.integers(0, 200_000),
    late_s=st.integers(0, LATEST_S),
    history_s=st.sampled_from([0, 100, 3_600, 200_000]),
)
def test_an_event_up_to_half_an_hour_late_is_found_however_the_polls_fall(
    gaps: list[int], happened: int, late_s: int, history_s: int
) -> None:
    start_at = NOW - history_s
    looker = Looker(start_from_at=start_at)
    now = NOW
    looker.poll(now)
    for gap in gaps:
        now += gap
        looker.poll(now)
    happened_at = start_at + happened % (now - start_at)
    for _ in range(80):
        now += 60
        looker.poll(now)
    assert looker.finds(happened_at, happened_at + late_s)


@given(gaps=st.lists(st.integers(1, 5_000), max_size=40))
def test_no_window_is_long_or_ahead_of_its_time(gaps: list[int]) -> None:
    looker = Looker(start_from_at=NOW - 10_000)
    now = float(NOW)
    for gap in gaps:
        now += gap
        delays = {look.name: look.delay_s for look in looker.looks}
        for name, window in looker.poll(now):
            assert 0 < window.end_at - window.start_at <= WINDOW_S
            assert window.end_at <= now - delays[name]


def test_each_look_passes_over_each_moment_once() -> None:
    looker = Looker(start_from_at=NOW)
    for now in range(NOW, NOW + 20_000, 60):
        looker.poll(now)
    starts = Counter((name, window.start_at) for _, name, window in looker.asked)
    assert set(starts.values()) == {1}
    for look in looker.looks:
        windows = [window for _, name, window in looker.asked if name == look.name]
        assert windows[0].start_at == NOW
        assert all(after.start_at == before.end_at for before, after in pairwise(windows))


def test_a_quiet_region_costs_84_requests_an_hour_whatever_the_interval() -> None:
    looker = Looker(start_from_at=NOW)
    for now in range(NOW, NOW + 36_000):
        looker.poll(now)
    an_hour = [each for each in looker.asked if NOW + 18_000 <= each[0] < NOW + 21_600]
    assert len(an_hour) <= 84


def test_history_is_looked_at_once() -> None:
    looker = Looker(start_from_at=NOW - 86_400)
    looker.poll(NOW)
    old = [window for _, _, window in looker.asked if window.end_at <= NOW - 4_000]
    assert len(old) == len(set(old)) == 91


def test_what_an_outage_left_is_looked_at_once() -> None:
    looker = Looker(start_from_at=NOW - 86_400)
    looker.poll(NOW)
    looker.asked.clear()
    looker.poll(NOW + 36_000)
    middle = Counter(
        second
        for _, _, window in looker.asked
        for second in range(window.start_at, window.end_at, 60)
        if NOW < second < NOW + 33_000
    )
    assert set(middle.values()) == {1}


@pytest.mark.parametrize("ago_s", [0, 10, 1_000, 50_000])
def test_an_earlier_start_asks_for_what_lies_before_and_no_more(ago_s: int) -> None:
    looker = Looker(start_from_at=NOW - ago_s)
    looker.poll(NOW)
    looker.asked.clear()
    looker.start_from_at = NOW - ago_s - 10_000
    looker.poll(NOW + 1)
    asked = [window for _, _, window in looker.asked if window.start_at < NOW - ago_s]
    assert (asked[0].start_at, asked[-1].end_at) == (NOW - ago_s - 10_000, NOW - ago_s)
    looker.asked.clear()
    assert not [each for each in looker.poll(NOW + 2) if each[1].start_at < NOW - ago_s]


def test_the_beginning_is_90_days_ago() -> None:
    looker = Looker(start_from_at=0.0)
    looker.poll(NOW)
    assert min(window.start_at for _, _, window in looker.asked) == NOW - KEPT_S
    looker.asked.clear()
    looker.poll(NOW + 3_600)
    assert min(window.start_at for _, _, window in looker.asked) > NOW - 4_000


def test_nothing_is_asked_for_before_a_start_that_lies_ahead() -> None:
    looker = Looker(start_from_at=NOW + 5_000)
    for now in range(NOW, NOW + 20_000, 60):
        looker.poll(now)
    assert min(window.start_at for _, _, window in looker.asked) == NOW + 5_000


def test_a_clock_that_was_ahead_leaves_no_gap_from_then_on() -> None:
    looker = Looker(start_from_at=NOW)
    looker.poll(NOW + 86_400)
    looker.asked.clear()
    for now in range(NOW + 100, NOW + 5_000, 60):
        looker.poll(now)
    assert looker.finds(NOW + 1_000, NOW + 1_000)


def test_insights_have_looks_of_their_own() -> None:
    looker = Looker("insight", start_from_at=NOW)
    for now in range(NOW, NOW + 36_000, 300):
        looker.poll(now)
    assert {name for _, name, _ in looker.asked} == {look.name for look in LOOKS["insight"]}
    assert looker.finds(NOW + 5_000, NOW + 9_500)


def test_a_window_has_a_name_that_says_it_all() -> None:
    window = Window(start_at=1_749_988_800, end_at=1_749_989_700)
    assert window_name("management", window) == "management/20250615T120000Z-20250615T121500Z"
    assert read_window_name(window_name("insight", window)) == ("insight", window)


def test_what_would_be_too_short_is_left_for_later() -> None:
    assert cut(0, 59, least_s=60) == []
    assert [each.end_at for each in cut(0, 1_860, least_s=60)] == [900, 1_800, 1_860]
    assert [each.end_at for each in cut(0, 1_859, least_s=60)] == [900, 1_800]
    assert cut(10, 10) == cut(10, 5) == []
