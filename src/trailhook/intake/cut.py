"""Cut stretches of records into the groups that become batches."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from trailhook import body
from trailhook.cloudtrail.stretch import Stretch
from trailhook.model import DeliveryOptions, Format


def cut(stretches: Iterable[Stretch], options: DeliveryOptions, *, source_id: str) -> Iterator[list[Stretch]]:
    """Yield groups, none empty, in the records' order: all of them, each in one group.

    `stretches` are as they stand in a body (`body.as_sent`). A group's body has at most `max_events` records and
    `max_bytes` bytes, counted before compression, envelope included. A record that is over the limit by itself goes
    alone, whole; so do the records of a stretch that must travel alone.
    """
    events_max = 1 if options.format is Format.SINGLE else options.max_events
    bytes_max = options.max_bytes - body.overhead_bytes(options.format, source_id, events_max)
    group: list[Stretch] = []
    events, size = 0, 0
    for stretch in stretches:
        start = 0
        while start < len(stretch):
            end = start
            if not (group and (stretch.alone or group[-1].alone)):
                end = _fits(stretch, start, events=1 if stretch.alone else events_max - events, size=bytes_max - size)
            if end > start or not group:
                end = max(end, start + 1)
                group.append(stretch.part(start, end))
                events += end - start
                size += stretch.starts[end] - stretch.starts[start]
                start = end
            if start < len(stretch):
                yield group
                group, events, size = [], 0, 0
    if group:
        yield group


def _fits(stretch: Stretch, start: int, *, events: int, size: int) -> int:
    """Behind the last record from `start` on that has room: no more than so many, and so many bytes."""
    most = min(len(stretch), start + events)
    return bisect_right(stretch.starts, stretch.starts[start] + size, start, most + 1) - 1
