"""It adds up only if every event came once, unaltered and signed."""

from dataclasses import replace

import pytest

from trailhook.demo.receiver import Tally
from trailhook.demo.reckoning import Written, reckon, summary

ONE, TWO = ("111122223333", "e-1"), ("111122223333", "e-2")
WRITTEN = {ONE: b"1", TWO: b"2"}


def test_it_adds_up_when_both_sets_are_the_same() -> None:
    tally = Tally(requests=9, batches=2, events=2, notices=1, repeated=3, misbehaved=4)
    assert reckon(WRITTEN, dict(WRITTEN), tally).adds_up


def test_a_missing_event_does_not_add_up() -> None:
    reckoning = reckon(WRITTEN, {ONE: b"1"}, Tally())
    assert (reckoning.missing, reckoning.adds_up) == (1, False)


def test_an_event_that_nobody_wrote_does_not_add_up() -> None:
    reckoning = reckon({ONE: b"1"}, WRITTEN, Tally())
    assert (reckoning.unexpected, reckoning.adds_up) == (1, False)


def test_a_changed_byte_does_not_add_up() -> None:
    reckoning = reckon(WRITTEN, {**WRITTEN, TWO: b"other"}, Tally())
    assert (reckoning.altered, reckoning.adds_up) == (1, False)


@pytest.mark.parametrize("fault", ["doubled", "altered", "bad_signatures", "unreadable"])
def test_any_fault_that_the_receiver_saw_does_not_add_up(fault: str) -> None:
    assert not reckon(WRITTEN, dict(WRITTEN), replace(Tally(), **{fault: 1})).adds_up


def test_the_summary_has_the_products_counts_beside_ours() -> None:
    table = summary(Written(1, 3, WRITTEN), reckon(WRITTEN, WRITTEN, Tally()), Tally(), {"read": 3, "sent": 2})
    cells = [list(column.cells) for column in table.columns]
    assert cells[1][:3] == ["3", "1", "2"]
    assert cells[2][:3] == ["read 3", "", "sent 2"]
