"""Gunzip within bounds: every member, every checksum, and never more memory than was allowed.

CloudTrail writes one gzip member an object. Fast decoders silently drop what follows the first member, so the fast
way is taken only where the length at the file's end vouches for the whole; everything else goes through the stream.
"""

import hashlib
from collections.abc import Iterator
from typing import Final, cast

from isal import isal_zlib

from trailhook.errors import Invalid

MIB = 1024 * 1024
RATIO_FREE_BYTES = MIB
"""So much may come out of any input, whatever the ratio: tiny files of repeats are no bombs."""
_MAGIC = b"\x1f\x8b"
_FEED_BYTES = 64 * 1024
_GZIP = 31
_Damage: Final = cast("type[Exception]", isal_zlib.error)  # its stubs declare an instance
_ROOM_BYTES = 64
"""isal needs half the time when its buffer is a little larger than what it writes."""


class TooLargeToHold(Exception):
    """Sound so far, but it inflates to more than may be held: read it with `inflate_chunks`."""


def inflate(data: bytes, *, bytes_max: int, ratio_max: int) -> bytes:
    """The inflated bytes of all members, checksums and lengths verified.

    Raises `TooLargeToHold` when there are more than `bytes_max` of them, else `Invalid` as `inflate_chunks` does.
    """
    whole = _at_once(data, min(bytes_max, _bytes_most(data, ratio_max)))
    if whole is not None:
        return whole
    parts: list[bytes] = []
    room = bytes_max
    for part in inflate_chunks(data, ratio_max=ratio_max):
        room -= len(part)
        if room < 0:
            raise TooLargeToHold
        parts.append(part)
    return b"".join(parts)


def inflate_chunks(data: bytes, *, ratio_max: int, chunk_bytes: int = MIB) -> Iterator[bytes]:
    """The inflated bytes in pieces of at most `chunk_bytes`, never empty.

    Only the end proves the whole: until it is reached, treat what was yielded as unproven. Raises `Invalid`:
    `empty`, `not_gzip`, `truncated`, `corrupt`, `trailing_bytes` (something after the last member), or `bomb` (more
    than `ratio_max` times the input).
    """
    if not data:
        raise Invalid("empty", "the object has no bytes")
    room = _bytes_most(data, ratio_max)
    view = memoryview(data)
    at = 0
    while at < len(data):
        if view[at : at + 2] != _MAGIC:
            raise _no_member(at)
        stream = isal_zlib.decompressobj(wbits=_GZIP)
        while not stream.eof:
            given = view[at : at + _FEED_BYTES]
            part = _step(stream, given, chunk_bytes)
            if not part and not given and not stream.eof:
                raise Invalid("truncated", "the gzip data ends before its end")
            at += len(given) - len(stream.unconsumed_tail) - len(stream.unused_data)
            room -= len(part)
            if room < 0:
                raise Invalid("bomb", f"the gzip data inflates more than {ratio_max} times")
            if part:
                yield part


def inflated_sha256(data: bytes, *, ratio_max: int) -> bytes:
    """The hash that CloudTrail's digests give of a log file. Raises `Invalid` as `inflate_chunks` does."""
    sha256 = hashlib.sha256()
    for part in inflate_chunks(data, ratio_max=ratio_max):
        sha256.update(part)
    return sha256.digest()


def _bytes_most(data: bytes, ratio_max: int) -> int:
    return max(RATIO_FREE_BYTES, len(data) * ratio_max)


def _at_once(data: bytes, bytes_max: int) -> bytes | None:
    """The whole of one sound member that ends with its true length; None for anything else."""
    size = int.from_bytes(data[-4:], "little")
    if size > bytes_max or not data.startswith(_MAGIC):
        return None
    stream = isal_zlib.decompressobj(wbits=_GZIP)
    try:
        whole = stream.decompress(data, size + _ROOM_BYTES)
    except _Damage:
        return None
    return whole if stream.eof and not stream.unused_data else None


def _step(stream: isal_zlib.Decompress, given: memoryview, chunk_bytes: int) -> bytes:
    try:
        return stream.decompress(given, chunk_bytes)
    except _Damage as error:
        raise Invalid("corrupt", f"the gzip data is damaged: {error}") from error


def _no_member(at: int) -> Invalid:
    if at:
        return Invalid("trailing_bytes", "bytes follow the end of the gzip data that are no gzip data")
    return Invalid("not_gzip", "the object does not begin as gzip data does")
