"""Cut a stream of records into the groups that become batches."""

from collections.abc import Callable, Iterable, Iterator

from trailhook import body
from trailhook.cloudtrail.columns import SEPARATOR_BYTES
from trailhook.cloudtrail.records import Record
from trailhook.model import DeliveryOptions, EventFormat, Format


def cut(records: Iterable[Record], options: DeliveryOptions, *, source_id: str) -> Iterator[list[Record]]:
    """Yield groups, none empty, in the records' order: all of them, each in one group.

    A group's body has at most `max_events` records and `max_bytes` bytes, counted before compression, envelope
    included. A record that is over the limit by itself goes alone, whole; so does one that must travel alone.
    """
    events_max = 1 if options.format is Format.SINGLE else options.max_events
    room = options.max_bytes - body.overhead_bytes(options.format, source_id, events_max)
    size_of = _size_of(options.event_format)
    group: list[Record] = []
    group_bytes = 0
    for record in records:
        size = size_of(record)
        full = len(group) >= events_max or group_bytes + size + SEPARATOR_BYTES > room
        if group and (full or record.alone or group[-1].alone):
            yield group
            group, group_bytes = [], 0
        group.append(record)
        group_bytes += size + SEPARATOR_BYTES
    if group:
        yield group


def _size_of(event_format: EventFormat) -> Callable[[Record], int]:
    if event_format is EventFormat.COMPACT:
        return lambda record: len(body.compact(record))
    return lambda record: len(record.raw)
