"""Reading answers: every framing of RFC 9112, cut wherever the network likes, and what is no answer at all."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhook.net.answer import HEAD_BYTES_MAX, AnswerReader
from trailhook.net.base import Answer, Request

COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b c\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nx-trailer: 1\r\n\r\n"
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + COUNTED
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello"


def reader_for(method: str = "POST", *, body_bytes_max: int = 100) -> AnswerReader:
    return AnswerReader(Request(method=method, url="https://example.com", body_bytes_max=body_bytes_max))


def read(data: bytes, method: str = "POST", *, body_bytes_max: int = 100) -> AnswerReader:
    reader = reader_for(method, body_bytes_max=body_bytes_max)
    reader.feed(data)
    return reader


def test_headers_come_in_order_with_lower_case_names() -> None:
    answer = read(b"HTTP/1.1 418 I am\r\nB: 1\r\nA: \xe4\r\nb: 2\r\ncontent-length: 0\r\n\r\n").answer()
    assert answer == Answer(status=418, headers=(("b", "1"), ("a", "ä"), ("b", "2"), ("content-length", "0")))


@pytest.mark.parametrize("data", [COUNTED, CHUNKED, INTERIM], ids=["counted", "chunked", "after interim answers"])
def test_a_whole_answer_leaves_the_connection_for_another(data: bytes) -> None:
    reader = read(data)
    assert (reader.finished, reader.reusable, reader.answer().body) == (True, True, b"hello")


@given(st.sampled_from([COUNTED, CHUNKED, INTERIM]), st.lists(st.integers(1, 150), max_size=20))
def test_however_the_bytes_are_cut_the_answer_is_the_same(data: bytes, cuts: list[int]) -> None:
    reader = reader_for()
    edges = [0, *sorted(each for each in cuts if each < len(data)), len(data)]
    for start, end in pairwise(edges):
        reader.feed(data[start:end])
    assert reader.reusable
    assert reader.answer() == read(data).answer()


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_whatever_make_the_reader_raise(data: bytes, after_a_head: bool) -> None:
    reader = read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" * after_a_head + data)
    reader.end("gone")
    assert reader.finished
    assert not after_a_head or reader.answer().status == 200


def test_interim_answers_leave_no_headers_behind() -> None:
    assert read(INTERIM).answer().header("link") is None


def test_trailers_are_not_headers() -> None:
    assert read(CHUNKED).answer().header("x-trailer") is None


@pytest.mark.parametrize(
    "data", [UNTIL_CLOSE, UNTIL_CLOSE.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: gzip\r\n\r\n")]
)
def test_a_body_without_a_length_ends_with_the_connection(data: bytes) -> None:
    reader = read(data)
    assert not reader.finished
    reader.end("closed", cleanly=True)
    assert (reader.reusable, reader.answer().body, reader.answer().broken) == (False, b"hello", "")


def test_a_body_without_a_length_is_broken_by_a_reset() -> None:
    reader = read(UNTIL_CLOSE)
    reader.end("reset")
    assert (reader.answer().body, reader.answer().broken) == (b"hello", "reset")


@pytest.mark.parametrize("data", [COUNTED[:-1], CHUNKED[:-3]], ids=["counted", "chunked"])
def test_a_body_that_ends_early_is_broken_and_its_status_stands(data: bytes) -> None:
    reader = read(data)
    reader.end("closed", cleanly=True)
    assert (reader.answer().status, reader.answer().broken, reader.reusable) == (200, "closed", False)


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 No\r\ncontent-length: 5\r\n\r\n"),
    ],
)
def test_answers_without_a_body_end_with_their_headers(method: str, head: bytes) -> None:
    reader = read(head, method)
    assert (reader.finished, reader.reusable, reader.answer().body) == (True, True, b"")


@pytest.mark.parametrize(
    "data",
    [
        COUNTED.replace(b"X-A: b c", b"connection: close"),
        COUNTED.replace(b"1.1", b"1.0"),
        COUNTED + b"HTTP/1.1 200 OK",
        COUNTED + b"junk",
        b"HTTP/1.1 204 No\r\n\r\nhello",
    ],
    ids=["close asked", "HTTP/1.0", "a second answer", "junk after it", "a body where none may be"],
)
def test_a_connection_whose_state_is_in_doubt_is_not_used_again(data: bytes) -> None:
    reader = read(data)
    assert reader.finished
    assert not reader.reusable
    assert reader.answer().broken == ""


def test_bytes_that_come_after_the_end_spoil_the_connection_too() -> None:
    reader = read(COUNTED)
    reader.feed(b"H")
    assert not reader.reusable


@pytest.mark.parametrize(("size", "cut"), [(4, True), (5, False), (0, True)])
def test_a_long_body_is_cut_at_the_limit(size: int, cut: bool) -> None:
    reader = read(COUNTED, body_bytes_max=size)
    assert (reader.cut, reader.finished, reader.reusable) == (cut, True, not cut)
    assert reader.answer().body == b"hello"[:size]


@pytest.mark.parametrize(
    "data",
    [
        *(b"SSH-2.0-OpenSSH\r\n", b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x15\x03\x01\x00\x02"),
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    ],
)
def test_what_is_no_http_answer_has_no_status(data: bytes) -> None:
    reader = read(data)
    assert reader.finished
    assert not reader.has_status
    assert reader.fault == "the answer is not valid HTTP"


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x-header: some value\r\n"),
        (b"HTTP/1.1 200 OK\r\nx-header: ", b"x" * 20),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-trailer: ", b"x" * 20),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", b"x" * 20),
    ],
    ids=["many headers", "one header", "interim answers", "trailers", "chunk extensions"],
)
def test_what_yields_no_body_does_not_go_on_for_ever(start: bytes, more: bytes) -> None:
    reader = read(start)
    fed = 0
    while not reader.finished and fed < 3 * HEAD_BYTES_MAX:
        reader.feed(more)
        fed += len(more)
    assert reader.fault == "the answer's headers are over 65536 bytes"


def test_headers_of_a_reasonable_size_pass_in_any_number_of_pieces() -> None:
    reader = reader_for()
    for piece in [b"HTTP/1.1 200 OK\r\n", *[b"x-header: " + b"v" * 990 + b"\r\n"] * 60, b"content-length: 0\r\n\r\n"]:
        reader.feed(piece)
    assert reader.answer().status == 200
