"""The records of a CloudTrail file: their exact bytes, what makes each one itself, and the fields we search by.

A file as CloudTrail writes it is cut wherever a record seems to begin, and a fast decoder that reads each piece for its
fields proves the cuts right. Whatever it refuses goes through `splitter` instead, and each record is judged by itself:
one bad record never costs its neighbours.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from operator import sub
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from trailhook.cloudtrail.event import Event, Identity, Once, Times, epoch_s, lenient_event
from trailhook.cloudtrail.gathered import Gathered
from trailhook.cloudtrail.identity import Keys, Raw
from trailhook.cloudtrail.splitter import BOM, split
from trailhook.cloudtrail.stretch import SEPARATOR_BYTES, Record, Stretch, laid_together, searched
from trailhook.errors import Invalid

BAD_RECORDS_MAX: Final = 10_000
SLICE_RECORDS_MAX: Final = 7_500
SLICE_BYTES_MAX: Final = 12 * 1024 * 1024
"""A slice of a large unit ends beyond this, however few its records: it is what is held at a time."""
AT_A_TIME: Final = 128
"""So many events are held as objects. Of 2,000 the first is no longer in the processor's cache when the last is read,
and reading takes half as long again.
"""
_DIGITS_MAX = 600
"""Python refuses to read whole numbers much longer than this."""

Passes = Callable[[Event, bytes], bool]
"""Whether a record with these fields and bytes is forwarded."""


class BadRecord(msgspec.Struct, frozen=True, gc=False):
    """An element of `Records` that cannot be sent. `raw` is cut at the size limit."""

    position: int
    reason: str
    """`too_large`, `too_deep`, `not_utf8`, `not_json` or `not_an_object`."""
    detail: str
    raw: bytes


@dataclass(slots=True)
class ReadRecords:
    """What some part of a unit held, in its order. Positions count the unit's elements from 0, bad ones too."""

    stretches: list[Stretch] = field(default_factory=list)
    bad: list[BadRecord] = field(default_factory=list)
    filtered: int = 0
    """How many did not pass."""

    def add(self, other: "ReadRecords") -> None:
        """What follows."""
        self.stretches += other.stretches
        self.bad += other.bad
        self.filtered += other.filtered

    @property
    def kept(self) -> int:
        """How many records there are to forward."""
        return sum(map(len, self.stretches))

    @property
    def elements(self) -> int:
        """How many there were of whatever kind."""
        return self.kept + self.filtered + len(self.bad)


class Judge:
    """Reads units for one ledger: makes records of their elements, or says why not.

    What many events have in common (names, times, accounts) it makes once and hands out again, so one is for as much
    as is held in memory at a time: a group of units, or one large one, of which it remembers a slice.
    """

    def __init__(
        self,
        *,
        scope: bytes,
        depth_max: int,
        record_bytes_max: int,
        bad_records_max: int = BAD_RECORDS_MAX,
        passes: Passes | None = None,
        keys_only: bool = False,
    ) -> None:
        """`scope` names whose ledger the keys are for and is UTF-8 text. A unit with more than `bad_records_max` bad
        records is no log. With `keys_only` and without a filter, what is sound has no fields yet: see `with_fields`.
        """
        self._depth_max = depth_max
        self._record_bytes_max = record_bytes_max
        self._bad_records_max = bad_records_max
        self._passes = passes
        self._keys_only = keys_only and passes is None
        self._keys = Keys(scope)
        self._forget()

    def _forget(self) -> None:
        self._times = Times()
        self._texts = Once(lambda text: text or "")

    def whole(self, data: bytes) -> ReadRecords:
        """Every record of a whole file.

        Raises `Invalid` (`not_json`, `no_records`, `records_not_a_list` or `too_many_bad`): then nothing of the file is
        to be taken.
        """
        data = data.removeprefix(BOM)
        if (read := self._together(data, _starts(data))) is not None:
            return read
        read = ReadRecords()
        for part in self.slices([data], slice_records_max=SLICE_RECORDS_MAX):
            read.add(part)
        return read

    def slices(
        self,
        chunks: Iterable[bytes],
        *,
        slice_records_max: int,
        slice_bytes_max: int = SLICE_BYTES_MAX,
        skip: int = 0,
    ) -> Iterator[ReadRecords]:
        """The records of a large file, in slices, never empty, of at most `slice_records_max` elements.

        A slice that reaches `slice_bytes_max` ends there, at most one chunk or one element over it; no more than that
        is held. The first `skip` elements are passed over, unjudged. Raises `Invalid` as `whole` does, but only when it
        gets there: run through it once before taking anything.
        """
        bad = 0
        for position, raws in self._sliced(chunks, slice_records_max, slice_bytes_max, skip):
            self._forget()
            read = self._all(raws, position)
            bad += len(read.bad)
            self._check(bad)
            yield read

    def count(self, chunks: Iterable[bytes]) -> int:
        """How many elements a large file has, bad ones too: it is read to its end and nothing of it is kept.

        Raises `Invalid` as `slices` would.
        """
        count = bad = 0
        for raws in split(chunks, element_bytes_max=self._record_bytes_max):
            count += len(raws)
            if not self._are_sound(raws):
                bad += len(self._all(raws).bad)
                self._check(bad)
        return count

    def one(self, raw: bytes, position: int = 0) -> Record | BadRecord:
        """Judge one element by itself, whether it passes or not."""
        refuse = partial(BadRecord, position, raw=raw[: self._record_bytes_max])
        if len(raw) > self._record_bytes_max:
            return refuse("too_large", f"longer than {self._record_bytes_max} bytes, of which these are the first")
        if _deeper_than(raw, self._depth_max):
            return refuse("too_deep", f"nested deeper than {self._depth_max}")
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            return refuse("not_utf8", f"byte {error.start} is no UTF-8")
        try:
            return self._record(raw, _EVENT.decode(raw))
        except _REFUSALS:
            pass
        try:
            fields = _LENIENT.decode(text)
        except ValueError as error:
            return refuse("not_json", str(error))
        except RecursionError:
            return refuse("too_deep", "nested deeper than can be read")
        if not isinstance(fields, dict):
            return refuse("not_an_object", "a record is an object")
        return self._odd(raw, fields)

    # ------------------------------------------------------------------------------------------------ several at once

    def _sliced(
        self, chunks: Iterable[bytes], slice_records_max: int, slice_bytes_max: int, skip: int
    ) -> Iterator[tuple[int, list[bytes]]]:
        position = 0
        held: list[bytes] = []
        held_bytes = 0
        for elements in split(chunks, element_bytes_max=self._record_bytes_max):
            fresh = elements[max(0, skip - position - len(held)) :]
            position += len(elements) - len(fresh)
            held += fresh
            held_bytes += sum(map(len, fresh))
            while len(held) >= slice_records_max or held_bytes >= slice_bytes_max:
                ready, held = held[:slice_records_max], held[slice_records_max:]
                held_bytes = sum(map(len, held))
                yield position, ready
                position += len(ready)
        if held:
            yield position, held

    def _all(self, raws: list[bytes], position: int = 0) -> ReadRecords:
        """Judge them together as long as all are sound, else halve by halve down to those that are not."""
        read = ReadRecords()
        heaps = [(position, raws)]
        while heaps:
            at, heap = heaps.pop()
            if len(heap) == 1:
                read.add(self._alone(heap[0], at))
            elif (together := self._together(*laid_together(heap))) is not None:
                read.add(together)
            else:
                half = len(heap) // 2
                heaps += [(at + half, heap[half:]), (at, heap[:half])]
        return read

    def _alone(self, raw: bytes, position: int) -> ReadRecords:
        judged = self.one(raw, position)
        if isinstance(judged, BadRecord):
            return ReadRecords(bad=[judged])
        if self._passes and not self._passes(judged.event, raw):
            return ReadRecords(filtered=1)
        return ReadRecords([Stretch.of(judged)])

    def _together(self, text: bytes, starts: Sequence[int]) -> ReadRecords | None:
        """Elements, as in a stretch, that are all sound; None if there are none, or if one is not."""
        longest = max(map(sub, starts[1:], starts), default=None)
        if longest is None or longest - SEPARATOR_BYTES > self._record_bytes_max:
            return None
        view, is_ascii = memoryview(text), text.isascii()
        gathered = Gathered(self._keys, self._times, self._texts)
        decode: Callable[[Raw], Any] = _IDENTITY.decode if self._keys_only else _EVENT.decode
        gather = gathered.add_keys if self._keys_only else gathered.add
        passed: list[bool] = []
        for first in range(0, len(starts) - 1, AT_A_TIME):
            edges = starts[first : first + AT_A_TIME + 1]
            raws = [view[start : end - SEPARATOR_BYTES] for start, end in pairwise(edges)]
            try:
                events = list(map(decode, raws))
                if not is_ascii:  # the fast decoder does not look at the text of fields that it passes over
                    text[edges[0] : edges[-1]].decode()
            except _REFUSALS:
                return None
            gather(events, raws)
            if self._passes:
                passed += map(self._passes, events, map(bytes, raws))
        stretch = gathered.stretch(text, starts)
        if all(passed):
            return ReadRecords([stretch])
        return ReadRecords([stretch.chosen(passed)] if any(passed) else [], filtered=passed.count(False))

    def _are_sound(self, raws: Sequence[bytes]) -> bool:
        if max(map(len, raws), default=0) > self._record_bytes_max:
            return False
        try:
            for raw in raws:
                _EVENT.decode(raw)
                if not raw.isascii():
                    raw.decode()
        except _REFUSALS:
            return False
        return True

    def _check(self, bad: int) -> None:
        if bad > self._bad_records_max:
            raise Invalid("too_many_bad", f"more than {self._bad_records_max:,} of its records cannot be read")

    # ----------------------------------------------------------------------------------------------------- one by one

    def _record(self, raw: bytes, event: Event) -> Record:
        at = epoch_s(event.event_time)
        return Record(raw, self._keys.of(raw, event.recipient_account_id, event.event_id, at), at, event)

    def _odd(self, raw: bytes, fields: dict[str, Any]) -> Record:
        """Good JSON with fields of other types than documented, or with text that the fast decoder refuses."""
        event = lenient_event(fields)
        half_an_identity = event.recipient_account_id is None and fields.get("recipientAccountId") is not None
        event_id = None if half_an_identity else event.event_id  # half of one is none
        at = epoch_s(event.event_time)
        key = self._keys.of(raw, event.recipient_account_id, event_id, at)
        return Record(raw, key, at, event, alone=not _is_plain(raw))


def event_of(raw: bytes) -> Event:
    """The fields of a record that is known to be good JSON."""
    try:
        return _EVENT.decode(raw)
    except _REFUSALS:
        return lenient_event(document(raw))


def with_fields(stretch: Stretch) -> Stretch:
    """The stretch with what its records are searched by, if only their keys had been read."""
    if stretch.texts:
        return stretch
    read_only, texts = searched(list(map(event_of, stretch.raws())))
    return replace(stretch, read_only=read_only, texts=texts)


def document(raw: bytes) -> Any:
    """A record as plain values; numbers beyond all measure as infinite.

    Raises ValueError for what is no JSON, RecursionError for what is nested deeper than the reader goes.
    """
    try:
        return msgspec.json.decode(raw)
    except _REFUSALS:
        return _LENIENT.decode(raw.decode())


# --------------------------------------------------------------------------------------------------- the fast way

_HEAD: Final = b'{"Records":['
_TAIL: Final = b"]}"
_FIRST: Final = b'{"eventVersion":'
"""How CloudTrail begins every record."""
_SEAM: Final = re.compile(b"},%b" % _FIRST)
_EVENT: Final = msgspec.json.Decoder(Event)
_IDENTITY: Final = msgspec.json.Decoder(Identity)
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
_REFUSALS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def _starts(data: bytes) -> list[int]:
    """Where the elements of a compact `{"Records":[…]}` seem to begin, as in a stretch; none if it is anything else.

    Once each of them proves to be an object they are the elements, for between them are single commas only.
    """
    end = len(data.rstrip()) - len(_TAIL)
    if not (data.startswith(_HEAD + _FIRST) and data.endswith(b"}" + _TAIL, 0, end + len(_TAIL))):
        return []
    return [len(_HEAD), *[seam.start() + 2 for seam in _SEAM.finditer(data)], end + SEPARATOR_BYTES]


def _is_plain(raw: bytes) -> bool:
    try:
        _RAW.decode(raw)
    except _REFUSALS:
        return False
    return True


_BRACKETS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|([{\[])|[}\]]', re.DOTALL)


def _deeper_than(raw: bytes, depth_max: int) -> bool:
    if raw.count(b"{") + raw.count(b"[") <= depth_max:
        return False
    depth = 0
    for token in _BRACKETS.finditer(raw):
        if token[1]:
            depth += 1
            if depth > depth_max:
                return True
        elif token[0] in b"}]":
            depth -= 1
    return False


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS_MAX else float(digits)


_LENIENT: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_whole_number)
"""Strict about grammar, lenient about lone surrogates and about numbers of any size."""
