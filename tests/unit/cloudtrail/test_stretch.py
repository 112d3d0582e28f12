"""Records side by side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import log_file, raw, read, record, rows, stretches
from trailhook.cloudtrail.stretch import Stretch


def of_a_file(count: int) -> Stretch:
    (found,) = read(log_file(*map(raw, range(count)))).stretches
    return found


def test_a_stretch_of_one_is_the_record() -> None:
    assert rows(stretches([record(0)])) == rows([of_a_file(1)])


@given(st.integers(1, 9), st.data())
def test_a_part_has_what_the_whole_has_there(count: int, data: st.DataObject) -> None:
    whole = of_a_file(count)
    start = data.draw(st.integers(0, count - 1))
    end = data.draw(st.integers(start + 1, count))
    part = whole.part(start, end)
    assert rows([part]) == rows([whole])[start:end]
    assert bytes(part.whole) == b",".join(map(raw, range(start, end)))
    assert part.text is whole.text


@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_what_is_chosen_is_as_it_was(wanted: list[bool]) -> None:
    whole = of_a_file(len(wanted))
    expected = [row for row, is_wanted in zip(rows([whole]), wanted, strict=True) if is_wanted]
    assert rows([whole.chosen(wanted)]) == expected


@pytest.mark.parametrize("separator", [b",", b"\n"])
def test_written_anew_it_keeps_everything_else(separator: bytes) -> None:
    before = of_a_file(3)
    after = before.written([b"one", b"", b"three"], separator)
    assert bytes(after.whole) == separator.join([b"one", b"", b"three"])
    assert [row[1:] for row in rows([after])] == [row[1:] for row in rows([before])]
