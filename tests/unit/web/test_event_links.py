"""A search as an address: what is typed, pressed and dragged finds what it says."""

import math
from urllib.parse import parse_qs, urlsplit

import pytest

from trailhook.api.problems import BadRequest
from trailhook.search import grammar
from trailhook.search.grammar import Kind
from trailhook.web.event_links import CUSTOM, EXAMPLES, RANGES, Wanted, columns, is_countable, term_of, written

NOW = 1_750_000_123.0


def text_of(address: str) -> str:
    return parse_qs(urlsplit(address).query)["q"][0]


@pytest.mark.parametrize("range_", RANGES)
def test_a_range_reaches_back_at_least_so_far_in_whole_columns(range_: str) -> None:
    from_at, to_at = Wanted(range=range_).span(NOW)
    assert from_at <= NOW - RANGES[range_].length_s
    assert to_at >= NOW
    width_s = (to_at - from_at) / columns(from_at, to_at)
    assert width_s <= RANGES[range_].step_s
    assert from_at % width_s == 0


def test_times_of_ones_own_are_in_utc_and_may_be_open() -> None:
    wanted = Wanted(range=CUSTOM, begin="2025-06-15T12:00", end="2025-06-15T14:00:30+02:00")
    assert wanted.span(NOW) == (1_749_988_800.0, 1_749_988_830.0)
    assert Wanted(range=CUSTOM).span(NOW) == (0.0, math.inf)
    assert written(wanted.asked(NOW)) == ("2025-06-15T12:00:00", "2025-06-15T12:00:30")
    assert written(Wanted(range=CUSTOM).asked(NOW)) == ("", "")


@pytest.mark.parametrize(
    ("begin", "end", "field"), [("x", "", "from"), ("", "9999", "to"), ("2025-01-02", "2025-01-01", "to")]
)
def test_times_that_are_none_are_refused(begin: str, end: str, field: str) -> None:
    with pytest.raises(BadRequest) as raised:
        Wanted(range=CUSTOM, begin=begin, end=end).span(NOW)
    assert [each.field for each in raised.value.errors] == [field]


@pytest.mark.parametrize(
    "value",
    ["PutObject", "arn:aws:iam::1:user/a", "with blanks", "a*b?", 'quotes " and \\ backslash', "(x)", "-x", "a,b", "ß"],
)
def test_a_term_asks_for_this_very_value(value: str) -> None:
    (term,) = grammar.parse(term_of("user", value)).terms
    assert [each.text for each in term.values] == [value]
    assert term.values[0].kind is Kind.EXACT or not set(value) & set("*?")
    assert grammar.parse(term_of("user", value, negated=True)).terms == (term.but(negated=True),)


def test_where_no_term_can_say_so_there_is_none() -> None:
    assert term_of("ip", "1/2") == ""
    assert term_of("user", "") == ""
    assert Wanted(text="x" * 999).with_term("user", "alice") == ""


def test_a_term_joins_the_search_once() -> None:
    wanted = Wanted(text="errorCode:*", range="7d", source_id="s1")
    address = wanted.with_term("eventName", "Put Object", negated=True)
    assert text_of(address) == 'errorCode:* -eventName:"Put Object"'
    assert parse_qs(urlsplit(address).query)["source"] == ["s1"]
    once = Wanted(text=text_of(wanted.with_term("region", "eu-west-1")))
    assert text_of(once.with_term("region", "eu-west-1")) == once.text


def test_what_only_records_tell_is_not_counted() -> None:
    assert is_countable(grammar.parse("eventName:x -readOnly:true"))
    assert not is_countable(grammar.parse("eventName:x text"))
    assert not is_countable(grammar.parse("eventId:x"))


def test_the_examples_are_queries() -> None:
    assert all(grammar.parse(text).terms for text, _ in EXAMPLES)
