"""Bodies: how records become the bytes of a batch, and what of a batch goes over the wire.

A body is laid out once, when it is frozen, and its stored bytes are hashed; from then on it is only read. What a
batch looks like is kept with it (in its columns), so that splitting it later needs nothing of the source's options,
which may have changed meanwhile.
"""

import base64
import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import msgspec
from isal import isal_zlib

from trailhook.cloudtrail import columns
from trailhook.cloudtrail.columns import Columns
from trailhook.cloudtrail.records import event_of
from trailhook.cloudtrail.stretch import SEPARATOR_BYTES, Stretch
from trailhook.errors import Invalid
from trailhook.model import Batch, BatchKind, Compression, DeliveryOptions, EventFormat, Format, NewBatch

ID_CHARACTERS: Final = 26
"""Of base32: 130 random bits."""
PASSED_BY: Final = 4
"""A body that is laid out is nobody's once as many others were offered as are held, so many times over."""
_ID_BYTES = 17
_GZIP = 31
_LEVEL = 1
_ROOM_BYTES = 64
_JSON_TYPE = "application/json"
_TYPES: Final = {Format.NDJSON: "application/x-ndjson"}
_COMPACT_HEAD: Final = b'{"eventId":'
"""How the short form begins; CloudTrail writes `eventID`."""
_Damage: Final = cast("type[Exception]", isal_zlib.error)  # its stubs declare an instance
_LINE_BREAKS: Final = re.compile(rb"[\r\n]")


def new_batch_id(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A new `webhook-id`: `msg_` and 26 random characters."""
    return "msg_" + base64.b32encode(random_bytes(_ID_BYTES)).decode()[:ID_CHARACTERS].lower()


class LaidOut:
    """Bodies just frozen, as they go over the wire, so that a first attempt need not read and inflate what was stored
    a moment before. A body that it has not costs time and no more.

    It holds `bytes_max` at most, and rather the old than the new, for those are sent first. What has not been taken
    while others would have filled it several times over (its source is paused, another process has sent it) makes room.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._offered = 0
        self._bodies: dict[bytes, tuple[bytes, int]] = {}
        """By the hash of the stored bytes: the body, and how many had been offered before it."""
        self._lock = threading.Lock()

    def holds(self, sha256: bytes) -> bool:
        """Whether it has the body whose stored bytes have this hash, at the moment. From any thread."""
        return sha256 in self._bodies

    def keep(self, sha256: bytes, wire: bytes) -> None:
        """Hold the body whose stored bytes have this hash, if there is room for it. From any thread."""
        with self._lock:
            self._pop(sha256)
            self._offered += 1
            while self._bytes + len(wire) > self._bytes_max and self._is_stale():
                self._pop(next(iter(self._bodies)))
            if self._bytes + len(wire) <= self._bytes_max:
                self._bodies[sha256] = wire, self._offered
                self._bytes += len(wire)

    def take(self, batch: NewBatch) -> bytes | None:
        """The body of a batch, which is held no longer; None if it is not here. From any thread."""
        with self._lock:
            return self._pop(batch.sha256)

    def _is_stale(self) -> bool:
        """Whether the oldest has been passed by."""
        oldest = next(iter(self._bodies.values()), None)
        return oldest is not None and self._offered - oldest[1] > PASSED_BY * len(self._bodies)

    def _pop(self, sha256: bytes) -> bytes | None:
        wire, _ = self._bodies.pop(sha256, (None, 0))
        self._bytes -= len(wire or b"")
        return wire


def as_sent(stretch: Stretch, options: DeliveryOptions) -> Stretch:
    """The records as they stand in a body: in the short form, or each on one line, where a source wants them so."""
    write = compact if options.event_format is EventFormat.COMPACT else _one_line
    if write is _one_line and options.format is not Format.NDJSON:
        return stretch
    return stretch.written(map(write, stretch.raws()), _separator(options.format))


def freeze(
    stretches: Sequence[Stretch],
    *,
    source_id: str,
    options: DeliveryOptions,
    batch_id: str,
    laid_out: LaidOut | None = None,
) -> NewBatch:
    """The batch that sends these records `as_sent`, in their order, of which there is at least one; `single` takes one.

    What it sends is left in `laid_out`.
    """
    count = sum(map(len, stretches))
    if options.format is Format.SINGLE and count != 1:
        raise ValueError("a body of the single format has one record")
    head, _ = _frame(options.format, source_id, count)
    return _batch(
        [stretch.whole for stretch in stretches],
        columns.gather(stretches, layout=options.format, first_offset=len(head)),
        source_id=source_id,
        batch_id=batch_id,
        content_encoding="gzip" if options.compression is Compression.GZIP else "",
        parent=None,
        laid_out=laid_out,
    )


def inflated(batch: NewBatch) -> bytes:
    """The body as it was laid out. Raises `Invalid` (`body_altered`) if the stored bytes are not what was frozen."""
    _check(batch)
    return plain(batch.body)


def plain(stored: bytes) -> bytes:
    """A stored body inflated, without looking whether it is what was frozen. Raises `Invalid` (`body_altered`)."""
    size = int.from_bytes(stored[-4:], "little")
    try:
        return isal_zlib.decompress(stored, wbits=_GZIP, bufsize=size + _ROOM_BYTES)
    except _Damage as error:
        raise Invalid("body_altered", f"a stored body cannot be inflated: {error}") from error


def wire(batch: NewBatch) -> bytes:
    """What travels, the same bytes at every attempt. Raises `Invalid` (`body_altered`) as `inflated` does."""
    if not batch.content_encoding:
        return inflated(batch)
    _check(batch)
    return batch.body


def halve(batch: Batch, *, source_id: str, ids: tuple[str, str]) -> tuple[NewBatch, NewBatch]:
    """Two batches that send what `batch` sends, laid out and counted as it is, each naming it as its parent.

    Raises ValueError for a batch of one, `Invalid` (`body_altered`) as `inflated` does.
    """
    whole = columns.unpack(batch.columns)
    if len(whole) <= 1:
        raise ValueError("a batch of one record cannot be split")
    parts = columns.slices(inflated(batch), whole)

    def child(start: int, end: int, batch_id: str) -> NewBatch:
        head, _ = _frame(Format(whole.layout), source_id, end - start)
        return _batch(
            parts[start:end],
            whole.take(start, end, first_offset=len(head)),
            source_id=source_id,
            batch_id=batch_id,
            content_encoding=batch.content_encoding,
            parent=batch.id,
        ).but(kind=batch.kind, backfill=batch.backfill)

    middle = len(parts) // 2
    return child(0, middle, ids[0]), child(middle, len(parts), ids[1])


def notice(name: str, data: Any, *, batch_id: str) -> NewBatch:
    """A message to the user, such as `source.recovered`: always an envelope, never compressed on the wire."""
    plain = msgspec.json.encode({"type": name, "data": data})
    stored = _gzip(plain)
    return NewBatch(
        id=batch_id,
        kind=BatchKind.NOTICE,
        type=name,
        body=stored,
        sha256=hashlib.sha256(stored).digest(),
        wire_bytes=len(plain),
        content_type=_JSON_TYPE,
        count=0,
    )


def compact(raw: bytes) -> bytes:
    """The short form of a record."""
    event = event_of(raw)
    return msgspec.json.encode(
        {
            "eventId": event.event_id,
            "eventTime": event.event_time,
            "eventType": event.event_type,
            "sourceIPAddress": event.source_ip_address,
            "userIdentity": {"arn": event.user_identity.arn if event.user_identity else None},
        }
    )


def is_compact(part: bytes) -> bool:
    """Whether this part of a body is a short form, and no record as CloudTrail wrote it."""
    return part.startswith(_COMPACT_HEAD)


def overhead_bytes(layout: Format, source_id: str, count: int) -> int:
    """What a body of up to `count` records has besides the records and a separator after each."""
    head, tail = _frame(layout, source_id, count)
    return max(0, len(head) + len(tail) - SEPARATOR_BYTES)


def _check(batch: NewBatch) -> None:
    if hashlib.sha256(batch.body).digest() != batch.sha256:
        raise Invalid("body_altered", f"the stored bytes of {batch.id} are not those that were frozen")


def _batch(
    parts: Sequence[bytes | memoryview],
    about: Columns,
    *,
    source_id: str,
    batch_id: str,
    content_encoding: str,
    parent: str | None,
    laid_out: LaidOut | None = None,
) -> NewBatch:
    layout = Format(about.layout)
    head, tail = _frame(layout, source_id, len(about))
    separator = _separator(layout)
    between = [part for each in parts[1:] for part in (separator, each)]
    plain = b"".join([head, parts[0], *between, tail])
    stored = _gzip(plain)
    sha256 = hashlib.sha256(stored).digest()
    if laid_out:
        laid_out.keep(sha256, stored if content_encoding else plain)
    return NewBatch(
        id=batch_id,
        body=stored,
        sha256=sha256,
        wire_bytes=len(stored) if content_encoding else len(plain),
        content_type=_TYPES.get(layout, _JSON_TYPE),
        content_encoding=content_encoding,
        count=len(about),
        columns=columns.pack(about),
        first_event_at=float(about.first_at),
        last_event_at=float(about.last_at),
        parent=parent,
    )


def _frame(layout: Format, source_id: str, count: int) -> tuple[bytes, bytes]:
    """What stands before and after the records."""
    if layout is Format.ENVELOPE:
        name = msgspec.json.encode(source_id)
        return b'{"type":"cloudtrail.events","data":{"sourceId":%b,"count":%d,"events":[' % (name, count), b"]}}"
    if layout is Format.ARRAY:
        return b"[", b"]"
    return b"", b"\n" if layout is Format.NDJSON else b""


def _separator(layout: Format) -> bytes:
    return b"\n" if layout is Format.NDJSON else b","


def _one_line(part: bytes) -> bytes:
    """A record on one line. A raw line break can only be white space between tokens: JSON strings have none."""
    return _LINE_BREAKS.sub(b" ", part) if b"\n" in part or b"\r" in part else part


def _gzip(plain: bytes) -> bytes:
    return isal_zlib.compress(plain, _LEVEL, wbits=_GZIP)
