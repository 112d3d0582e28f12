"""Which records of a batch a query finds."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from support.records import frozen, judged, raw, record
from trailhook import body
from trailhook.cloudtrail.columns import Packed
from trailhook.cloudtrail.stretch import Record
from trailhook.model import DeliveryOptions, EventFormat, Format
from trailhook.search.grammar import parse
from trailhook.search.match import Matcher

OPTIONS = DeliveryOptions(max_events=10_000)


def search(query: str, records: Sequence[Record], options: DeliveryOptions = OPTIONS) -> list[int]:
    """The positions that are found, by columns and then by the body where that is needed."""
    batch = frozen(records, source_id="s1", options=options, batch_id="msg_1")
    columns, matcher = Packed(batch.columns), Matcher(parse(query))
    positions = matcher.positions(columns)
    if matcher.reads_bodies:
        positions = matcher.confirmed(body.inflated(batch), columns.starts, positions)
    return list(positions)


def finds(query: str, **fields: Any) -> bool:
    """Whether it finds a record with these fields; its neighbours lack them all."""
    lacking = dict.fromkeys(("eventName", "eventSource", "awsRegion", "sourceIPAddress", "recipientAccountId"))
    neighbour = record(1, **lacking, userIdentity=None, readOnly=None, eventID=None)
    return 1 in search(query, [neighbour, record(2, **fields), neighbour])


@pytest.mark.parametrize(
    "query",
    [
        "",
        "eventName:GetObject",
        "eventName:getobject",
        "eventName:Get*",
        "eventName:*object",
        "eventName:*t*j*",
        "eventName:G?tObject",
        "eventName:Put,GetObject",
        'eventName:"getOBJECT"',
        "eventSource:s3.*",
        "user:*/u2",
        "ip:192.0.2.7",
        "ip:192.0.0.0/16",
        "ip:2001:db8::/32,192.0.2.0/24",
        "-ip:10.0.0.0/8",
        "account:111122223333",
        "region:eu-*",
        "readOnly:true",
        "-readOnly:false",
        "-errorCode:*",
        "eventName:* -eventName:Put*",
        "getobject",
        '"eventName\\":\\"GetObject"',
        "-nowhere",
        "eventId:00000000-0000-4000-8000-000000000002",
        "eventId:*0002",
        "-eventId:*0001",
        "GetObject eventId:*2 region:eu-west-1",
    ],
)
def test_an_event_is_found_by_what_it_holds(query: str) -> None:
    assert finds(query, eventName="GetObject")


@pytest.mark.parametrize(
    "query",
    [
        "eventName:Object",
        "eventName:GetObject?",
        'eventName:"Get*"',
        "-eventName:GetObject",
        "eventName:GetObject eventName:Put*",
        "user:u2",
        "ip:10.0.0.0/8",
        "ip:2001:db8::/32",
        "readOnly:false",
        "-readOnly:true",
        "errorCode:*",
        "nowhere",
        "-getobject",
        "eventId:*1",
        "-eventId:*2",
        "GetObject eventId:*3",
    ],
)
def test_an_event_is_not_found_by_what_it_lacks(query: str) -> None:
    assert not finds(query, eventName="GetObject")


@pytest.mark.parametrize("field", ["eventName", "eventSource", "user", "ip", "errorCode", "account", "region"])
def test_a_missing_field_fits_no_value(field: str) -> None:
    bare = record(
        1,
        eventName=None,
        eventSource=None,
        userIdentity=None,
        sourceIPAddress=None,
        recipientAccountId=None,
        awsRegion=None,
    )
    assert search(f"{field}:*", [bare]) == []
    assert search(f"-{field}:*", [bare]) == [0]


def test_a_service_that_calls_is_no_address() -> None:
    assert finds("ip:lambda.amazonaws.com", sourceIPAddress="lambda.amazonaws.com")
    assert not finds("ip:0.0.0.0/0", sourceIPAddress="lambda.amazonaws.com")


def test_an_event_that_does_not_say_whether_it_reads_is_neither() -> None:
    assert not finds("readOnly:true", readOnly=None)
    assert not finds("readOnly:false", readOnly=None)
    assert finds("-readOnly:true", readOnly=None)


@pytest.mark.parametrize("query", ['"zoë"', "ZOË", '"say \\"hi\\""', '"\N{GRINNING FACE}"'])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_text_is_found_however_json_writes_it(query: str, ascii_only: bool) -> None:
    who = 'zoë, who did say "hi" \N{GRINNING FACE}'
    found = judged(json.dumps({"eventID": "1", "who": who}, ensure_ascii=ascii_only).encode())
    assert isinstance(found, Record)
    assert search(query, [record(1), found]) == [1]


def test_text_is_not_found_across_two_records() -> None:
    first, second = raw(1), raw(2)
    across = (first[-3:] + b"," + second[:4]).decode().replace('"', '\\"')
    assert search(f'"{across}"', [record(1), record(2)]) == []


@pytest.mark.parametrize("layout", [Format.ENVELOPE, Format.NDJSON, Format.ARRAY])
def test_text_is_found_in_every_layout(layout: Format) -> None:
    records = [record(number) for number in range(5)]
    assert search("000000000003", records, DeliveryOptions(format=layout)) == [3]


def test_an_id_is_found_in_the_short_form_too() -> None:
    options = DeliveryOptions(event_format=EventFormat.COMPACT)
    assert search("eventId:*0003", [record(number) for number in range(5)], options) == [3]


def test_any_number_of_values_can_be_told_apart() -> None:
    records = [record(number, eventName=f"Name{number}") for number in range(600)]
    assert search("eventName:Name599,Name1", records) == [1, 599]
    assert search("-eventName:Name*9", records) == [number for number in range(600) if number % 10 != 9]


def test_a_batch_is_ruled_out_by_its_dictionaries_alone() -> None:
    batch = frozen([record(1)], source_id="s1", batch_id="msg_1")
    head_only = Packed(batch.columns[:-20])
    assert not Matcher(parse("eventName:Other -errorCode:*")).positions(head_only)
