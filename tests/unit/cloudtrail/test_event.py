"""The fields of many events at once, and their times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhook.cloudtrail.event import Event, Fields, Times, epoch_s


def test_fields_lie_side_by_side_in_the_order_of_an_events() -> None:
    assert Fields._fields == Event.__struct_fields__


WRITTEN = st.datetimes().map(lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"))
ODD = st.sampled_from(
    [
        None,
        "",
        "2026-01-31T12:00:60Z",
        "2026-02-31T12:00:00Z",
        "2026-01-31T25:00:00Z",
        "2026-01-31T12:00:00",
        "2026-01-31T12:00:00.5Z",
        "2026-01-31T12:00:00+02:00",
        "2026-01-31 12:00:00Z",
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:30Z",
        "2106-02-07T06:28:16Z",
        "never",
    ]
)


@given(st.lists(WRITTEN | ODD, max_size=20))
def test_many_times_are_what_each_is_by_itself(texts: list[str | None]) -> None:
    times = Times()
    assert times.of(texts) == list(map(epoch_s, texts))
    assert [times.of([text]) for text in texts] == [[epoch_s(text)] for text in texts]


@pytest.mark.parametrize("second", range(0, 60, 7))
def test_every_second_of_a_minute_is_told_apart(second: int) -> None:
    texts = [f"2026-01-31T12:00:{second:02}Z", "2026-01-31T12:00:00Z"]
    later, earlier = Times().of(texts)
    assert later - earlier == second
