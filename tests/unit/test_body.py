"""The bytes of batches."""

import gzip
import hashlib
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.records import frozen, judged, raw, record
from trailhook import body
from trailhook.cloudtrail import columns
from trailhook.cloudtrail.stretch import Record
from trailhook.errors import Invalid
from trailhook.model import Batch, BatchKind, Compression, DeliveryOptions, EventFormat, Format, NewBatch

SOURCE_ID = "5b0f3c1e-0000-4000-8000-000000000000"


def freeze(records: Sequence[Record], batch_id: str = "msg_parent", **options: object) -> NewBatch:
    return frozen(records, source_id=SOURCE_ID, options=DeliveryOptions().but(**options), batch_id=batch_id)


def frozen_with(laid_out: body.LaidOut, one: Record, **options: object) -> NewBatch:
    chosen = DeliveryOptions().but(**options)
    return frozen([one], source_id=SOURCE_ID, options=chosen, batch_id="msg_parent", laid_out=laid_out)


def stored(batch: NewBatch) -> Batch:
    fields = {name: getattr(batch, name) for name in batch.__struct_fields__}
    return Batch(**fields, num=1, source_id=SOURCE_ID, frozen_at=0.0, due_at=0.0)


# --------------------------------------------------------------------------------------------------------- freezing


@pytest.mark.parametrize(
    ("layout", "content_type", "expected"),
    [
        (
            Format.ENVELOPE,
            "application/json",
            b'{"type":"cloudtrail.events","data":{"sourceId":"%b","count":2,"events":[%b,%b]}}'
            % (SOURCE_ID.encode(), raw(1), raw(2)),
        ),
        (Format.ARRAY, "application/json", b"[%b,%b]" % (raw(1), raw(2))),
        (Format.NDJSON, "application/x-ndjson", b"%b\n%b\n" % (raw(1), raw(2))),
    ],
)
def test_layouts(layout: Format, content_type: str, expected: bytes) -> None:
    batch = freeze([record(1), record(2)], format=layout)
    assert body.wire(batch) == expected
    assert batch.content_type == content_type
    assert (batch.content_encoding, batch.wire_bytes, batch.count) == ("", len(expected), 2)


def test_single_is_the_record_itself() -> None:
    batch = freeze([record(1)], format=Format.SINGLE)
    assert (body.wire(batch), batch.content_type) == (raw(1), "application/json")
    with pytest.raises(ValueError, match="one record"):
        freeze([record(1), record(2)], format=Format.SINGLE)


def test_the_same_records_freeze_to_the_same_bytes() -> None:
    assert freeze([record(1), record(2)]) == freeze([record(1), record(2)])


def test_what_is_stored_is_gzip_and_hashed_as_stored() -> None:
    batch = freeze([record(1)])
    assert gzip.decompress(batch.body) == body.wire(batch)
    assert hashlib.sha256(batch.body).digest() == batch.sha256
    assert batch.body[4:8] == bytes(4)  # no time of writing in the header


def test_gzip_travels_as_it_is_stored() -> None:
    batch = freeze([record(1)], compression=Compression.GZIP)
    assert batch.content_encoding == "gzip"
    assert body.wire(batch) == batch.body
    assert batch.wire_bytes == len(batch.body)
    assert gzip.decompress(batch.body) == body.wire(freeze([record(1)]))


@pytest.mark.parametrize("compression", list(Compression))
def test_a_body_just_laid_out_is_held_as_it_travels_until_it_is_taken(compression: Compression) -> None:
    laid_out = body.LaidOut(10_000)
    batch = frozen_with(laid_out, record(1), compression=compression)
    assert laid_out.holds(batch.sha256)
    assert laid_out.take(batch) == body.wire(batch)
    assert not laid_out.holds(batch.sha256)
    assert laid_out.take(batch) is None


def test_only_so_many_bytes_are_held_and_the_new_wait_until_the_old_are_taken() -> None:
    size = len(body.wire(freeze([record(1)])))
    laid_out = body.LaidOut(2 * size)
    batches = [frozen_with(laid_out, record(number)) for number in (1, 2, 3)]
    assert [laid_out.holds(batch.sha256) for batch in batches] == [True, True, False]
    assert laid_out.take(batches[0]) == body.wire(batches[0])
    frozen_with(laid_out, record(3))
    assert [laid_out.holds(batch.sha256) for batch in batches] == [False, True, True]
    assert frozen_with(body.LaidOut(0), record(1)) == batches[0]


def test_what_nobody_takes_makes_room_in_the_end() -> None:
    size = len(body.wire(freeze([record(1)])))
    laid_out = body.LaidOut(2 * size)
    forgotten = [frozen_with(laid_out, record(number)) for number in (1, 2)]
    newer = [frozen_with(laid_out, record(number)) for number in range(10, 10 + 2 * body.PASSED_BY)]
    assert [laid_out.holds(batch.sha256) for batch in (*forgotten, newer[0], newer[-1])] == [False, True, False, True]


def test_times_of_a_batch() -> None:
    batch = freeze([record(30), record(eventTime=None), record(5)])
    assert (batch.first_event_at, batch.last_event_at) == (record(5).at, record(30).at)


def test_compact_events() -> None:
    sent = json.loads(
        body.wire(freeze([record(1), record(2, userIdentity=None, eventID=None)], event_format=EventFormat.COMPACT))
    )
    assert sent["data"]["events"] == [
        {
            "eventId": "00000000-0000-4000-8000-000000000001",
            "eventTime": "2024-05-01T10:00:01Z",
            "eventType": "AwsApiCall",
            "sourceIPAddress": "192.0.2.7",
            "userIdentity": {"arn": "arn:aws:iam::111122223333:user/u1"},
        },
        {
            "eventId": None,
            "eventTime": "2024-05-01T10:00:02Z",
            "eventType": "AwsApiCall",
            "sourceIPAddress": "192.0.2.7",
            "userIdentity": {"arn": None},
        },
    ]


def test_a_record_of_several_lines_is_one_line_of_ndjson_and_untouched_elsewhere() -> None:
    lines = b'{\r\n "eventID": "a\\nb",\n "x": [1,\n2]\n}'
    found = judged(lines)
    assert isinstance(found, Record)
    sent = body.wire(freeze([found, record(1)], format=Format.NDJSON))
    assert [json.loads(line) for line in sent.splitlines()] == [json.loads(lines), json.loads(raw(1))]
    assert body.wire(freeze([found], format=Format.ARRAY)) == b"[" + lines + b"]"


@pytest.mark.parametrize("layout", [Format.ENVELOPE, Format.NDJSON, Format.ARRAY])
@pytest.mark.parametrize("event_format", list(EventFormat))
def test_the_columns_find_each_record_in_the_body(layout: Format, event_format: EventFormat) -> None:
    records = [record(number, x="\u00fc" * number) for number in range(12)]
    batch = freeze(records, format=layout, event_format=event_format)
    found = columns.slices(body.inflated(batch), columns.unpack(batch.columns))
    expected = [body.compact(each.raw) if event_format is EventFormat.COMPACT else each.raw for each in records]
    assert found == expected


def test_altered_bytes_are_never_sent() -> None:
    for batch in (freeze([record(1)]), freeze([record(1)], compression=Compression.GZIP)):
        for altered in (b"", batch.body[:-1], batch.body[:30] + b"x" + batch.body[31:]):
            with pytest.raises(Invalid) as raised:
                body.wire(batch.but(body=altered))
            assert raised.value.reason == "body_altered"


# ---------------------------------------------------------------------------------------------------------- halving


@given(
    count=st.integers(2, 12),
    layout=st.sampled_from([Format.ENVELOPE, Format.NDJSON, Format.ARRAY]),
    event_format=st.sampled_from(list(EventFormat)),
    compression=st.sampled_from(list(Compression)),
)
def test_halves_are_what_would_have_been_frozen_of_their_records(
    count: int, layout: Format, event_format: EventFormat, compression: Compression
) -> None:
    options = {"format": layout, "event_format": event_format, "compression": compression}
    records = [record(number) for number in range(count)]
    left, right = body.halve(stored(freeze(records, **options)), source_id=SOURCE_ID, ids=("msg_left", "msg_right"))
    assert left == freeze(records[: count // 2], "msg_left", **options).but(parent="msg_parent")
    assert right == freeze(records[count // 2 :], "msg_right", **options).but(parent="msg_parent")


def test_halving_goes_down_to_single_records_and_no_further() -> None:
    left, right = body.halve(stored(freeze([record(1), record(2)])), source_id=SOURCE_ID, ids=("msg_a", "msg_b"))
    assert (left.count, right.count) == (1, 1)
    with pytest.raises(ValueError, match="cannot be split"):
        body.halve(stored(left), source_id=SOURCE_ID, ids=("msg_c", "msg_d"))


# ------------------------------------------------------------------------------------------------- notices and ids


def test_a_notice_is_an_envelope() -> None:
    batch = body.notice("source.recovered", {"sourceId": SOURCE_ID}, batch_id="msg_n")
    assert body.wire(batch) == b'{"type":"source.recovered","data":{"sourceId":"%b"}}' % SOURCE_ID.encode()
    assert (batch.kind, batch.type, batch.count) == (BatchKind.NOTICE, "source.recovered", 0)
    assert (batch.content_type, batch.content_encoding) == ("application/json", "")
    assert batch.wire_bytes == len(body.wire(batch))


def test_an_id_has_26_characters_of_the_randomness_it_is_given() -> None:
    assert body.new_batch_id(bytes) == "msg_" + "a" * 26
    assert body.new_batch_id(lambda count: b"\xff" * count) == "msg_" + "7" * 26
    assert len({body.new_batch_id() for _ in range(100)}) == 100
