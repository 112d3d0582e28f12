"""When the ledger is asked before batches are frozen."""

import pytest

from trailhook.intake.repeats import LOOKS, Repeats

KEYS = [b"%d" % number for number in range(10)]


def test_a_source_without_repeats_is_not_looked_up() -> None:
    assert not Repeats().expected("s1")


def test_after_a_repeat_every_group_is_looked_up_until_enough_had_none() -> None:
    repeats = Repeats()
    repeats.met("s1")
    for _ in range(LOOKS):
        assert repeats.expected("s1")
        assert not repeats.expected("s2")
        repeats.looked("s1", KEYS, ())
    assert not repeats.expected("s1")


def test_another_repeat_begins_it_anew() -> None:
    repeats = Repeats()
    repeats.met("s1")
    for _ in range(LOOKS - 1):
        repeats.looked("s1", KEYS, ())
    repeats.looked("s1", KEYS, KEYS[:1])
    for _ in range(LOOKS - 1):
        repeats.looked("s1", KEYS, ())
        assert repeats.expected("s1")


@pytest.mark.parametrize(("known", "mostly"), [(10, True), (8, True), (7, False), (0, False)])
def test_a_source_is_mostly_known_by_its_last_group(known: int, mostly: bool) -> None:
    repeats = Repeats()
    assert not repeats.mostly("s1")
    for before in (0, 10):
        repeats.looked("s1", KEYS, KEYS[:before])
        repeats.looked("s1", KEYS, KEYS[:known])
        assert repeats.mostly("s1") is mostly


def test_a_group_that_holds_nothing_says_nothing() -> None:
    repeats = Repeats()
    repeats.looked("s1", (), ())
    assert not repeats.mostly("s1")
