"""The values that travel through Trailhook: frozen, plain, free of behaviour that touches the outside.

Follow the data: a `Source` is polled and yields `FoundUnit`s; the store keeps them as `Unit`s; intake reads a
unit's records and freezes the new ones into `NewBatch`es; the store keeps those as `Batch`es; delivery sends
them and writes an `Attempt` each time. `Counts` must always add up (see `Counts.balanced`).
"""

from trailhook.model.batch import Attempt, Batch, BatchKind, BatchState, Job, Lane, NewBatch
from trailhook.model.source import (
    Compression,
    Condition,
    Counts,
    Credentials,
    DeliveryOptions,
    EventFormat,
    Filter,
    Format,
    Silence,
    Source,
    SourceTotals,
    Untold,
)
from trailhook.model.unit import (
    FoundUnit,
    NewQuarantined,
    Quarantined,
    QuarantineKind,
    Rhythm,
    Unit,
    UnitEnd,
    UnitState,
    Watermark,
)
from trailhook.model.value import Value

__all__ = [
    "Attempt",
    "Batch",
    "BatchKind",
    "BatchState",
    "Compression",
    "Condition",
    "Counts",
    "Credentials",
    "DeliveryOptions",
    "EventFormat",
    "Filter",
    "Format",
    "FoundUnit",
    "Job",
    "Lane",
    "NewBatch",
    "NewQuarantined",
    "QuarantineKind",
    "Quarantined",
    "Rhythm",
    "Silence",
    "Source",
    "SourceTotals",
    "Unit",
    "UnitEnd",
    "UnitState",
    "Untold",
    "Value",
    "Watermark",
]
