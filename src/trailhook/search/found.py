"""From places in the log to events with their records."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import groupby

from trailhook.cloudtrail.columns import TEXT_COLUMNS
from trailhook.cloudtrail.stretch import SEPARATOR_BYTES
from trailhook.search.base import Found
from trailhook.search.scan import Hit, Opened, readable
from trailhook.store.log import EventLog

BODIES_BYTES_MAX = 8 * 1024 * 1024
"""Of stored bodies read at a time: a tenth of what they are once inflated."""


async def found(log: EventLog, hits: Sequence[Hit]) -> AsyncIterator[list[Found]]:
    """The events at `hits`, in their order, in parts: as many at a time as few enough bodies hold."""
    for part in _parts(hits):
        bodies = await log.log_bodies(list(dict.fromkeys(hit.place.num for hit in part)))
        yield await asyncio.to_thread(_all, part, bodies)


def _parts(hits: Sequence[Hit]) -> list[list[Hit]]:
    parts: list[list[Hit]] = []
    nums: set[int] = set()
    bytes_ = BODIES_BYTES_MAX + 1
    for hit in hits:
        if hit.place.num not in nums:
            bytes_ += hit.opened.block.body_bytes
            nums.add(hit.place.num)
        if bytes_ > BODIES_BYTES_MAX:
            parts.append([])
            nums, bytes_ = {hit.place.num}, hit.opened.block.body_bytes
        parts[-1].append(hit)
    return parts


def _all(hits: Sequence[Hit], bodies: Mapping[int, bytes]) -> list[Found]:
    """Each body is inflated once, and no two are held: the records are few."""
    by_batch = sorted(range(len(hits)), key=lambda index: hits[index].place.num)
    events: dict[int, Found] = {}
    for num, indexes in groupby(by_batch, key=lambda index: hits[index].place.num):
        body = readable(bodies.get(num))
        for index in indexes:
            events[index] = _one(hits[index], body)
    return [events[index] for index in range(len(hits))]


def _one(hit: Hit, body: bytes | None) -> Found:
    columns, block, position = hit.opened.columns, hit.opened.block, hit.place.position
    return Found(
        place=hit.place,
        at=columns.times[position],
        source_id=block.source_id,
        batch_id=block.id,
        state=block.state,
        position=position,
        texts={name: columns.text(name, position) for name in TEXT_COLUMNS},
        read_only=columns.read_only(position),
        raw=None if body is None else _record(hit.opened, body, position),
    )


def _record(opened: Opened, body: bytes, position: int) -> bytes:
    starts = opened.columns.starts
    return body[starts[position] : starts[position + 1] - SEPARATOR_BYTES]
