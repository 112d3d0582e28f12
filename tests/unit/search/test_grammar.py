"""From what a person types to a query."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhook.search.grammar import FIELDS, TEXT, Kind, NotUnderstood, Query, Term, Wanted, parse, term


def pattern(*texts: str) -> tuple[Wanted, ...]:
    return tuple(Wanted(text=text) for text in texts)


def exactly(*texts: str) -> tuple[Wanted, ...]:
    return tuple(Wanted(text=text, kind=Kind.EXACT) for text in texts)


@pytest.mark.parametrize("text", ["", "   ", "\t\n"])
def test_an_empty_query_asks_for_everything(text: str) -> None:
    assert parse(text) == Query()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("eventName:Get*", Term(field="eventName", values=pattern("Get*"))),
        ("EVENTNAME:x", Term(field="eventName", values=pattern("x"))),
        ("eventName:a,b", Term(field="eventName", values=pattern("a", "b"))),
        ('eventName:"a,*",b', Term(field="eventName", values=(*exactly("a,*"), *pattern("b")))),
        ("-errorCode:*", Term(field="errorCode", values=pattern("*"), negated=True)),
        ("NOT errorCode:*", Term(field="errorCode", values=pattern("*"), negated=True)),
        ("user:arn:aws:iam::1:user/a", Term(field="user", values=pattern("arn:aws:iam::1:user/a"))),
        ("userIdentity.arn:a", Term(field="user", values=pattern("a"))),
        ("sourceIPAddress:1.2.3.4", Term(field="ip", values=pattern("1.2.3.4"))),
        ("awsRegion:a", Term(field="region", values=pattern("a"))),
        ("recipientAccountId:a", Term(field="account", values=pattern("a"))),
        ("ip:10.0.0.0/8", Term(field="ip", values=(Wanted(text="10.0.0.0/8", kind=Kind.NETWORK),))),
        ("ip:2001:db8::/32", Term(field="ip", values=(Wanted(text="2001:db8::/32", kind=Kind.NETWORK),))),
        ("readOnly:TRUE", Term(field="readOnly", values=pattern("TRUE"))),
        ("word", Term(field=TEXT, values=exactly("word"))),
        ("a,b", Term(field=TEXT, values=exactly("a,b"))),
        ('"two words"', Term(field=TEXT, values=exactly("two words"))),
        (r'"say \"hi\" \\ *"', Term(field=TEXT, values=exactly(r'say "hi" \ *'))),
        ('-"x:y"', Term(field=TEXT, values=exactly("x:y"), negated=True)),
    ],
)
def test_a_term_says_what_it_looks_like(text: str, wanted: Term) -> None:
    assert parse(text).terms == (wanted,)


def test_terms_follow_one_another_and_may_be_joined_by_and() -> None:
    assert parse("eventName:a AND -word  region:b") == parse("eventName:a -word region:b")
    assert [each.field for each in parse("eventName:a AND -word  region:b").terms] == ["eventName", TEXT, "region"]


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("eventName:a bucket:x", 13, "no field"),
        ("arn:aws:iam", 1, "no field"),
        ("eventName:", 11, "value is missing"),
        ("eventName:a,,b", 13, "value is missing"),
        ("eventName:(a OR b)", 11, "parentheses"),
        ("eventName:a OR eventName:b", 13, "joined by AND"),
        ("ip:10.0.0.0/99", 4, "network"),
        ("readOnly:maybe", 10, "true or false"),
        ("readOnly:true,no", 15, "true or false"),
        ('x "open', 3, "not closed"),
        (r'"a\b"', 1, "not closed"),
        ('eventName:""', 11, "nothing between"),
        ("Console*", 1, "needs a field"),
        ("a -", 4, "negation"),
        ("a NOT ", 7, "negation"),
        ("x" * 1_001, 1_000, "1,000 characters"),
        ("a " * 31, 62, "30 terms"),
        ("eventName:" + "a," * 100 + "a", 212, "100 values"),
    ],
)
def test_what_is_no_query_is_refused_with_the_place_and_the_way_out(text: str, place: int, says: str) -> None:
    with pytest.raises(NotUnderstood, match=says) as raised:
        parse(text)
    assert raised.value.place == place


@given(st.text(alphabet='ab:",*-() \\/.1\n\ud800', max_size=30) | st.text(max_size=30))
def test_any_text_is_a_query_or_is_refused_at_a_place_in_it(text: str) -> None:
    refused: NotUnderstood | None = None
    try:
        parse(text)
    except NotUnderstood as error:
        refused = error
    assert refused is None or 1 <= refused.place <= len(text) + 1


def test_a_refusal_repeats_nothing_that_was_typed() -> None:
    with pytest.raises(NotUnderstood) as raised:
        parse("canary:value")
    assert "canary" not in str(raised.value)


def test_a_field_may_be_given_by_itself() -> None:
    assert term("eventName", "Get*,Put*") == parse("eventName:Get*,Put*").terms[0]
    with pytest.raises(NotUnderstood, match="blanks") as raised:
        term("user", "two words")
    assert raised.value.place == 5


def test_every_field_can_be_asked_for() -> None:
    assert [each.field for each in parse(" ".join(f"{field}:true" for field in FIELDS)).terms] == list(FIELDS)
