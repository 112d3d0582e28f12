"""Which records pass a filter."""

import fnmatch
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import judged, record
from trailhook.cloudtrail.stretch import Record
from trailhook.intake.filter import compile_filter, explain
from trailhook.model import Filter


def included(one: Record, **patterns: str) -> bool:
    return passes(one, Filter(include={path.replace("__", "."): (each,) for path, each in patterns.items()}))


def passes(one: Record, wanted: Filter | None) -> bool:
    judge = compile_filter(wanted)
    return judge is None or judge(one.event, one.raw)


@pytest.mark.parametrize("wanted", [None, Filter()])
def test_without_a_filter_everything_passes(wanted: Filter | None) -> None:
    assert passes(record(), wanted)


def test_every_included_field_must_match_one_of_its_patterns() -> None:
    wanted = Filter(include={"eventName": ("Put*", "Get*"), "awsRegion": ("eu-west-1",)})
    assert passes(record(), wanted)
    assert not passes(record(eventName="ListBuckets"), wanted)
    assert not passes(record(awsRegion="us-east-1"), wanted)


def test_no_excluded_field_may_match() -> None:
    wanted = Filter(exclude={"eventName": ("Get*",), "awsRegion": ("us-*",)})
    assert not passes(record(), wanted)
    assert not passes(record(eventName="Put", awsRegion="us-east-1"), wanted)
    assert passes(record(eventName="Put"), wanted)


def test_exclusion_wins() -> None:
    assert not passes(record(), Filter(include={"eventName": ("*",)}, exclude={"eventName": ("GetObject",)}))


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("GetObject", True),
        ("getobject", False),
        ("Get", False),
        ("Get*", True),
        ("*Object", True),
        ("*t*t", True),
        ("Get??????", True),
        ("Get?????", False),
        ("**", True),
        ("", False),
        ("G[e]tObject", False),
        ("Get.bject", False),
    ],
)
def test_wildcards(pattern: str, matches: bool) -> None:
    assert included(record(), eventName=pattern) is matches


@given(st.text("ab*?", max_size=8), st.text("ab\n", max_size=8))
def test_patterns_mean_what_they_mean_in_file_names(pattern: str, text: str) -> None:
    expected = re.fullmatch(fnmatch.translate(pattern), text) is not None
    assert included(record(eventName=text), eventName=pattern) is expected


def test_no_pattern_takes_long() -> None:
    started = time.process_time()
    assert not included(record(eventName="a" * 5000), eventName="*a" * 60 + "*b")
    assert time.process_time() - started < 1


@pytest.mark.parametrize("path", ["errorCode", "userIdentity.userName", "vpcEndpointId", "requestParameters.a.b"])
def test_a_missing_field_is_the_empty_text(path: str) -> None:
    for one in (record(), record(userIdentity=None), record(errorCode=None, vpcEndpointId=None)):
        assert passes(one, Filter(include={path: ("",)}))
        assert passes(one, Filter(include={path: ("*",)}))
        assert not passes(one, Filter(include={path: ("?*",)}))


def test_fields_of_the_user_are_at_hand() -> None:
    assert included(record(1), userIdentity__arn="*user/u1", userIdentity__type="IAMUser")


def test_true_and_false_are_words() -> None:
    assert included(record(), readOnly="true")
    assert included(record(readOnly=False), readOnly="false")
    assert included(record(managementEvent=True), managementEvent="true")


def test_any_other_path_is_looked_up_in_the_record() -> None:
    one = record(
        requestParameters={"bucketName": "logs", "n": 12, "deep": {"x": None}},
        userIdentity={"sessionContext": {"a": "b"}},
    )
    assert included(one, requestParameters__bucketName="lo?s")
    assert included(one, requestParameters__n="12")
    assert included(one, requestParameters__deep__x="")
    assert included(one, userIdentity__sessionContext__a="b")
    assert not included(one, requestParameters="?*")


def test_a_list_matches_if_any_of_its_elements_does() -> None:
    one = record(resources=[{"ARN": "arn:a"}, {"ARN": "arn:b"}], tags=["x", "y"], none=[])
    assert included(one, resources__ARN="arn:b", tags="y", none="")
    assert not included(one, tags="z")
    assert not passes(one, Filter(exclude={"resources.ARN": ("arn:a",)}))


FIELDS = st.dictionaries(
    st.sampled_from(["eventName", "awsRegion", "userIdentity.arn", "errorCode", "requestParameters.key"]),
    st.lists(st.sampled_from(["*", "", "Get*", "eu-west-1", "*u1", "?*", "k"]), min_size=1, max_size=2).map(tuple),
    max_size=2,
)


@given(FIELDS, FIELDS, st.integers(0, 3))
def test_what_does_not_pass_has_a_reason_and_what_passes_has_none(include: Any, exclude: Any, number: int) -> None:
    wanted = Filter(include=include, exclude=exclude)
    one = record(number, requestParameters={"key": ["k", "l"]})
    assert (explain(wanted)(one.event, one.raw) == "") is passes(one, wanted)


def test_the_reason_names_the_field_and_what_is_there() -> None:
    one = record(eventName="Get" * 100)
    assert (
        explain(Filter(exclude={"eventName": ("Get*",)}))(one.event, one.raw)
        == f'exclude names eventName "{("Get" * 34)[:100]}…"'
    )
    assert explain(Filter(include={"errorCode": ("?*",)}))(one.event, one.raw) == 'include does not name errorCode ""'


def test_a_record_that_travels_alone_is_filtered_like_any_other() -> None:
    odd = judged(b'{"eventName":"GetObject","x":"\\ud800","y":"here"}')
    assert isinstance(odd, Record)
    assert included(odd, eventName="Get*", y="here")
