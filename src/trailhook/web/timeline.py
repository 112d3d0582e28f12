"""From samples of counts to pictures of what happened when: pure."""

from collections.abc import Sequence

from trailhook.model import Counts, Value
from trailhook.store.samples import HOUR_S, MINUTE_S, Sample

RATE_S = 60.0
COLUMNS_MIN = 20


class Span(Value, frozen=True, kw_only=True):
    """A stretch of time up to now that a picture shows, and how wide one column of it is."""

    name: str
    title: str
    length_s: int
    step_s: int
    sampled_s: int
    """Which samples it is made of: see `store.base.STEPS_S`."""


SPANS = {
    each.name: each
    for each in (
        Span(name="1h", title="1 hour", length_s=3_600, step_s=60, sampled_s=MINUTE_S),
        Span(name="24h", title="24 hours", length_s=86_400, step_s=600, sampled_s=MINUTE_S),
        Span(name="7d", title="7 days", length_s=7 * 86_400, step_s=3_600, sampled_s=HOUR_S),
        Span(name="30d", title="30 days", length_s=30 * 86_400, step_s=6 * 3_600, sampled_s=HOUR_S),
    )
}


class Columns(Value, frozen=True, kw_only=True):
    """What was counted in each column, oldest first; `waiting` is how much waited at its end."""

    begins: tuple[int, ...]
    read: tuple[int, ...]
    sent: tuple[int, ...]
    failed: tuple[int, ...]
    waiting: tuple[int, ...]


def begin_of(span: Span, now: float) -> float:
    """When the first column begins: columns begin at whole steps."""
    return float((int(now) // span.step_s + 1) * span.step_s - span.length_s)


def columns(samples: Sequence[Sample], *, present: Sample, created_at: float, span: Span) -> Columns:
    """The columns of a span that ends now, at `present`.

    What was counted between two samples counts for the time of the later one: nothing is sampled where nothing changes.
    What was counted before the first sample of an older source is history, and in no column.
    """
    begin_at = begin_of(span, present.at)
    number = span.length_s // span.step_s
    first = _before(samples, begin_at, created_at) or present.counts
    before = first
    read, sent, failed = [0] * number, [0] * number, [0] * number
    waiting: list[int | None] = [None] * number
    for sample in (*(each for each in samples if each.at >= begin_at), present):
        column = min(int((sample.at - begin_at) // span.step_s), number - 1)
        read[column] += max(0, sample.counts.read - before.read)
        sent[column] += max(0, sample.counts.sent - before.sent)
        failed[column] += max(0, _failed(sample.counts) - _failed(before))
        waiting[column] = sample.counts.waiting
        before = sample.counts
    return Columns(
        begins=tuple(int(begin_at) + each * span.step_s for each in range(number)),
        read=tuple(read),
        sent=tuple(sent),
        failed=tuple(failed),
        waiting=tuple(_carried(waiting, first.waiting)),
    )


def since(drawn: Columns, created_at: float) -> Columns:
    """The columns since a source was added, `COLUMNS_MIN` at least: there is nothing to see before."""
    number = sum(each >= created_at for each in drawn.begins) + 1
    shown = slice(-min(max(number, COLUMNS_MIN), len(drawn.begins)), None)
    return Columns(**{name: getattr(drawn, name)[shown] for name in Columns.__struct_fields__})


def rate_per_minute(samples: Sequence[Sample], *, present: Sample, created_at: float) -> float:
    """Records sent a minute, lately: since the last sample that is a minute old.

    Where that one is far older nothing had changed in between, and all of it came in the last minute or two.
    """
    old = [each for each in samples if each.at <= present.at - RATE_S]
    begun = Sample(at=created_at, counts=Counts()) if created_at > present.at - 2 * RATE_S else present
    last = old[-1] if old else begun
    elapsed_s = min(max(present.at - last.at, RATE_S), 2 * RATE_S)
    return max(0, present.counts.sent - last.counts.sent) * 60.0 / elapsed_s


def _before(samples: Sequence[Sample], begin_at: float, created_at: float) -> Counts | None:
    """What had been counted when the span began; None if nobody knows."""
    if created_at >= begin_at:
        return Counts()
    return samples[0].counts if samples else None


def _failed(counts: Counts) -> int:
    """Records that did not go their way: each needs, or needed, a person."""
    return counts.dead_lettered + counts.quarantined + counts.discarded


def _carried(values: Sequence[int | None], first: int) -> list[int]:
    """Each gap filled with what was known last."""
    found, last = [], first
    for value in values:
        last = last if value is None else value
        found.append(last)
    return found
