"""What batches add to the totals of their source, in both stores."""

from collections.abc import Mapping

from trailhook.model import BatchKind, BatchState


def weight(state: BatchState, kind: BatchKind, count: int, body_bytes: int) -> dict[str, int]:
    """What one batch in `state` adds to the totals. Notices hold no records, and replays none that are new."""
    records = count if kind is BatchKind.EVENTS else 0
    match state:
        case BatchState.WAITING:
            return {"waiting": records, "waiting_batches": 1, "waiting_bytes": body_bytes}
        case BatchState.DEAD:
            return {"dead_lettered": records, "dead_batches": 1, "dead_bytes": body_bytes}
        case BatchState.DELIVERED if kind is BatchKind.REPLAY:
            return {"replayed": count}
        case BatchState.DELIVERED:
            return {"sent": records}
        case BatchState.DISCARDED:
            return {"discarded": records}
        case BatchState.SPLIT:
            return {}


def add(total: dict[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """`total`, with more added to it: changes of totals are added up before they are made."""
    for name, number in more.items():
        total[name] = total.get(name, 0) + number
    return total
