"""The records of a CloudTrail file: their exact bytes, what makes each one itself, and the fields we search by.

A file as CloudTrail writes it is cut wherever a record seems to begin, and a fast decoder that reads each piece for its
fields proves the cuts right. Whatever it refuses goes through `splitter` instead, and each record is judged by itself:
one bad record never costs its neighbours.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from hashlib import blake2b, sha256
from itertools import chain, pairwise
from typing import Any, Final, TypeVar

import msgspec

from trailhook.cloudtrail.event import Event, epoch_s, lenient_event
from trailhook.cloudtrail.splitter import BOM, split
from trailhook.errors import Invalid

T = TypeVar("T")

KEY_BYTES: Final = 16
SLICE_RECORDS_MAX: Final = 7_500
BAD_RECORDS_MAX: Final = 10_000
SLICE_BYTES_MAX: Final = 12 * 1024 * 1024
"""A slice of a large unit ends beyond this, however few its records: it is what is held at a time."""
_TIME_BYTES = 4
_HASH_BYTES = KEY_BYTES - _TIME_BYTES
_UUID_CHARACTERS: Final = 36
_DIGITS_MAX = 600
"""Python refuses to read whole numbers much longer than this."""
_SEPARATOR = b"\xff"
"""Between the parts of an identity: no UTF-8 text has this byte."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One event."""

    raw: bytes
    """As CloudTrail wrote it, byte for byte."""
    key: bytes
    """What makes it itself, in the ledger: see `ledger_key`."""
    at: int
    """Its eventTime in seconds since the epoch, 0 if it has none that is a time."""
    event: Event
    alone: bool = False
    """Good JSON that some readers refuse (a lone surrogate): it travels in a batch of its own."""


class BadRecord(msgspec.Struct, frozen=True, gc=False):
    """An element of `Records` that cannot be sent. `raw` is cut at the size limit."""

    position: int
    reason: str
    """`too_large`, `too_deep`, `not_utf8`, `not_json` or `not_an_object`."""
    detail: str
    raw: bytes


class ReadRecords(msgspec.Struct, frozen=True):
    """What some stretch of a unit held, in its order. Positions count the unit's elements from 0, bad ones too."""

    records: list[Record]
    bad: list[BadRecord]


def read_records(
    data: bytes, *, scope: bytes, depth_max: int, record_bytes_max: int, bad_records_max: int = BAD_RECORDS_MAX
) -> ReadRecords:
    """Every record of a whole file. `scope` names whose ledger the keys are for and is UTF-8 text.

    Raises `Invalid` (`not_json`, `no_records`, `records_not_a_list`, or `too_many_bad`, for a file with more than
    `bad_records_max` bad ones is no log): then nothing of the file is to be taken.
    """
    data = data.removeprefix(BOM)
    if (records := _Judge(scope, depth_max, record_bytes_max).together(_pieces(data))) is not None:
        return ReadRecords(records, [])
    slices = list(
        read_slices(
            [data],
            scope=scope,
            depth_max=depth_max,
            record_bytes_max=record_bytes_max,
            slice_records_max=SLICE_RECORDS_MAX,
            bad_records_max=bad_records_max,
        )
    )
    records = list(chain.from_iterable(each.records for each in slices))
    return ReadRecords(records, list(chain.from_iterable(each.bad for each in slices)))


def read_slices(
    chunks: Iterable[bytes],
    *,
    scope: bytes,
    depth_max: int,
    record_bytes_max: int,
    slice_records_max: int,
    slice_bytes_max: int = SLICE_BYTES_MAX,
    bad_records_max: int = BAD_RECORDS_MAX,
    skip: int = 0,
) -> Iterator[ReadRecords]:
    """The records of a large file, in slices, never empty, of at most `slice_records_max` elements.

    A slice that reaches `slice_bytes_max` ends there, at most one chunk or one element over it; no more than that is
    held. The first `skip` elements are passed over, unjudged. Raises `Invalid` as
    `read_records` does, but only when it gets there: run through it once before taking anything.
    """
    judge = _Judge(scope, depth_max, record_bytes_max, bad_records_max)
    position = 0
    held: list[bytes] = []
    held_bytes = 0
    for elements in split(chunks, element_bytes_max=record_bytes_max):
        fresh = elements[max(0, skip - position - len(held)) :]
        position += len(elements) - len(fresh)
        held += fresh
        held_bytes += sum(map(len, fresh))
        while len(held) >= slice_records_max or held_bytes >= slice_bytes_max:
            ready, held = held[:slice_records_max], held[slice_records_max:]
            held_bytes = sum(map(len, held))
            yield judge.all(ready, position)
            position += len(ready)
    if held:
        yield judge.all(held, position)


def count_records(
    chunks: Iterable[bytes], *, depth_max: int, record_bytes_max: int, bad_records_max: int = BAD_RECORDS_MAX
) -> int:
    """How many elements a large file has, bad ones too: it is read to its end and nothing of it is kept.

    Raises `Invalid` as `read_slices` would.
    """
    judge = _Judge(b"", depth_max, record_bytes_max, bad_records_max)
    return sum(judge.count(elements) for elements in split(chunks, element_bytes_max=record_bytes_max))


def read_record(
    raw: bytes, *, position: int, scope: bytes, depth_max: int, record_bytes_max: int
) -> Record | BadRecord:
    """Judge one element by itself."""
    return _Judge(scope, depth_max, record_bytes_max).one(raw, position)


def ledger_key(raw: bytes, event: Event, at: int, *, scope: bytes) -> bytes:
    """16 bytes: the event time (4, big-endian, 0 where there is none), then 12 of a hash of scope, account and eventID.

    AWS: "duplicate events have the same eventID". A record without an eventID is known by its exact bytes. The time
    is there to keep the ledger's inserts together, which is sound only because a repeat of AWS has the time of the
    first: an eventID that is not the random UUID that AWS writes proves no such thing, and gets the time 0.
    """
    return _key(raw, event.event_id, at, _place(scope, event.recipient_account_id))


def _place(scope: bytes, account: str | None) -> blake2b:
    """Where an eventID is one of a kind: what begins the identity of all records of a file, hashed so far."""
    place = b"%b%b%b%b" % (scope, _SEPARATOR, (account or "").encode(), _SEPARATOR)
    return blake2b(place, digest_size=_HASH_BYTES)


def _key(raw: bytes, event_id: str | None, at: int, place: blake2b) -> bytes:
    if not event_id:
        return at.to_bytes(_TIME_BYTES, "big") + sha256(raw).digest()[:_HASH_BYTES]
    # A random UUID has its version and variant digits where RFC 9562 puts them.
    is_random = len(event_id) == _UUID_CHARACTERS and event_id[14] == "4" and event_id[19] in "89ab"
    lead = at if is_random else 0
    identity = place.copy()
    identity.update(event_id.encode())
    return lead.to_bytes(_TIME_BYTES, "big") + identity.digest()


def document(raw: bytes) -> Any:
    """A record as plain values; numbers beyond all measure as infinite.

    Raises ValueError for what is no JSON, RecursionError for what is nested deeper than the reader goes.
    """
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _LENIENT.decode(raw.decode())


# --------------------------------------------------------------------------------------------------- the fast way

_HEAD: Final = b'{"Records":['
_TAIL: Final = b"]}"
_FIRST: Final = b'{"eventVersion":'
"""How CloudTrail begins every record."""
_SEAM: Final = re.compile(b"},%b" % _FIRST)
_EVENT: Final = msgspec.json.Decoder(Event)
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
_REFUSALS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def _pieces(data: bytes) -> list[bytes]:
    """What seem to be the elements of a compact `{"Records":[…]}`; none if it is anything else.

    Once each of them proves to be an object they are the elements, for between them are single commas only.
    """
    data = data.rstrip()
    if not (data.startswith(_HEAD + _FIRST) and data.endswith(b"}" + _TAIL)):
        return []
    starts = [len(_HEAD), *(seam.start() + 2 for seam in _SEAM.finditer(data)), len(data) - len(_TAIL) + 1]
    return [data[start : end - 1] for start, end in pairwise(starts)]


def _are_utf8(raws: Iterable[bytes]) -> bool:
    """The fast decoder does not look at the text of fields that it passes over. Few records are more than ASCII."""
    try:
        for raw in raws:
            if not raw.isascii():
                raw.decode()
    except UnicodeDecodeError:
        return False
    return True


# ------------------------------------------------------------------------------------------------------- judging


class _Once(dict[str | None, T]):
    """What `make` makes of a text, made once."""

    def __init__(self, make: Callable[[str | None], T]) -> None:
        self._make = make

    def __missing__(self, text: str | None) -> T:
        made = self[text] = self._make(text)
        return made


class _Judge:
    """Makes records of elements, or says why not."""

    def __init__(
        self, scope: bytes, depth_max: int, record_bytes_max: int, bad_records_max: int = BAD_RECORDS_MAX
    ) -> None:
        self._scope = scope
        self._depth_max = depth_max
        self._record_bytes_max = record_bytes_max
        self._bad_records_max = bad_records_max
        self._bad_records = 0

    def all(self, raws: list[bytes], position: int = 0) -> ReadRecords:
        """Judge them together as long as all are sound, else halve by halve down to those that are not.

        Raises `Invalid` (`too_many_bad`).
        """
        records: list[Record] = []
        bad: list[BadRecord] = []
        heaps = [(position, raws)]
        while heaps:
            at, heap = heaps.pop()
            if len(heap) > 1 and (together := self.together(heap)) is not None:
                records += together
            elif len(heap) > 1:
                half = len(heap) // 2
                heaps += [(at + half, heap[half:]), (at, heap[:half])]
            else:
                for raw in heap:
                    judged = self.one(raw, at)
                    records.append(judged) if isinstance(judged, Record) else bad.append(judged)
        self._bad_records += len(bad)
        if self._bad_records > self._bad_records_max:
            raise Invalid("too_many_bad", f"more than {self._bad_records_max:,} of its records cannot be read")
        return ReadRecords(records, bad)

    def count(self, raws: list[bytes]) -> int:
        """How many there are, once those that are bad have been counted. Raises as `all` does."""
        if self._events(raws) is None:
            self.all(raws)
        return len(raws)

    def together(self, raws: list[bytes]) -> list[Record] | None:
        """The records of elements that are all sound; None if there are none, or if one is not."""
        events = self._events(raws)
        return self._records(raws, events) if events else None

    def _events(self, raws: list[bytes]) -> list[Event] | None:
        if max(map(len, raws), default=0) > self._record_bytes_max:
            return None
        try:
            events = list(map(_EVENT.decode, raws))
        except _REFUSALS:
            return None
        return events if _are_utf8(raws) else None

    def _records(self, raws: Sequence[bytes], events: Sequence[Event]) -> list[Record]:
        """The records of elements that the fast decoder took. What many have in common is worked out once."""
        times = _Once(epoch_s)
        places = _Once(partial(_place, self._scope))
        records = []
        for raw, event in zip(raws, events, strict=True):
            at = times[event.event_time]
            key = _key(raw, event.event_id, at, places[event.recipient_account_id])
            records.append(Record(raw, key, at, event))
        return records

    def one(self, raw: bytes, position: int) -> Record | BadRecord:
        """Judge one by itself."""
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
            return self._records([raw], [_EVENT.decode(raw)])[0]
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

    def _odd(self, raw: bytes, fields: dict[str, Any]) -> Record:
        """Good JSON with fields of other types than documented, or with text that the fast decoder refuses."""
        event = lenient_event(fields)
        if event.recipient_account_id is None and fields.get("recipientAccountId") is not None:
            identity = msgspec.structs.replace(event, event_id=None)  # half an identity is none
        else:
            identity = event
        at = epoch_s(event.event_time)
        key = ledger_key(raw, identity, at, scope=self._scope)
        return Record(raw, key, at, event, alone=not _is_plain(raw))


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
