"""A filter tried on what is stored: what it would have dropped and redacted of a source's last records.

The stored log holds what passed the filter in force when it was read, with its redactions; and the bodies that
retention, or `metadata` mode, has left.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

from trailhook import body
from trailhook.clock import Clock
from trailhook.cloudtrail import columns
from trailhook.cloudtrail.stretch import Record
from trailhook.errors import NotFound
from trailhook.intake.filter import explain
from trailhook.intake.reading import Bounds
from trailhook.intake.redact import compile_redaction
from trailhook.model import Batch, BatchKind, BatchState, Filter, Value
from trailhook.settings import Settings
from trailhook.store.base import Outbox
from trailhook.store.lists import BatchQuery

EXAMPLES_MAX = 5
PAGE_BATCHES = 50
_STORED = (BatchState.WAITING, BatchState.DELIVERED, BatchState.DEAD, BatchState.DISCARDED)
"""All but those that were split, whose children hold the same records."""


class Example(Value, frozen=True, kw_only=True):
    """A record that the filter would have dropped or redacted, and why."""

    event_id: str
    at: float
    name: str
    why: str


class DryRun(Value, frozen=True, kw_only=True):
    """What a filter would have done."""

    tried: int
    dropped: int
    redacted: int
    """Of those not dropped."""
    examples: Sequence[Example]
    """Newest first, dropped ones before redacted ones."""
    complete: bool
    """Whether as many were tried as were asked for, or all that ever passed and are stored."""


async def dry_run(
    store: Outbox, source_id: str, wanted: Filter, *, last: int, settings: Settings, clock: Clock
) -> DryRun:
    """Try `wanted` on the `last` records stored for a source, newest first, as many as `settings.dry_run_s` allows.

    It changes nothing. Raises `StoreUnavailable`.
    """
    trial = _Trial(wanted, settings)
    until_at = clock.now() + settings.dry_run_s
    async for batch in _newest(store, source_id):
        if trial.tried >= last or clock.now() > until_at:
            trial.complete = trial.tried >= last
            break
        await asyncio.to_thread(trial.take, batch, last)
    examples = (trial.dropped_examples + trial.redacted_examples)[:EXAMPLES_MAX]
    return DryRun(
        tried=trial.tried,
        dropped=trial.dropped,
        redacted=trial.redacted,
        examples=examples,
        complete=trial.complete or trial.tried >= last,
    )


async def _newest(store: Outbox, source_id: str) -> AsyncIterator[Batch]:
    """The source's batches of events, each with its body."""
    before: int | None = None
    while page := await store.batches(
        BatchQuery(source_id=source_id, states=_STORED, before=before, limit=PAGE_BATCHES)
    ):
        for each in page:
            if each.kind is BatchKind.EVENTS:
                try:
                    yield await store.batch(each.id)
                except NotFound:  # retention was faster
                    continue
        before = page[-1].num


@dataclass(slots=True)
class _Trial:
    """One filter, and what came of it so far."""

    wanted: Filter
    settings: Settings
    tried: int = 0
    dropped: int = 0
    redacted: int = 0
    complete: bool = True
    dropped_examples: list[Example] = field(default_factory=list)
    redacted_examples: list[Example] = field(default_factory=list)

    def take(self, batch: Batch, last: int) -> None:
        """Try the records of a batch, newest first; runs in a thread."""
        why, redact = explain(self.wanted), compile_redaction(self.wanted.redact)
        for record in self._records(batch):
            if self.tried >= last:
                return
            self.tried += 1
            if reason := why(record.event, record.raw):
                self.dropped += 1
                _keep(self.dropped_examples, record, reason)
            elif redact and redact(record.raw) is not record.raw:
                self.redacted += 1
                if len(self.redacted_examples) < EXAMPLES_MAX:
                    _keep(self.redacted_examples, record, f"redact names {', '.join(self._hits(record))}")

    def _records(self, batch: Batch) -> Iterable[Record]:
        """What can be tried of a batch: not what was stored in the short form, nor a body that is there no more."""
        parts = columns.slices(body.inflated(batch), columns.unpack(batch.columns)) if batch.body else []
        if not parts or body.is_compact(parts[0]):
            self.complete = False
            return
        judge = Bounds.of(self.settings).judge()
        for raw in reversed(parts):
            record = judge.one(raw)
            if isinstance(record, Record):
                yield record
            else:
                self.complete = False

    def _hits(self, record: Record) -> Iterable[str]:
        for path in self.wanted.redact:
            redact = compile_redaction([path])
            if redact and redact(record.raw) is not record.raw:
                yield path


def _keep(examples: list[Example], record: Record, why: str) -> None:
    if len(examples) < EXAMPLES_MAX:
        event = record.event
        examples.append(Example(event_id=event.event_id or "", at=record.at, name=event.event_name or "", why=why))
