"""Records: their exact bytes, their keys, their fields, and what becomes of bad ones."""

import hashlib
import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import records
from support.records import DEPTH_MAX, RECORD_BYTES_MAX, judge, judged, log_file, raw, read, record, rows
from trailhook.cloudtrail.event import Event
from trailhook.cloudtrail.records import AT_A_TIME, BadRecord, ReadRecords, document, event_of, with_fields
from trailhook.cloudtrail.stretch import Record
from trailhook.errors import Invalid

LONE = b'{"eventID":"lone","x":"\\ud800"}'
DEEP = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def in_slices(data: bytes, *, chunk_bytes: int = 1000, slice_records_max: int = 7, skip: int = 0) -> list[ReadRecords]:
    chunks = (data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes))
    return list(judge().slices(chunks, slice_records_max=slice_records_max, skip=skip))


def together(slices: list[ReadRecords]) -> ReadRecords:
    whole = ReadRecords()
    for each in slices:
        whole.add(each)
    return whole


READERS = pytest.mark.parametrize("reader", [read, lambda data: together(in_slices(data))], ids=["whole", "in slices"])
Reader = Callable[[bytes], ReadRecords]


def raws(found: ReadRecords) -> list[bytes]:
    return records.raws(found.stretches)


def alone(found: ReadRecords) -> list[bool]:
    return [stretch.alone for stretch in found.stretches for _ in stretch.keys]


FilteringReader = Callable[[bytes, Callable[[Event, bytes], bool]], ReadRecords]
READERS_THAT_FILTER = pytest.mark.parametrize(
    "reader",
    [
        lambda data, passes: judge(passes=passes).whole(data),
        lambda data, passes: together(list(judge(passes=passes).slices([data], slice_records_max=100))),
    ],
    ids=["whole", "in slices"],
)


# ----------------------------------------------------------------------------------------------------- whole files


@READERS
def test_records_come_as_they_were_written(reader: Reader) -> None:
    written = [raw(1), b'{ "eventID" : "a" , "n" : 1.50e+1, "n" : 2 }', raw(2, x="\u00fc\U0001f600"), raw(3)]
    found = reader(log_file(*written))
    assert raws(found) == written
    assert found.bad == []
    assert not any(alone(found))


VERSIONED = b'{"eventVersion":"1.11","eventID":"%d"%b}'
"""As CloudTrail writes records, so that a file of them is cut where they begin."""


@READERS
@pytest.mark.parametrize(
    "inside",
    [
        b"",
        b',"x":"},{\\"eventVersion\\":1"',
        b',"x":[{"eventVersion":1},{"eventVersion":2},{"eventVersion":3}]',
        b',"x":[{"y":1},{"eventVersion":[{"z":{}},{"eventVersion":"}"}]}]',
        b',"x":"\xc3\xbc"',
    ],
)
def test_records_are_whole_whatever_they_hold(reader: Reader, inside: bytes) -> None:
    written = [VERSIONED % (number, inside) for number in range(3)]
    assert raws(reader(log_file(*written))) == written


@READERS
@pytest.mark.parametrize("bad", [b',"x":nan', b',"x":"\xff"', b'}, {"x":nan'])
def test_a_bad_record_that_begins_like_the_others_costs_them_nothing(reader: Reader, bad: bytes) -> None:
    good = [VERSIONED % (number, b"") for number in range(3)]
    found = reader(log_file(good[0], VERSIONED % (9, bad), *good[1:]))
    assert [each for each in raws(found) if each in good] == good
    assert len(found.bad) == 1


@READERS
@pytest.mark.parametrize(
    "data",
    [
        b'\xef\xbb\xbf{"Records":[%b,%b]}',
        b' {"Records":[%b,%b]}\n',
        b'{\n "Records" : [\n%b , %b\n ]\n}\n',
        b'{"a":{"Records":[1]},"Records":[%b,%b],"z":[]}',
        b'{"Records":[%b],"Records":[%b]}',
        b'{"Records":[],"Records":[%b,%b],"\\u0052ecords":[]}',
        b'{"Records":[%b,%b],"Records":[]}',
    ],
)
def test_nothing_is_lost_however_the_file_is_written(reader: Reader, data: bytes) -> None:
    assert raws(reader(data % (raw(1), raw(2)))) == [raw(1), raw(2)]


@READERS
@pytest.mark.parametrize("data", [b'{"Records":[]}', b'{"Records": []}\n'])
def test_an_empty_list_is_fine(reader: Reader, data: bytes) -> None:
    found = reader(data)
    assert (raws(found), found.bad, found.elements) == ([], [], 0)


@READERS
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_json"),
        (log_file(raw(1), raw(2))[:-1], "not_json"),
        (log_file(raw(1), raw(2))[:-100], "not_json"),
        (log_file(raw(1), raw(2)) + b"x", "not_json"),
        (b'{"logFiles":[]}', "no_records"),
        (b'{"Records":"x"}', "records_not_a_list"),
    ],
)
def test_a_file_that_is_broken_gives_nothing(reader: Reader, data: bytes, reason: str) -> None:
    with pytest.raises(Invalid) as raised:
        reader(data)
    assert raised.value.reason == reason


# ----------------------------------------------------------------------------------------------------- bad records


@READERS
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"x":NaN}', "not_json"),
        (b'{"x":-Infinity}', "not_json"),
        (b'{"x" 1}', "not_json"),
        (b'{"x":01}', "not_json"),
        (b'{"x":"a\nb"}', "not_json"),
        (b'{"x":"\\q"}', "not_json"),
        (b'{"x":[1}}', "not_json"),
        (b"wrong", "not_json"),
        (b'{"x":"\xff"}', "not_utf8"),
        (b'{"x":"\xed\xa0\x80"}', "not_utf8"),
        (b"null", "not_an_object"),
        (b"[1]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (DEEP, "too_deep"),
    ],
)
def test_one_bad_record_costs_its_neighbours_nothing(reader: Reader, bad: bytes, reason: str) -> None:
    found = reader(log_file(raw(0), raw(1), bad, raw(2)))
    assert raws(found) == [raw(0), raw(1), raw(2)]
    assert [(each.position, each.reason, each.raw) for each in found.bad] == [(2, reason, bad)]


@READERS
def test_a_record_over_the_size_limit_is_bad_and_its_beginning_is_kept(reader: Reader) -> None:
    huge = raw(9, x="y" * RECORD_BYTES_MAX)
    found = reader(log_file(raw(0), huge, raw(1)))
    assert raws(found) == [raw(0), raw(1)]
    assert [(each.position, each.reason, each.raw) for each in found.bad] == [(1, "too_large", huge[:RECORD_BYTES_MAX])]


@READERS
def test_a_record_of_256_kilobytes_is_fine(reader: Reader) -> None:
    assert raws(reader(log_file(raw(0), raw(1, x="y" * 256 * 1024), raw(2)))) == [
        raw(0),
        raw(1, x="y" * 256 * 1024),
        raw(2),
    ]


@READERS
@pytest.mark.parametrize("odd", [LONE, b'{"\\udc00":1}', b'{"eventID":"\\ud800"}', b'{"x":"\\udc00\\ud800"}'])
def test_a_lone_surrogate_travels_alone(reader: Reader, odd: bytes) -> None:
    found = reader(log_file(raw(0), odd, raw(1)))
    assert raws(found) == [raw(0), odd, raw(1)]
    assert alone(found) == [False, True, False]


@READERS
def test_a_field_of_another_type_is_empty_and_the_record_normal(reader: Reader) -> None:
    odd = raw(1, eventTime=5, readOnly="true", userIdentity={"arn": ["x"], "type": "Root"}, errorCode={"a": 1})
    found = reader(log_file(raw(0), odd))
    assert raws(found) == [raw(0), odd]
    assert alone(found) == [False, False]
    event = event_of(odd)
    assert (event.event_time, event.read_only, event.error_code) == (None, None, None)
    assert event.user_identity is not None
    assert (event.user_identity.arn, event.user_identity.type) == (None, "Root")
    assert event.event_name == "GetObject"


def test_numbers_of_any_size_are_fine() -> None:
    written = [b'{"eventTime":5,"x":%b}' % number for number in (b"9" * 6000, b"1e999", b"-0.0")]
    assert raws(read(log_file(*written))) == written


def test_many_bad_records_are_each_found() -> None:
    elements = [b'{"x":NaN}' if number % 7 == 3 else raw(number) for number in range(300)]
    found = read(log_file(*elements))
    assert [each.position for each in found.bad] == list(range(3, 300, 7))
    assert raws(found) == [each for each in elements if each != b'{"x":NaN}']


def test_the_depth_limit_holds_for_records_judged_alone() -> None:
    def nested(depth: int) -> bytes:
        return b'{"x":' * depth + b"1" + b"}" * depth

    assert isinstance(judged(nested(DEPTH_MAX)), Record)
    too_deep = judged(nested(DEPTH_MAX + 1))
    assert isinstance(too_deep, BadRecord)
    assert too_deep.reason == "too_deep"
    assert isinstance(judged(raw(1, x=[[]] * 100, y="[" * 100)), Record)


# ------------------------------------------------------------------------------------------------------------ keys


def test_the_key_is_the_time_and_a_hash_of_scope_account_and_event_id() -> None:
    one = record(1)
    identity = b"source-1\xff111122223333\xff00000000-0000-4000-8000-000000000001"
    assert one.at == 1_714_557_601
    assert one.key == (1_714_557_601).to_bytes(4, "big") + hashlib.blake2b(identity, digest_size=12).digest()


def test_a_repeat_has_the_same_key_whatever_else_changed() -> None:
    assert record(1).key == record(1, requestID="other", awsRegion="us-east-1").key


@pytest.mark.parametrize("changed", [{"eventID": "other"}, {"recipientAccountId": "444455556666"}])
def test_another_event_has_another_key(changed: dict[str, str]) -> None:
    assert record(1, **changed).key != record(1).key


@pytest.mark.parametrize(
    "event_id", ["1", "a431f05e-67e1-11ea-bc55-0242ac130003", "00000000-0000-4000-c000-000000000000"]
)
def test_an_event_id_that_is_no_random_uuid_is_known_again_at_any_time(event_id: str) -> None:
    one, later = record(1, eventID=event_id), record(2, eventID=event_id)
    assert one.key == later.key
    assert one.key[:4] == bytes(4)


def test_shared_event_ids_and_addenda_do_not_make_a_repeat() -> None:
    assert record(1, sharedEventID="same").key != record(2, sharedEventID="same").key


def test_another_scope_has_other_keys() -> None:
    other = judge(scope=b"source-2").one(raw(1))
    assert isinstance(other, Record)
    assert other.key != record(1).key


@given(
    st.tuples(st.text(max_size=3), st.text(min_size=1, max_size=3)),
    st.tuples(st.text(max_size=3), st.text(min_size=1, max_size=3)),
)
def test_account_and_event_id_do_not_run_into_each_other(one: tuple[str, str], other: tuple[str, str]) -> None:
    keys = [judged(raw(1, recipientAccountId=account, eventID=event_id)) for account, event_id in (one, other)]
    assert isinstance(keys[0], Record)
    assert isinstance(keys[1], Record)
    assert (keys[0].key == keys[1].key) == (one == other)


@pytest.mark.parametrize("event_id", [None, "", 5, ["x"], {"a": "b"}])
def test_without_an_event_id_the_bytes_are_the_identity(event_id: object) -> None:
    written = raw(1, eventID=event_id)
    found = judged(written)
    assert isinstance(found, Record)
    assert found.key == (1_714_557_601).to_bytes(4, "big") + hashlib.sha256(written).digest()[:12]


def test_half_an_identity_is_none() -> None:
    one, other = record(1, recipientAccountId=1), record(1, recipientAccountId=2)
    assert one.key != other.key
    surrogates = [judged(b'{"eventID":"\\ud80%d"}' % number) for number in (0, 1)]
    assert len({each.key for each in surrogates if isinstance(each, Record)}) == 2


@READERS
def test_keys_are_the_same_whichever_way_a_record_was_read(reader: Reader) -> None:
    sound = reader(log_file(raw(0), raw(1)))
    beside_a_bad_one = reader(log_file(raw(0), b'{"x":NaN}', raw(1)))
    assert rows(sound.stretches) == rows(beside_a_bad_one.stretches)
    assert rows(sound.stretches) == rows(records.stretches([record(0), record(1)]))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2024-05-01T10:00:01Z", 1_714_557_601),
        ("2024-05-01T12:00:01+02:00", 1_714_557_601),
        ("2024-05-01T10:00:01.999Z", 1_714_557_601),
        ("2024-05-01T10:00:01", 0),
        ("yesterday", 0),
        ("", 0),
        ("1969-12-31T23:59:59Z", 0),
        ("0001-01-01T00:00:00+23:59", 0),
        ("9999-12-31T23:59:59-23:59", 0),
        (None, 0),
    ],
)
def test_a_time_that_is_none_counts_as_zero(text: str | None, at: int) -> None:
    assert record(1, eventTime=text).at == at
    assert record(1, eventTime=text).key[:4] == at.to_bytes(4, "big")


# ---------------------------------------------------------------------------------------------------------- slices


MIXED = log_file(raw(0), b'{"x":NaN}', raw(1, x='},{"'), LONE, raw(2), b"7", raw(3), raw(4))


def test_chunks_may_end_anywhere() -> None:
    expected = read(MIXED)
    assert [each.position for each in expected.bad] == [1, 5]
    for cut in range(len(MIXED)):
        slices = judge().slices([MIXED[:cut], MIXED[cut:]], slice_records_max=3)
        assert same(together(list(slices)), expected)
    assert same(together(in_slices(MIXED, chunk_bytes=1)), expected)


def same(one: ReadRecords, other: ReadRecords) -> bool:
    return (rows(one.stretches), one.bad) == (rows(other.stretches), other.bad)


@pytest.mark.parametrize("slice_records_max", [1, 3, 1000])
def test_slices_are_full_and_the_last_has_the_rest(slice_records_max: int) -> None:
    sizes = [each.elements for each in in_slices(log_file(*map(raw, range(50))), slice_records_max=slice_records_max)]
    assert all(size == slice_records_max for size in sizes[:-1])
    assert 0 < sizes[-1] <= slice_records_max
    assert sum(sizes) == 50


@given(skip=st.integers(0, 60), slice_records_max=st.integers(1, 60), chunk_bytes=st.integers(100, 20_000))
def test_reading_goes_on_where_it_ended(skip: int, slice_records_max: int, chunk_bytes: int) -> None:
    elements = [b'{"x":NaN}' if number % 9 == 4 else raw(number) for number in range(50)]
    data = log_file(*elements)
    expected = read(data)
    rest = in_slices(data, chunk_bytes=chunk_bytes, slice_records_max=slice_records_max, skip=skip)
    assert [each.position for part in rest for each in part.bad] == [
        e.position for e in expected.bad if e.position >= skip
    ]
    assert raws(together(rest)) == [each for each in elements[skip:] if each != b'{"x":NaN}']


def test_a_slice_is_bounded_in_bytes_too() -> None:
    data = log_file(*(raw(number, x="y" * 10_000) for number in range(30)))
    chunks = (data[at : at + 5000] for at in range(0, len(data), 5000))
    slices = judge().slices(chunks, slice_records_max=1000, slice_bytes_max=20_000)
    assert [each.elements for each in slices] == [2] * 15


@pytest.mark.parametrize("bad", [0, 4])
def test_counting_finds_as_many_as_reading(bad: int) -> None:
    data = log_file(*map(raw, range(30)), *[b'{"x":nan}'] * bad)
    chunks = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    assert judge().count(chunks) == 30 + bad
    if bad:
        with pytest.raises(Invalid) as caught:
            judge(bad_records_max=bad - 1).count(chunks)
        assert caught.value.reason == "too_many_bad"


def test_the_first_pass_meets_a_broken_end_before_anything_is_taken() -> None:
    slices = judge().slices([log_file(*map(raw, range(20)))[:-1]], slice_records_max=5)
    with pytest.raises(Invalid):
        list(slices)


# ------------------------------------------------------------------------------------------------------- documents


def test_a_record_as_plain_values() -> None:
    assert document(raw(1)) == json.loads(raw(1))
    assert document(LONE)["x"] == "\ud800"
    assert document(b'{"x":1e999,"y":[1]}') == {"x": float("inf"), "y": [1]}
    with pytest.raises(ValueError, match="NaN"):
        document(b'{"x":NaN}')


def test_a_file_of_which_too_much_is_bad_is_no_log() -> None:
    data = log_file(raw(1), *[b"1"] * 6)
    assert len(judge(bad_records_max=6).whole(data).bad) == 6
    assert len(together(list(judge(bad_records_max=6).slices([data], slice_records_max=2))).bad) == 6
    with pytest.raises(Invalid) as raised:
        judge(bad_records_max=5).whole(data)
    assert raised.value.reason == "too_many_bad"
    with pytest.raises(Invalid):
        list(judge(bad_records_max=5).slices([data], slice_records_max=2))


def test_the_bad_records_of_one_unit_are_not_held_against_another() -> None:
    strict = judge(bad_records_max=3)
    for _ in range(3):
        assert len(strict.whole(log_file(raw(1), *[b"1"] * 3)).bad) == 3


@READERS_THAT_FILTER
def test_what_does_not_pass_is_counted_and_the_rest_is_as_it_was(reader: FilteringReader) -> None:
    written = [raw(number, readOnly=number % 3 > 0) for number in range(AT_A_TIME * 2 + 5)]
    found = reader(log_file(*written), lambda event, _: bool(event.read_only))
    kept = [each for number, each in enumerate(written) if number % 3]
    assert raws(found) == kept
    assert (found.kept, found.filtered, found.elements) == (len(kept), len(written) - len(kept), len(written))
    assert rows(found.stretches) == rows(records.stretches(record_of(each) for each in kept))


@READERS_THAT_FILTER
@pytest.mark.parametrize("pass_all", [True, False])
def test_all_may_pass_or_none(reader: FilteringReader, pass_all: bool) -> None:
    found = reader(log_file(raw(1), LONE, b"bad", raw(2)), lambda event, each: pass_all)
    assert (found.kept, found.filtered, len(found.bad)) == ((3, 0, 1) if pass_all else (0, 3, 1))


def test_a_filter_sees_the_bytes_of_each_record() -> None:
    seen: list[bytes] = []

    def look(_: Event, each: bytes) -> bool:
        seen.append(each)
        return True

    judge(passes=look).whole(log_file(raw(1), raw(2)))
    assert seen == [raw(1), raw(2)]


@pytest.mark.parametrize(
    "mixed",
    [
        {"recipientAccountId": "444455556666"},
        {"recipientAccountId": None},
        {"eventID": None},
        {"eventID": "not-random"},
        {"eventID": "00000000-0000-1000-8000-000000000001"},
        {"eventID": "0" * 35},
        {"eventTime": "2024-05-01T12:00:01+02:00"},
        {"eventTime": "never"},
        {"eventTime": None},
        {"userIdentity": None},
        {"userIdentity": {"invokedBy": "ec2.amazonaws.com"}},
    ],
)
def test_records_read_together_are_what_each_is_by_itself(mixed: dict[str, object]) -> None:
    written = [raw(number) for number in range(AT_A_TIME + 3)]
    written[5] = raw(5, **mixed)
    assert rows(read(log_file(*written)).stretches) == rows(records.stretches(map(record_of, written)))


def test_keys_may_be_read_first_and_the_fields_when_they_are_wanted() -> None:
    file = log_file(*map(raw, range(AT_A_TIME + 3)), raw(900, userIdentity=None), raw(901, errorCode=5))
    whole, keys_first = read(file).stretches, judge(keys_only=True).whole(file).stretches
    assert records.keys(keys_first) == records.keys(whole)
    assert not any(each.texts or each.read_only for each in keys_first)
    assert rows(map(with_fields, keys_first)) == rows(whole)
    assert list(map(with_fields, whole)) == whole


def test_a_filter_needs_the_fields_at_once() -> None:
    (found,) = judge(keys_only=True, passes=lambda event, _: True).whole(log_file(raw(1), raw(2))).stretches
    assert rows([found]) == rows(records.stretches([record(1), record(2)]))


def record_of(each: bytes) -> Record:
    found = judged(each)
    assert isinstance(found, Record)
    return found


def test_two_million_scalars_are_given_up_soon() -> None:
    began_at = time.process_time()
    with pytest.raises(Invalid):
        read(log_file(*[b"1"] * 2_000_000))
    assert time.process_time() - began_at < 5.0
