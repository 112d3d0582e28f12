"""What a search asks for and answers."""

import math
from typing import Annotated, Final, NamedTuple

import msgspec

from trailhook.model import BatchState, Value
from trailhook.search.grammar import Query

_Number = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class Place(NamedTuple):
    """A place in the order of results, which is by time, then batch, then position, all descending.

    It stays the same place whatever is frozen meanwhile, so it serves as a cursor.
    """

    at: _Number
    num: _Number
    position: _Number


TOP: Final = Place(2**33, 0, 0)
"""Above every event: times fit 32 bits."""


class Asked(Value, frozen=True, kw_only=True):
    """A search: events that fit `query`, of a source or of all, at or after `from_at` and before `to_at`."""

    query: Query = Query()
    source_id: str | None = None
    from_at: float = 0.0
    to_at: float = math.inf


class Found(Value, frozen=True, kw_only=True):
    """An event that was found: what its columns say, and the record if its batch still has its body."""

    place: Place
    at: int
    """Its time in seconds, 0 if it has none: then it stands where the oldest of its batch does."""
    source_id: str
    batch_id: str
    state: BatchState
    position: int
    texts: dict[str, str]
    """By `cloudtrail.columns.TEXT_COLUMNS`."""
    read_only: bool | None
    raw: bytes | None
    """As it was frozen, byte for byte."""


class Page(Value, frozen=True, kw_only=True):
    """Events, newest first, with how far the search has come."""

    found: list[Found]
    next: Place | None
    """Where to go on; None if all has been searched."""
    searched_back_to_at: float
    """All that was asked for above `next`, and so after this time, is in `found` or on an earlier page."""
    unread: int
    """Events that the fields do not rule out, and whose records, which would have to be read, are no longer kept."""


class Histogram(Value, frozen=True, kw_only=True):
    """How many events there are in each of some stretches of equal length, the oldest first."""

    counts: list[int]
    next: Place | None
    """What the next part has to be added from; None if all has been counted."""
    searched_back_to_at: float
