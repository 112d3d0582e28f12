"""Cutting records into groups."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import judged, record
from trailhook import body
from trailhook.cloudtrail.records import Record
from trailhook.intake.cut import cut
from trailhook.model import DeliveryOptions, EventFormat, Format

SOURCE_ID = "5b0f3c1e-0000-4000-8000-000000000000"


def groups(records: list[Record], **options: object) -> list[list[Record]]:
    return list(cut(iter(records), DeliveryOptions().but(**options), source_id=SOURCE_ID))


def sent_bytes(group: list[Record], options: DeliveryOptions) -> int:
    return len(body.inflated(body.freeze(group, source_id=SOURCE_ID, options=options, batch_id="msg_x")))


@given(
    lengths=st.lists(st.integers(0, 1500), max_size=25),
    max_events=st.integers(1, 8),
    max_bytes=st.integers(500, 6000),
    layout=st.sampled_from(list(Format)),
    event_format=st.sampled_from(list(EventFormat)),
)
def test_groups_keep_the_order_and_fill_their_limits(
    lengths: list[int], max_events: int, max_bytes: int, layout: Format, event_format: EventFormat
) -> None:
    options = DeliveryOptions(format=layout, event_format=event_format, max_events=max_events, max_bytes=max_bytes)
    records = [record(number, eventType="x" * length) for number, length in enumerate(lengths)]
    found = list(cut(records, options, source_id=SOURCE_ID))
    assert [each for group in found for each in group] == records
    for group in found:
        assert 1 <= len(group) <= (1 if layout is Format.SINGLE else max_events)
        assert len(group) == 1 or sent_bytes(group, options) <= max_bytes
    slack = 1 if max_events < 10 else 3  # room is kept for the digits of the largest count
    for group, following in pairwise(found):
        if len(group) < max_events and layout is not Format.SINGLE:
            assert sent_bytes([*group, following[0]], options) > max_bytes - slack


def test_a_record_over_the_limit_goes_alone() -> None:
    small, large = record(1), record(2, x="y" * 5000)
    assert groups([small, large, small, small], max_bytes=2000) == [[small], [large], [small, small]]


def test_a_record_that_must_travel_alone_does() -> None:
    odd = judged(b'{"x":"\\ud800"}')
    assert isinstance(odd, Record)
    small = record(1)
    assert groups([small, odd, odd, small, small]) == [[small], [odd], [odd], [small, small]]


@pytest.mark.parametrize("options", [{"format": Format.SINGLE}, {"max_events": 1}])
def test_one_a_group(options: dict[str, object]) -> None:
    assert groups([record(1), record(2)], **options) == [[record(1)], [record(2)]]


def test_of_nothing_come_no_groups() -> None:
    assert groups([]) == []
