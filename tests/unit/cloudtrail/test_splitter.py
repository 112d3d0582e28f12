"""Cutting `Records` into its elements, byte for byte."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhook.cloudtrail.splitter import split
from trailhook.errors import Invalid

SPACE = st.sampled_from(["", " ", "\n", "\t \r\n"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS | st.sampled_from(["},{", '"Records":[', "\\", '\\"', "]}", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def split_whole(data: bytes, *, piece_bytes: int | None = None, element_bytes_max: int = 10**6) -> list[bytes]:
    step = piece_bytes or max(1, len(data))
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    return [each for some in split(pieces, element_bytes_max=element_bytes_max) for each in some]


@st.composite
def spaced(draw: st.DrawFn, value: Any) -> str:
    """A value as JSON with white space wherever JSON allows it."""

    def gap() -> str:
        return draw(SPACE)

    if isinstance(value, dict):
        pairs = [f"{gap()}{json.dumps(key)}{gap()}:{gap()}{draw(spaced(each))}{gap()}" for key, each in value.items()]
        return "{" + (",".join(pairs) or gap()) + "}"
    if isinstance(value, list):
        return "[" + (",".join(f"{gap()}{draw(spaced(each))}{gap()}" for each in value) or gap()) + "]"
    return json.dumps(value, ensure_ascii=draw(st.booleans()) or "\ud800" in str(value))


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A file and the text of each of its elements."""
    elements = [draw(spaced(each)) for each in draw(st.lists(VALUES, max_size=5))]
    names = draw(st.permutations([*draw(st.lists(st.sampled_from(["a", "recordS", ""]), max_size=2)), "Records"]))
    listed = ",".join(f"{draw(SPACE)}{each}{draw(SPACE)}" for each in elements)
    values = [f"[{listed}]" if name == "Records" else draw(spaced(draw(VALUES))) for name in names]
    members = (
        f"{draw(SPACE)}{json.dumps(n)}{draw(SPACE)}:{draw(SPACE)}{v}" for n, v in zip(names, values, strict=True)
    )
    return draw(SPACE) + "{" + ",".join(members) + draw(SPACE) + "}" + draw(SPACE), elements


@given(documents(), st.integers(1, 40))
def test_the_slices_are_the_elements_however_the_file_is_spaced_and_cut(
    document: tuple[str, list[str]], piece_bytes: int
) -> None:
    text, elements = document
    data = text.encode(errors="surrogatepass")
    assert split_whole(data, piece_bytes=piece_bytes) == [each.encode(errors="surrogatepass") for each in elements]
    assert split_whole(data) == split_whole(data, piece_bytes=piece_bytes)


@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=40), st.integers(1, 5000))
def test_compact_files_are_cut_the_same_in_whole_stretches(elements: list[dict[str, Any]], piece_bytes: int) -> None:
    listed = [json.dumps(each, separators=(",", ":")).encode() for each in elements]
    assert split_whole(b'{"Records":[%b]}' % b",".join(listed), piece_bytes=piece_bytes) == listed


def test_a_stretch_that_ends_within_an_element_is_not_taken() -> None:
    tricky = [b'{"a":"},{","b":[{},{},{"c":"},{"}]}', b'{"a":"\\"},{\\""}', b'{"a":[{"b":1},{"b":2}]}'] * 700
    assert split_whole(b'{"Records":[%b]}' % b",".join(tricky)) == tricky


def test_an_element_that_is_no_json_costs_its_neighbours_nothing() -> None:
    good = b'{"a":1}'
    broken = [b'{"a":NaN}', b'{"a":"\xff"}', b'{"a" 1}', b'{"a":[1}}', b"nul", b'{"a":"\n"}', b"[" * 5000 + b"]" * 5000]
    elements = [each for bad in broken for each in (good, bad)] * 50 + [good]
    assert split_whole(b'{"Records":[%b]}' % b",".join(elements)) == elements


@pytest.mark.parametrize("piece_bytes", [None, 1000])
def test_an_element_that_is_too_long_comes_cut_and_its_neighbours_whole(piece_bytes: int | None) -> None:
    elements = [b'{"a":1}', b'{ "a":"%b"}' % (b"x\\" * 6000), b'{"b":2}']
    long = b'{ "a":"%b"}' % (b"x" * 20_000)
    data = b'{"Records":[{"a":1} , %b , {"b":2}]}' % long
    found = split_whole(data, piece_bytes=piece_bytes, element_bytes_max=5000)
    assert found == [elements[0], long[:5001], elements[2]]


def test_a_byte_order_mark_is_passed_over() -> None:
    for piece_bytes in (1, 2, None):
        assert split_whole(b'\xef\xbb\xbf{"Records":[{}]}', piece_bytes=piece_bytes) == [b"{}"]


def test_several_lists_of_records_are_all_taken_whatever_their_name_is_spelled_like() -> None:
    assert split_whole(b'{"Records":[1],"x":{"Records":[2]},"\\u0052ecords":[3], "Records":[]}') == [b"1", b"3"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_json"),
        (b"  ", "not_json"),
        (b"hello", "not_json"),
        (b"{", "not_json"),
        (b'{"Records"', "not_json"),
        (b'{"Records":[', "not_json"),
        (b'{"Records":[{}', "not_json"),
        (b'{"Records":[{}]', "not_json"),
        (b'{"Records":[{},', "not_json"),
        (b'{"Records":[{},]}', "not_json"),
        (b'{"Records":[,{}]}', "not_json"),
        (b'{"Records":[{} {}]}', "not_json"),
        (b'{"Records":[{"a":"', "not_json"),
        (b'{"Records":[{"a":"\\', "not_json"),
        (b'{"Records":[{}]]', "not_json"),
        (b'{"Records":[{}]},', "not_json"),
        (b'{"Records":[{}]}{"Records":[{}]}', "not_json"),
        (b'{"Records":[{}],}', "not_json"),
        (b"{Records:[{}]}", "not_json"),
        (b'{"\\q":1}', "not_json"),
        (b"{}", "no_records"),
        (b"[]", "no_records"),
        (b'{"records":[]}', "no_records"),
        (b'{"%b":[]}' % (b"Records" * 900), "no_records"),
        (b'{"Records":{}}', "records_not_a_list"),
        (b'{"Records":null}', "records_not_a_list"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(data: bytes, reason: str) -> None:
    for piece_bytes in (1, None):
        with pytest.raises(Invalid) as raised:
            split_whole(data, piece_bytes=piece_bytes)
        assert raised.value.reason == reason


def test_a_seam_far_behind_is_not_looked_at_again_for_every_element_before_it() -> None:
    """A file that was written anew with spaces, and in whose last record a policy holds what looks like a seam."""
    elements = [b'{"eventID": "%d", "pad": "%s"}' % (number, b"x" * 300) for number in range(12_000)]
    elements.append(b'{"policy": "{1},{2}"}')
    began_at = time.process_time()
    assert split_whole(b'{"Records": [%b]}' % b", ".join(elements)) == elements
    assert time.process_time() - began_at < 3.0
