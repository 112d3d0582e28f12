"""The search columns of one batch, packed: what it takes to find a record in a body without reading the body.

A column of texts is a dictionary and a code for each record, so that a search asks the dictionary first and skips
the whole batch when nothing there matches. Packed, the dictionaries come first, compressed by themselves, and the
numbers after them: to skip a batch costs a tenth of unpacking it (see `Packed`).
"""

import struct
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate, chain, pairwise
from operator import sub
from typing import Final

import msgspec
from isal import isal_zlib

from trailhook.cloudtrail.event import SEARCHED
from trailhook.cloudtrail.stretch import SEPARATOR_BYTES, Stretch
from trailhook.errors import Invalid

TEXT_COLUMNS: Final = SEARCHED
_PLACES: Final = {name: place for place, name in enumerate(TEXT_COLUMNS)}
_VERSION = b"\x01"
_READ_ONLY: Final = {None: 0, False: 1, True: 2}
_READ_ONLY_BACK: Final = tuple(_READ_ONLY)


class Column(msgspec.Struct, frozen=True):
    """One text for each record; a missing one is empty."""

    values: tuple[str, ...]
    """Those that occur, each once."""
    codes: tuple[int, ...]
    """For each record, its place in `values`."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Column":
        each = list(texts)
        places = {text: place for place, text in enumerate(dict.fromkeys(each))}
        return cls(tuple(places), tuple(map(places.__getitem__, each)))

    def __getitem__(self, index: int) -> str:
        return self.values[self.codes[index]]

    def take(self, start: int, end: int) -> "Column":
        """The column of some of the records."""
        return Column.of(self.values[code] for code in self.codes[start:end])


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a batch, one entry a record, in the body's order."""

    layout: str
    """The body's `model.Format`."""
    times: tuple[int, ...]
    """Seconds since the epoch, 0 for a record without a time."""
    starts: tuple[int, ...]
    """Where each record starts in the inflated body; one more at the end, as if another followed."""
    read_only: tuple[bool | None, ...]
    texts: dict[str, Column]
    """By `TEXT_COLUMNS`. `user` is the ARN, else the name, the service or the principal that acted."""

    def __len__(self) -> int:
        return len(self.times)

    @property
    def first_at(self) -> int:
        """Time of the oldest record that has one, else 0."""
        return min((at for at in self.times if at), default=0)

    @property
    def last_at(self) -> int:
        """Time of the newest record, 0 if none has one."""
        return max(self.times, default=0)

    def take(self, start: int, end: int, *, first_offset: int) -> "Columns":
        """The columns of some of the records, in a body of the same layout where the first starts at `first_offset`."""
        shift = first_offset - self.starts[start]
        return Columns(
            layout=self.layout,
            times=self.times[start:end],
            starts=tuple(offset + shift for offset in self.starts[start : end + 1]),
            read_only=self.read_only[start:end],
            texts={name: column.take(start, end) for name, column in self.texts.items()},
        )


class _Head(msgspec.Struct, array_like=True):
    layout: str
    count: int
    first_offset: int
    values: list[bytes]
    """Each a MessagePack array of texts: a search reads one or two of them."""


class _Tail(msgspec.Struct, array_like=True):
    times: bytes
    lengths: bytes
    read_only: bytes
    codes: list[bytes]


_ENCODER: Final = msgspec.msgpack.Encoder()
_HEAD: Final = msgspec.msgpack.Decoder(_Head)
_TAIL: Final = msgspec.msgpack.Decoder(_Tail)
_VALUES: Final = msgspec.msgpack.Decoder(tuple[str, ...])
_LENGTH: Final = struct.Struct("<I")


def gather(stretches: Sequence[Stretch], *, layout: str, first_offset: int) -> Columns:
    """The columns of the records of these stretches, which lie in their body as they lie there, from `first_offset` on
    and one behind another.
    """
    lengths = chain.from_iterable([map(sub, stretch.starts[1:], stretch.starts) for stretch in stretches])
    texts = zip(*[stretch.texts for stretch in stretches], strict=True)
    return Columns(
        layout=layout,
        times=tuple(chain.from_iterable([stretch.times for stretch in stretches])),
        starts=tuple(accumulate(lengths, initial=first_offset)),
        read_only=tuple(chain.from_iterable([stretch.read_only for stretch in stretches])),
        texts={name: Column.of(chain.from_iterable(each)) for name, each in zip(TEXT_COLUMNS, texts, strict=True)},
    )


def pack(columns: Columns) -> bytes:
    """The columns as bytes to store."""
    texts = [columns.texts[name] for name in TEXT_COLUMNS]
    head = _Head(columns.layout, len(columns), columns.starts[0], [_ENCODER.encode(column.values) for column in texts])
    tail = _Tail(
        times=_numbers(columns.times, "I"),
        lengths=_numbers(tuple(map(sub, columns.starts[1:], columns.starts)), "I"),
        read_only=bytes(map(_READ_ONLY.__getitem__, columns.read_only)),
        codes=[_numbers(column.codes, _code_type(column.values)) for column in texts],
    )
    packed_head, packed_tail = (isal_zlib.compress(_ENCODER.encode(part), 1) for part in (head, tail))
    return _VERSION + _LENGTH.pack(len(packed_head)) + packed_head + packed_tail


def unpack(packed: bytes) -> Columns:
    """The reverse of `pack`. Raises `Invalid` (`columns_unknown`) for bytes of another version."""
    found = Packed(packed)
    return Columns(
        layout=found.layout,
        times=found.times,
        starts=found.starts,
        read_only=tuple([_READ_ONLY_BACK[code] for code in found.read_only_codes]),
        texts={name: Column(found.values(name), tuple(found.codes(name))) for name in TEXT_COLUMNS},
    )


class Packed:
    """Packed columns, each unpacked when it is asked for: what a search reads."""

    def __init__(self, packed: bytes) -> None:
        """Raises `Invalid` (`columns_unknown`) for bytes of another version."""
        if packed[:1] != _VERSION:
            raise Invalid("columns_unknown", "these search columns were packed by another version")
        (length,) = _LENGTH.unpack_from(packed, 1)
        start = 1 + _LENGTH.size
        self._head = _HEAD.decode(isal_zlib.decompress(packed[start : start + length]))
        self._rest = packed[start + length :]
        self._values: dict[str, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return self._head.count

    @property
    def layout(self) -> str:
        """The body's `model.Format`."""
        return self._head.layout

    def values(self, name: str) -> tuple[str, ...]:
        """The texts that occur in a column, each once. Nothing else is unpacked for it."""
        values = self._values.get(name)
        if values is None:
            values = self._values[name] = _VALUES.decode(self._head.values[_PLACES[name]])
        return values

    def codes(self, name: str) -> Sequence[int]:
        """For each record, the place of its text in `values`: `bytes` where there are at most 256 of them."""
        kind = _code_type(self.values(name))
        codes = self._tail.codes[_PLACES[name]]
        return codes if kind == "B" else _tuple_of(codes, kind)

    def text(self, name: str, position: int) -> str:
        """The text of one record in a column."""
        return self.values(name)[self.codes(name)[position]]

    @cached_property
    def times(self) -> tuple[int, ...]:
        """See `Columns.times`."""
        return _tuple_of(self._tail.times, "I")

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """See `Columns.starts`."""
        return tuple(accumulate(_tuple_of(self._tail.lengths, "I"), initial=self._head.first_offset))

    @property
    def read_only_codes(self) -> bytes:
        """For each record 0 for unknown, 1 for no, 2 for yes."""
        return self._tail.read_only

    def read_only(self, position: int) -> bool | None:
        """Whether one record is of a call that only reads; None if it does not say."""
        return _READ_ONLY_BACK[self.read_only_codes[position]]

    @cached_property
    def _tail(self) -> _Tail:
        return _TAIL.decode(isal_zlib.decompress(self._rest))


def slices(body: bytes, columns: Columns) -> list[bytes]:
    """The records of an inflated body, each one's exact bytes."""
    return [body[start : end - SEPARATOR_BYTES] for start, end in pairwise(columns.starts)]


def _code_type(values: Sequence[str]) -> str:
    return "B" if len(values) <= 2**8 else "H" if len(values) <= 2**16 else "I"


def _numbers(values: Sequence[int], kind: str) -> bytes:
    return bytes(values) if kind == "B" else struct.pack(f"<{len(values)}{kind}", *values)


def _tuple_of(data: bytes, kind: str) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // struct.calcsize('<' + kind)}{kind}", data)
