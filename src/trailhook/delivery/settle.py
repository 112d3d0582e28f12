"""What becomes of a batch after an attempt: settled, again later, split in two, or a dead letter."""

import random

from trailhook.delivery.breaker import refuses_every_body
from trailhook.delivery.outcome import Outcome, Verdict
from trailhook.delivery.schedule import delay_s
from trailhook.model import Batch, BatchKind, BatchState, Lane, Value

REFUSALS_MAX = 4
"""How often a receiver may refuse a body before it is split or, a single event, given up: once, and again after
each of the three waits of the schedule."""
CHILD_REFUSALS = REFUSALS_MAX - 1
"""What the halves of a refused body start with: the fault is in one of them, and one try each tells in which."""


class Decision(Value, frozen=True, kw_only=True):
    """How one attempt leaves its batch. SPLIT: children take its place."""

    state: BatchState
    due_at: float = 0.0
    """When a WAITING batch is tried again."""
    refusals: int = 0
    """Kept with the batch; for children see `child_refusals`."""
    attempted: bool = True
    """False: nothing was tried, and the batch goes back as it was."""
    reason: str = ""
    """Why it was split or given up, for people."""


def child_refusals(decision: Decision, count: int) -> int:
    """The refusals that a child of `count` events starts with. A single event gets all its tries."""
    return decision.refusals if count > 1 else 0


def decide(
    batch: Batch,
    verdict: Verdict,
    *,
    lane: Lane,
    held_s: float,
    now: float,
    rng: random.Random,
    give_up_after_s: float,
    give_up_attempts_min: int,
) -> Decision:
    """What the attempt that `verdict` is about leads to; `batch` counts the attempts before it.

    `lane` is the lane with this verdict counted; `held_s` is how long the batch's source and lane have been held in
    all. A 410 never ends a batch, nor does a refusal by a receiver that refuses every body: the lane holds it.
    """
    match verdict.outcome:
        case Outcome.DELIVERED:
            return Decision(state=BatchState.DELIVERED, refusals=batch.refusals)
        case Outcome.TOO_LARGE:
            return _divided(batch, verdict, batch.refusals)
        case Outcome.REFUSED if not refuses_every_body(lane):
            return _refused(batch, verdict, now, rng)
        case Outcome.CONFIGURATION | Outcome.GUARDED | Outcome.THROTTLED | Outcome.TRANSIENT:
            age = age_s(batch, held_s, now)
            attempts = batch.attempts + 1
            if age >= give_up_after_s and attempts >= give_up_attempts_min:
                reason = f"Given up after {age / 3600:.0f} h and {attempts} attempts. {verdict.error}"
                return Decision(state=BatchState.DEAD, refusals=batch.refusals, reason=reason)
    return _again(batch, verdict, batch.refusals, now, rng)


def age_s(batch: Batch, held_s: float, now: float) -> float:
    """How long delivery of the batch has been tried: since its first attempt, time held left out, never negative."""
    if batch.first_attempt_at is None:
        return 0.0
    return max(0.0, now - batch.first_attempt_at - max(0.0, held_s - batch.held_mark_s))


def _refused(batch: Batch, verdict: Verdict, now: float, rng: random.Random) -> Decision:
    if batch.refusals + 1 >= REFUSALS_MAX:
        return _divided(batch, verdict, CHILD_REFUSALS)
    return _again(batch, verdict, batch.refusals + 1, now, rng)


def _divided(batch: Batch, verdict: Verdict, refusals: int) -> Decision:
    """In two; what cannot be divided is a dead letter."""
    divisible = batch.kind is not BatchKind.NOTICE and batch.count > 1
    state = BatchState.SPLIT if divisible else BatchState.DEAD
    return Decision(state=state, refusals=refusals, reason=verdict.error)


def _again(batch: Batch, verdict: Verdict, refusals: int, now: float, rng: random.Random) -> Decision:
    before = batch.refusals if verdict.outcome is Outcome.REFUSED else batch.attempts
    return Decision(
        state=BatchState.WAITING,
        due_at=now + delay_s(before, verdict, rng.random),
        refusals=refusals,
        attempted=verdict.outcome is not Outcome.OURS,
    )
