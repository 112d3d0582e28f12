"""Units that wait for a digest: handed back together, and a person told when it takes too long."""

from collections import defaultdict
from collections.abc import Sequence

from trailhook.errors import FetchState, Held
from trailhook.model import Condition, NewBatch, Source, Unit
from trailhook.store.base import Store

RELEASED_TOGETHER = 5_000


async def hand_back(store: Store, source: Source, held: Sequence[tuple[Unit, Held]], now: float) -> None:
    """Let these units wait until they are due, none of it an attempt: at once, if the source stopped holding meanwhile.

    It is `unverified` from now on if one of them is overdue.
    """
    due: defaultdict[float, list[Unit]] = defaultdict(list)
    for unit, why in held:
        due[why.due_at].append(unit)
    for due_at, units in due.items():
        ids = [unit.id for unit in units]
        detail = str(held[0][1])
        await store.postpone_units(source.id, units[0].token, ids, due_at=due_at, detail=detail, attempt=False)
    if any(why.overdue for _, why in held):
        await store.change_source(source.id, lambda present: _overdue(present, now))
    if not (await store.source(source.id)).hold_until_verified:
        await release(store, source.id)


async def release(store: Store, source_id: str) -> None:
    """Whatever waits for a later time is due now."""
    while await store.release_units(source_id, limit=RELEASED_TOGETHER):
        pass


def _overdue(source: Source, now: float) -> tuple[Source, Sequence[NewBatch]]:
    if not source.hold_until_verified or source.unverified.state != FetchState.ACTIVE:
        return source, ()
    condition = Condition(
        state=FetchState.NEEDS_ATTENTION,
        reason="Log files wait, and no digest of CloudTrail lists them.",
        remedy="Ask trailhook verify about their hours: turn on log file validation in the trail, or bring back what "
        "was deleted. Without holdUntilVerified they are forwarded as they are.",
        since_at=now,
    )
    return source.but(unverified=condition), ()
