"""When the ledger is asked before batches are frozen."""

from trailhook.intake.repeats import LOOKS, Repeats


def test_a_source_without_repeats_is_not_looked_up() -> None:
    assert not Repeats().expected("s1")


def test_after_a_repeat_every_group_is_looked_up_until_enough_had_none() -> None:
    repeats = Repeats()
    repeats.met("s1")
    for _ in range(LOOKS):
        assert repeats.expected("s1")
        assert not repeats.expected("s2")
        repeats.looked("s1", ())
    assert not repeats.expected("s1")


def test_another_repeat_begins_it_anew() -> None:
    repeats = Repeats()
    repeats.met("s1")
    for _ in range(LOOKS - 1):
        repeats.looked("s1", ())
    repeats.looked("s1", {b"key"})
    for _ in range(LOOKS - 1):
        repeats.looked("s1", ())
        assert repeats.expected("s1")
