"""What a group of units held, and the transaction that it becomes. Pure."""

from dataclasses import dataclass, field

from trailhook import body
from trailhook.cloudtrail.records import ReadRecords, Record
from trailhook.errors import Invalid
from trailhook.intake.cut import cut
from trailhook.intake.filter import Passes
from trailhook.model import Counts, NewQuarantined, Source, Unit, UnitEnd, UnitState
from trailhook.store.base import Commit


@dataclass(slots=True)
class Harvest:
    """What a group of units held, before the ledger has been asked."""

    records: list[Record] = field(default_factory=list)
    ends: list[UnitEnd] = field(default_factory=list)
    quarantined: list[NewQuarantined] = field(default_factory=list)
    filtered: int = 0
    large: list[tuple[Unit, bytes]] = field(default_factory=list)

    def take(self, unit: Unit, read: ReadRecords, passes: Passes) -> None:
        """Add what was read of a unit."""
        kept = [record for record in read.records if passes(record)]
        self.filtered += len(read.records) - len(kept)
        self.records += kept
        self.quarantined += [
            NewQuarantined(unit_id=unit.id, position=bad.position, reason=bad.reason, detail=bad.detail, body=bad.raw)
            for bad in read.bad
        ]


def commit_of(source: Source, token: int, harvest: Harvest, known: set[bytes]) -> Commit:
    """The intake transaction: what the ledger does not know (`known` is what it does), cut and frozen."""
    fresh: dict[bytes, Record] = {}
    for record in harvest.records:
        if record.key not in known:
            fresh.setdefault(record.key, record)
    batches = [
        body.freeze(group, source_id=source.id, options=source.delivery, batch_id=body.new_batch_id())
        for group in cut(fresh.values(), source.delivery, source_id=source.id)
    ]
    counts = Counts(
        read=len(harvest.records) + harvest.filtered + len(harvest.quarantined),
        filtered=harvest.filtered,
        duplicate=len(harvest.records) - len(fresh),
        quarantined=len(harvest.quarantined),
    )
    return Commit(
        source_id=source.id,
        token=token,
        keys=list(fresh),
        batches=batches,
        units=harvest.ends,
        quarantined=harvest.quarantined,
        counts=counts,
        last_event_at=max((record.at for record in harvest.records), default=None),
    )


def quarantined(unit: Unit, error: Invalid) -> UnitEnd:
    """The end of a unit that cannot be read."""
    return UnitEnd(unit_id=unit.id, state=UnitState.QUARANTINED, reason=error.reason, detail=str(error))


def progress(unit: Unit, taken: int, total: int) -> UnitEnd:
    """How a slice leaves a large unit: waiting for the next, or done."""
    state = UnitState.DONE if taken >= total else UnitState.WAITING
    return UnitEnd(unit_id=unit.id, state=state, records=taken, records_taken=taken)
