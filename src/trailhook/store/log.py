"""What a store promises of the event log: a part of `store.base`, under the same rules."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from trailhook.model import BatchState, Value


class LogQuery(Value, frozen=True, kw_only=True):
    """Which blocks of the event log: those that may hold events from `from_at` to `to_at`, both included."""

    source_id: str | None = None
    from_at: float = 0.0
    to_at: float = math.inf
    before: tuple[float, int] | None = None
    """`last_event_at` and `num` of the block where the last page ended."""
    limit: int = 100


class LogBlock(Value, frozen=True, kw_only=True):
    """A batch as a search sees it."""

    num: int
    id: str
    source_id: str
    state: BatchState
    first_event_at: float
    last_event_at: float
    frozen_at: float
    body_bytes: int
    columns: bytes
    """Empty if the janitor took them away meanwhile."""


class EventLog(Protocol):
    """What was frozen, to be searched: batches of events of the sources there are. Of one that was split, its children.

    A block that is frozen, split or forgotten between two pages may or may not be seen; no other is missed or doubled.
    """

    async def log_blocks(self, query: LogQuery) -> Sequence[LogBlock]:
        """A page of blocks by their newest event, newest first (then by `num`, descending), without reading a body.

        Fewer than `limit` means that there are no more. Raises `NotFound` if there is no such source.
        """

    async def log_after(
        self, num: int, *, but: Collection[int] = (), source_id: str | None = None, limit: int = 100
    ) -> Sequence[LogBlock]:
        """The first blocks frozen with a number beyond `num` and not in `but`, ascending: no children, but all else.

        A number may become visible after a greater one, within the time that a transaction can take.
        """

    async def log_end(self) -> int:
        """The greatest number of a batch that is visible, 0 if there is none."""

    async def log_bodies(self, nums: Sequence[int]) -> Mapping[int, bytes]:
        """The stored bodies of batches by number, of those that have one left."""
