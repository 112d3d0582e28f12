"""One trace for each batch: from the units that it was read from to its webhook's answers.

The ids of a batch's trace are made of the batch's own, so that intake and delivery, in other processes and days apart,
meet in it and nothing has to be kept for that. Here is what is traced; `tracing_otlp` says it to others.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, Self

from trailhook.clock import Clock
from trailhook.model import Attempt, Batch, NewBatch, Unit

HEADER = "traceparent"
"""W3C Trace Context: with it a receiver goes on with the trace. https://www.w3.org/TR/trace-context/"""
TRACE_ID_DIGITS = 32
SPAN_ID_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Span:
    """One span of a batch's trace, by its ids (hexadecimal)."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        """The value of `HEADER`."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def root_of(batch_id: str, *, ratio: float = 1.0) -> Span:
    """The first span of a batch's trace; `ratio` of all batches are sampled, everywhere the same ones."""
    digits = hashlib.sha256(b"trailhook trace of " + batch_id.encode()).hexdigest()
    trace_id, rest = digits[:TRACE_ID_DIGITS], digits[TRACE_ID_DIGITS:]
    # Neither id may be all zeros; of a hash they never are.
    return Span(trace_id, rest[:SPAN_ID_DIGITS], int(trace_id[-SPAN_ID_DIGITS:], 16) < ratio * 16**SPAN_ID_DIGITS)


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done on the way to a batch, and when; to one unit, or (None) to all of a group."""

    name: str
    began_at: float
    ended_at: float
    unit: Unit | None = None


class Steps:
    """What is done to a group of units, as it is done."""

    def __init__(self, clock: Clock, before: Sequence[Step] = ()) -> None:
        self._clock = clock
        self._done = list(before)

    @contextmanager
    def step(self, name: str, unit: Unit | None = None) -> Iterator[None]:
        """Do something, and remember when. Not if it raises: no batch comes of that."""
        began_at = self._clock.now()
        yield
        self._done.append(Step(name, began_at, self._clock.now(), unit))

    def apart(self) -> Self:
        """A course of its own from here on: a group may come to several transactions."""
        return type(self)(self._clock, self._done)

    def of(self, units: Collection[int]) -> list[Step]:
        """What was done to these units (by their ids), or to all."""
        return [each for each in self._done if each.unit is None or each.unit.id in units]


class Tracing(Protocol):
    """Tells of what becomes of batches. No verb blocks or raises: what cannot be told is dropped."""

    @property
    def on(self) -> bool:
        """Whether anybody is told anything: else the steps need not be brought together."""

    def frozen(self, source_id: str, batch: NewBatch, steps: Sequence[Step]) -> None:
        """A batch was frozen, durably, by these steps."""

    def split(self, batch: Batch, children: Sequence[NewBatch], at: float) -> None:
        """Batches took the place of one; they have traces of their own."""

    def attempt(self, batch: NewBatch) -> Span | None:
        """The span of a request that is about to be sent for a batch, None if there is to be none."""

    def attempted(self, span: Span | None, batch: Batch, attempt: Attempt) -> None:
        """The request was answered, or was not."""


class NoTracing:
    """Nobody is told anything."""

    @property
    def on(self) -> bool:
        return False

    def frozen(self, source_id: str, batch: NewBatch, steps: Sequence[Step]) -> None:
        pass

    def split(self, batch: Batch, children: Sequence[NewBatch], at: float) -> None:
        pass

    def attempt(self, batch: NewBatch) -> Span | None:  # noqa: ARG002 - the protocol's
        return None

    def attempted(self, span: Span | None, batch: Batch, attempt: Attempt) -> None:
        pass


UNTRACED: Final = NoTracing()


def header(span: Span | None, own: Mapping[str, str]) -> list[tuple[str, str]]:
    """The header that hands a trace on, unless the source's own headers have one."""
    if span is None or any(name.lower() == HEADER for name in own):
        return []
    return [(HEADER, span.traceparent)]
