"""What of a delivered batch is frozen anew when it is to be sent again. Pure; both engines do it so."""

from collections.abc import Mapping, Sequence

from trailhook.errors import Conflict, NotFound
from trailhook.model import Batch, BatchKind, BatchState, NewBatch
from trailhook.store.base import Replayed


def copied(source_id: str, batches: Sequence[Batch], ids: Mapping[str, str]) -> list[NewBatch]:
    """Those that have a body, the same bytes under the id that `ids` has for theirs, of no parent: a receiver drops
    what it took the parent of.

    Raises `NotFound` for a batch of another source, `Conflict` unless all are delivered batches of events.
    """
    if any(batch.source_id != source_id for batch in batches):
        raise NotFound("no such delivery")
    if any((batch.state, batch.kind) != (BatchState.DELIVERED, BatchKind.EVENTS) for batch in batches):
        raise Conflict("Only batches of events that were delivered can be replayed.")
    return [_copy(batch, ids[batch.id]) for batch in batches if batch.body]


def replayed(batches: Sequence[Batch], copies: Sequence[NewBatch]) -> Replayed:
    """What came of it."""
    return Replayed(batches=len(copies), events=sum(copy.count for copy in copies), gone=len(batches) - len(copies))


def _copy(batch: Batch, new_id: str) -> NewBatch:
    kept = {name: getattr(batch, name) for name in NewBatch.__struct_fields__}
    return NewBatch(**{**kept, "id": new_id, "kind": BatchKind.REPLAY, "parent": None, "refusals": 0})
