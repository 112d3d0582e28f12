"""Gunzip within bounds."""

import gzip
import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhook.errors import Invalid
from trailhook.intake.inflate import MIB, TooLargeToHold, inflate, inflate_chunks

NOISE = random.Random(7).randbytes(300_000)


def whole(data: bytes, *, bytes_max: int = 16 * MIB, ratio_max: int = 200) -> bytes:
    return inflate(data, bytes_max=bytes_max, ratio_max=ratio_max)


def in_chunks(data: bytes, *, ratio_max: int = 200, chunk_bytes: int = 1000) -> bytes:
    return b"".join(inflate_chunks(data, ratio_max=ratio_max, chunk_bytes=chunk_bytes))


WAYS = pytest.mark.parametrize("read", [whole, in_chunks])


def zipped(plain: bytes) -> bytes:
    """The same at any time: gzip's header would hold the present one, and the tests' names hold the header."""
    return gzip.compress(plain, mtime=0)


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :] if at >= 0 else damaged(data, len(data) + at)


@WAYS
@given(parts=st.lists(st.binary(max_size=3000), min_size=1, max_size=4))
def test_every_member_is_read(read, parts: list[bytes]) -> None:  # type: ignore[no-untyped-def]
    assert read(b"".join(map(gzip.compress, parts))) == b"".join(parts)


@WAYS
@pytest.mark.parametrize("plain", [b"", b"x", NOISE, NOISE[:1000] * 900])
def test_a_member_gives_back_what_went_in(read, plain: bytes) -> None:  # type: ignore[no-untyped-def]
    assert read(gzip.compress(plain)) == plain


@WAYS
def test_a_member_may_have_a_name_and_a_time(read) -> None:  # type: ignore[no-untyped-def]
    target = io.BytesIO()
    with gzip.GzipFile("log.json", "wb", fileobj=target, mtime=1_700_000_000) as file:
        file.write(NOISE)
    assert read(target.getvalue()) == NOISE


@WAYS
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\x1f", "not_gzip"),
        (b'{"Records":[]}', "not_gzip"),
        (zipped(NOISE)[:5], "truncated"),
        (zipped(NOISE)[:-1], "truncated"),
        (zipped(NOISE)[:-9], "truncated"),
        (zipped(NOISE)[:-200_000], "truncated"),
        (zipped(NOISE) + zipped(NOISE)[:-3], "truncated"),
        (damaged(zipped(NOISE), -8), "corrupt"),
        (damaged(zipped(NOISE), -4), "corrupt"),
        (damaged(zipped(NOISE[:5] * 900), 20), "corrupt"),
        (b"\x1f\x8b\x07" + zipped(NOISE)[3:], "corrupt"),
        (zipped(NOISE) + b"\n", "trailing_bytes"),
        (zipped(NOISE) + bytes(512), "trailing_bytes"),
        (gzip.compress(bytes(30 * MIB)), "bomb"),
    ],
)
def test_what_is_wrong_is_named(read, data: bytes, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Invalid) as raised:
        read(data, bytes_max=64 * MIB) if read is whole else read(data)
    assert raised.value.reason == reason


def test_a_length_that_lies_small_is_found_out() -> None:
    liar = zipped(NOISE)[:-4] + (5).to_bytes(4, "little")
    with pytest.raises(Invalid, match="damaged"):
        whole(liar)


def test_small_inputs_may_be_all_repeats() -> None:
    assert whole(gzip.compress(bytes(MIB)), ratio_max=2) == bytes(MIB)


@pytest.mark.parametrize("data", [zipped(NOISE), zipped(NOISE) + gzip.compress(b"x"), zipped(NOISE * 2)[:-2]])
def test_what_is_too_large_to_hold_is_told_apart_from_what_is_invalid(data: bytes) -> None:
    with pytest.raises(TooLargeToHold):
        whole(data, bytes_max=len(NOISE) - 1)


def test_the_limit_itself_may_be_held() -> None:
    assert whole(zipped(NOISE), bytes_max=len(NOISE)) == NOISE


def test_chunks_are_bounded_and_a_bomb_is_stopped_on_its_way() -> None:
    sizes: list[int] = []
    chunks = inflate_chunks(gzip.compress(bytes(60 * MIB)), ratio_max=100, chunk_bytes=64 * 1024)
    with pytest.raises(Invalid) as raised:
        sizes.extend(map(len, chunks))
    assert raised.value.reason == "bomb"
    assert min(sizes) > 0
    assert max(sizes) <= 64 * 1024
    assert sum(sizes) < 7 * MIB
