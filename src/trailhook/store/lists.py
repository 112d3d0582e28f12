"""What a store promises of its batches as lists; see `store.base`."""

import math
from collections.abc import Sequence
from typing import Protocol

from trailhook.model import Batch, BatchState, Value


class BatchQuery(Value, frozen=True, kw_only=True):
    """Which batches to list: newest first, `before` is the `num` where the last page ended."""

    source_id: str | None = None
    states: Sequence[BatchState] = ()
    frozen_from_at: float = 0.0
    """Frozen then or later."""
    frozen_to_at: float = math.inf
    """Frozen before this."""
    ended: tuple[str, str] | None = None
    """Dead letters only, of which the last attempt had this class and this error."""
    before: int | None = None
    limit: int = 50

    @property
    def listed_states(self) -> Sequence[BatchState]:
        """The states that are meant."""
        return (BatchState.DEAD,) if self.ended else (self.states or tuple(BatchState))


class DeadGroup(Value, frozen=True, kw_only=True):
    """The dead letters of one source that ended in the same way."""

    source_id: str
    outcome: str
    error: str
    batches: int
    events: int
    first_at: float
    """When the first of them was given up."""
    last_at: float


class BatchLists(Protocol):
    """Batches, looked at: page by page, counted, grouped."""

    async def batches(self, query: BatchQuery) -> Sequence[Batch]:
        """A page of batches, newest first, without bodies and columns."""

    async def batch_count(self, query: BatchQuery) -> int:
        """How many batches a query finds on all of its pages; `before` and `limit` are left aside."""

    async def children(self, batch_id: str) -> Sequence[Batch]:
        """What a batch was split into, in its order, without bodies and columns."""

    async def dead_groups(self, *, limit: int) -> Sequence[DeadGroup]:
        """How dead letters ended, source by source, those with the most first, up to `limit`."""
