"""Cutting records into groups."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import frozen, judged, log_file, raws, read, record, stretches
from trailhook import body
from trailhook.cloudtrail.stretch import Record, Stretch
from trailhook.intake.cut import cut
from trailhook.model import DeliveryOptions, EventFormat, Format

SOURCE_ID = "5b0f3c1e-0000-4000-8000-000000000000"


def cut_as_sent(found: list[Stretch], options: DeliveryOptions) -> list[list[Stretch]]:
    return list(cut([body.as_sent(each, options) for each in found], options, source_id=SOURCE_ID))


def groups(records: list[Record], **options: object) -> list[list[bytes]]:
    return [raws(group) for group in cut_as_sent(stretches(records), DeliveryOptions().but(**options))]


def sent_bytes(records: list[Record], options: DeliveryOptions) -> int:
    return len(body.inflated(frozen(records, source_id=SOURCE_ID, options=options, batch_id="msg_x")))


@given(
    lengths=st.lists(st.integers(0, 1500), max_size=25),
    divided=st.lists(st.integers(0, 25), max_size=3).map(sorted),
    max_events=st.integers(1, 8),
    max_bytes=st.integers(500, 6000),
    layout=st.sampled_from(list(Format)),
    event_format=st.sampled_from(list(EventFormat)),
)
def test_groups_keep_the_order_and_fill_their_limits(
    lengths: list[int],
    divided: list[int],
    max_events: int,
    max_bytes: int,
    layout: Format,
    event_format: EventFormat,
) -> None:
    options = DeliveryOptions(format=layout, event_format=event_format, max_events=max_events, max_bytes=max_bytes)
    records = [record(number, eventType="x" * length) for number, length in enumerate(lengths)]
    files = [log_file(*(each.raw for each in records[a:b])) for a, b in pairwise([0, *divided, len(records)])]
    found = cut_as_sent([each for file in files for each in read(file).stretches], options)
    rest = iter(records)
    cut_up = [[next(rest) for stretch in group for _ in stretch.keys] for group in found]
    assert next(rest, None) is None
    assert [key for group in found for stretch in group for key in stretch.keys] == [each.key for each in records]
    for one in cut_up:
        assert 1 <= len(one) <= (1 if layout is Format.SINGLE else max_events)
        assert len(one) == 1 or sent_bytes(one, options) <= max_bytes
    slack = 1 if max_events < 10 else 3  # room is kept for the digits of the largest count
    for one, following in pairwise(cut_up):
        if len(one) < max_events and layout is not Format.SINGLE:
            assert sent_bytes([*one, following[0]], options) > max_bytes - slack


def test_a_record_over_the_limit_goes_alone() -> None:
    small, large = record(1), record(2, x="y" * 5000)
    assert groups([small, large, small, small], max_bytes=2000) == bytes_of([[small], [large], [small, small]])


def test_a_record_that_must_travel_alone_does() -> None:
    odd = judged(b'{"x":"\\ud800"}')
    assert isinstance(odd, Record)
    small = record(1)
    assert groups([small, odd, odd, small, small]) == bytes_of([[small], [odd], [odd], [small, small]])


@pytest.mark.parametrize("options", [{"format": Format.SINGLE}, {"max_events": 1}])
def test_one_a_group(options: dict[str, object]) -> None:
    assert groups([record(1), record(2)], **options) == bytes_of([[record(1)], [record(2)]])


def test_of_nothing_come_no_groups() -> None:
    assert groups([]) == []


def bytes_of(grouped: list[list[Record]]) -> list[list[bytes]]:
    return [[each.raw for each in group] for group in grouped]
