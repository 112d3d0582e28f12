"""What a group of units held, and the transaction that it becomes. Pure."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Self

from trailhook import body
from trailhook.cloudtrail.records import ReadRecords, with_fields
from trailhook.cloudtrail.stretch import Stretch
from trailhook.errors import Invalid
from trailhook.intake.cut import cut
from trailhook.intake.redact import compile_redaction, redacted
from trailhook.model import (
    Counts,
    DeliveryOptions,
    Filter,
    NewBatch,
    NewQuarantined,
    Source,
    UnitEnd,
    UnitState,
    Value,
)
from trailhook.store.base import Commit


class Terms(Value, frozen=True, kw_only=True):
    """How a source wants its records read and frozen: all that must be known of it where that is done."""

    source_id: str
    filter: Filter | None
    delivery: DeliveryOptions
    verify_integrity: bool
    backfill: bool
    """Whether the units are a backfill's."""
    keys_only: bool = False
    """Whether most of it is known already, as far as can be told: then the rest of it is read once that is sure."""

    @classmethod
    def of(cls, source: Source, *, backfill: bool = False, keys_only: bool = False) -> Self:
        return cls(
            source_id=source.id,
            filter=source.filter,
            delivery=source.delivery,
            verify_integrity=source.verify_integrity,
            backfill=backfill,
            keys_only=keys_only,
        )


class Found(Value, frozen=True, kw_only=True):
    """What a group of units held, its records by their keys only."""

    keys: Sequence[bytes] = ()
    """Of the records that pass the filter, in their order, those of repeats as often as they occur."""
    ends: Sequence[UnitEnd] = ()
    quarantined: Sequence[NewQuarantined] = ()
    filtered: int = 0
    last_event_at: int | None = None
    large: Sequence[int] = ()
    """The ids of units that are too large to be held."""
    shares: Sequence[tuple[int, int]] = ()
    """Whose the records are: a unit's id and how many, in their order."""


@dataclass(slots=True)
class Harvest:
    """What a group of units held, before the ledger has been asked."""

    stretches: list[Stretch] = field(default_factory=list)
    ends: list[UnitEnd] = field(default_factory=list)
    quarantined: list[NewQuarantined] = field(default_factory=list)
    filtered: int = 0
    large: list[int] = field(default_factory=list)
    shares: list[tuple[int, int]] = field(default_factory=list)

    def take(self, unit_id: int, read: ReadRecords) -> None:
        """Add what was read of a unit."""
        self.stretches += read.stretches
        self.filtered += read.filtered
        self.shares.append((unit_id, read.kept))
        self.quarantined += [
            NewQuarantined(unit_id=unit_id, position=bad.position, reason=bad.reason, detail=bad.detail, body=bad.raw)
            for bad in read.bad
        ]

    def found(self) -> Found:
        """The same without the records."""
        return Found(
            keys=list(chain.from_iterable([stretch.keys for stretch in self.stretches])),
            ends=self.ends,
            quarantined=self.quarantined,
            filtered=self.filtered,
            last_event_at=max((max(stretch.times) for stretch in self.stretches), default=None),
            large=self.large,
            shares=self.shares,
        )


def freeze(
    terms: Terms, stretches: Iterable[Stretch], known: Collection[bytes], laid_out: body.LaidOut | None = None
) -> list[NewBatch]:
    """The batches of what the ledger does not know (`known` is what it does), redacted, cut and frozen."""
    redact = compile_redaction(terms.filter.redact) if terms.filter else None
    fresh = map(with_fields, unknown(stretches, known))
    going = [body.as_sent(redacted(each, redact), terms.delivery) for each in fresh]
    return [
        body.freeze(
            group, source_id=terms.source_id, options=terms.delivery, batch_id=body.new_batch_id(), laid_out=laid_out
        ).but(backfill=terms.backfill)
        for group in cut(going, terms.delivery, source_id=terms.source_id)
    ]


def unknown(stretches: Iterable[Stretch], known: Collection[bytes]) -> Iterator[Stretch]:
    """What of the stretches is neither `known` nor a repeat of what comes before."""
    seen = set(known)
    for stretch in stretches:
        keys = set(stretch.keys)
        if len(keys) == len(stretch) and seen.isdisjoint(keys):
            seen |= keys
            yield stretch
        elif not seen.issuperset(keys):
            yield stretch.chosen([_is_first(key, seen) for key in stretch.keys])


def _is_first(key: bytes, seen: set[bytes]) -> bool:
    if key in seen:
        return False
    seen.add(key)
    return True


def commit_of(
    source_id: str, token: int, found: Found, known: Collection[bytes], batches: Sequence[NewBatch]
) -> Commit:
    """The intake transaction of what was found and of the batches that were frozen of it: see `freeze`."""
    fresh = list(dict.fromkeys([key for key in found.keys if key not in known] if known else found.keys))
    return Commit(
        source_id=source_id,
        token=token,
        keys=fresh,
        batches=batches,
        units=found.ends,
        quarantined=found.quarantined,
        counts=Counts(
            read=len(found.keys) + found.filtered + len(found.quarantined),
            filtered=found.filtered,
            duplicate=len(found.keys) - len(fresh),
            quarantined=len(found.quarantined),
        ),
        last_event_at=found.last_event_at,
    )


def origins(found: Found, commit: Commit) -> Iterator[tuple[NewBatch, set[int]]]:
    """Each batch of the transaction with the ids of the units that its records are of."""
    unit_ids: dict[bytes, int] = {}
    of_records = iter(found.keys)
    for unit_id, count in found.shares:
        for key in islice(of_records, count):
            unit_ids.setdefault(key, unit_id)
    keys = iter(commit.keys)  # as many as the batches hold, in their order
    for batch in commit.batches:
        yield batch, {unit_ids[key] for key in islice(keys, batch.count)}


def quarantined(unit_id: int, error: Invalid) -> UnitEnd:
    """The end of a unit that cannot be read."""
    return UnitEnd(unit_id=unit_id, state=UnitState.QUARANTINED, reason=error.reason, detail=str(error))


def progress(unit_id: int, taken: int, total: int) -> UnitEnd:
    """How a slice leaves a large unit: waiting for the next, or done."""
    state = UnitState.DONE if taken >= total else UnitState.WAITING
    return UnitEnd(unit_id=unit_id, state=state, records=taken, records_taken=taken)
