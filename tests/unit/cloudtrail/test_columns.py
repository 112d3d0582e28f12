"""The packed search columns of a batch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import record, stretches
from trailhook.cloudtrail.columns import TEXT_COLUMNS, Column, Columns, gather, pack, slices, unpack
from trailhook.cloudtrail.stretch import Record
from trailhook.errors import Invalid

TEXTS = st.none() | st.text(max_size=5)


def columns_of(records: list[Record], *, first: int = 7) -> Columns:
    return gather(stretches(records), layout="array", first_offset=first)


def body_of(records: list[Record], *, first: int = 7) -> bytes:
    return b"-" * first + b",".join(each.raw for each in records) + b"]"


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS, st.sampled_from([True, False, None])), min_size=1, max_size=20))
def test_what_is_packed_comes_back(rows: list[tuple[str | None, str | None, str | None, bool | None]]) -> None:
    records = [
        record(number, eventName=name, errorCode=error, awsRegion=region, readOnly=read_only)
        for number, (name, error, region, read_only) in enumerate(rows)
    ]
    columns = columns_of(records)
    back = unpack(pack(columns))
    assert back == columns
    assert [back.texts["name"][index] for index in range(len(back))] == [name or "" for name, _, _, _ in rows]
    assert [back.texts["error"][index] for index in range(len(back))] == [error or "" for _, error, _, _ in rows]
    assert list(back.read_only) == [read_only for _, _, _, read_only in rows]
    assert back.times == tuple(each.at for each in records)
    assert slices(body_of(records), back) == [each.raw for each in records]


def test_every_column_has_its_field() -> None:
    columns = columns_of([record(1, errorCode="AccessDenied")])
    assert {name: columns.texts[name][0] for name in TEXT_COLUMNS} == {
        "name": "GetObject",
        "service": "s3.amazonaws.com",
        "user": "arn:aws:iam::111122223333:user/u1",
        "ip": "192.0.2.7",
        "error": "AccessDenied",
        "account": "111122223333",
        "region": "eu-west-1",
    }
    assert columns.layout == "array"


@pytest.mark.parametrize(
    ("identity", "user"),
    [
        ({"arn": "a", "userName": "n", "invokedBy": "i", "principalId": "p"}, "a"),
        ({"userName": "n", "invokedBy": "i", "principalId": "p"}, "n"),
        ({"invokedBy": "i", "principalId": "p"}, "i"),
        ({"principalId": "p"}, "p"),
        ({}, ""),
        (None, ""),
    ],
)
def test_the_user_is_the_best_name_there_is(identity: dict[str, str] | None, user: str) -> None:
    assert columns_of([record(userIdentity=identity)]).texts["user"][0] == user


@pytest.mark.parametrize("distinct", [255, 256, 257, 65_537])
def test_a_column_may_have_any_number_of_values(distinct: int) -> None:
    columns = columns_of([record()] * distinct)
    wide = Columns(
        layout="array",
        times=columns.times,
        starts=columns.starts,
        read_only=columns.read_only,
        texts={name: Column.of(map(str, range(distinct))) for name in columns.texts},
    )
    assert unpack(pack(wide)) == wide


@given(st.integers(1, 12), st.data())
def test_a_part_of_the_columns_fits_a_part_of_the_body(count: int, data: st.DataObject) -> None:
    records = [record(number, eventName=f"Name{number % 4}") for number in range(count)]
    start = data.draw(st.integers(0, count - 1))
    end = data.draw(st.integers(start + 1, count))
    part = columns_of(records).take(start, end, first_offset=3)
    assert part == columns_of(records[start:end], first=3)


def test_times_leave_out_records_without_one() -> None:
    columns = columns_of([record(30), record(eventTime=None), record(5)])
    assert (columns.first_at, columns.last_at) == (record(5).at, record(30).at)
    timeless = columns_of([record(eventTime=None)])
    assert (timeless.first_at, timeless.last_at) == (0, 0)


@pytest.mark.parametrize("packed", [b"", b"\x02abc"])
def test_another_version_is_refused(packed: bytes) -> None:
    with pytest.raises(Invalid) as raised:
        unpack(packed)
    assert raised.value.reason == "columns_unknown"
