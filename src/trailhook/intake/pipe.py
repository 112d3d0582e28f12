"""What goes between a process and those that read for it, and how: each message its length, then MessagePack.

The reading process is asked one thing after another. `Read` is answered by `Found`, `Freeze` by `Frozen`, and `Forget`
by nothing.
"""

import os
import struct
from collections.abc import Sequence
from typing import IO, Final

import msgspec

from trailhook.intake.harvest import Terms
from trailhook.intake.reading import Bounds, Fetched
from trailhook.model import NewBatch, Value


class Start(Value, frozen=True, kw_only=True):
    """The first message: what a reading process must know of the settings."""

    bounds: Bounds
    laid_out_bytes_max: int
    log_level: str
    log_format: str | None


class Read(Value, frozen=True, kw_only=True, tag=True):
    """Read a group of units and hold its records under this number."""

    number: int
    terms: Terms
    fetched: Sequence[Fetched]


class Freeze(Value, frozen=True, kw_only=True, tag=True):
    """Make batches of a group's records, but of the known ones."""

    number: int
    known: Sequence[bytes]


class Forget(Value, frozen=True, kw_only=True, tag=True):
    """Hold a group no longer, if it is held."""

    number: int


class Frozen(Value, frozen=True, kw_only=True):
    """What was frozen of a group."""

    batches: Sequence[NewBatch]
    laid_out: Sequence[bytes | None]
    """For each batch its body as it was laid out, for the newest of them: see `body.LaidOut`."""


Request = Read | Freeze | Forget

_ENCODER: Final = msgspec.msgpack.Encoder()
_LENGTH: Final = struct.Struct("<Q")


def send(pipe: int, message: Value) -> None:
    """Write a message whole. Blocks; raises OSError when nobody reads any more."""
    encoded = _ENCODER.encode(message)
    for part in (_LENGTH.pack(len(encoded)), encoded):
        view = memoryview(part)
        while view:
            view = view[os.write(pipe, view) :]


def receive(pipe: IO[bytes]) -> bytes | None:
    """The next message, still encoded; None when there is none, or not the whole of it. Blocks."""
    length = pipe.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(length)
    encoded = pipe.read(size)
    return encoded if len(encoded) == size else None
