"""Whether it adds up: what the generator wrote against what the receiver took, the product's word left out."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table

from trailhook.demo.generator import EventKey
from trailhook.demo.receiver import Tally


@dataclass(frozen=True, slots=True)
class Written:
    """What went into the bucket. `distinct` is the SHA-256 of every distinct event."""

    files: int
    records: int
    distinct: Mapping[EventKey, bytes]


@dataclass(frozen=True, slots=True)
class Reckoning:
    """The two sets held against each other. All but the first two and the tally's harmless counts must be 0."""

    distinct: int
    received: int
    missing: int
    unexpected: int
    altered: int
    doubled: int
    bad_signatures: int
    unreadable: int

    @property
    def adds_up(self) -> bool:
        """Whether every event came, once, unaltered and signed, and nothing else did."""
        faults = (self.missing, self.unexpected, self.altered, self.doubled, self.bad_signatures, self.unreadable)
        return not any(faults)


def reckon(written: Mapping[EventKey, bytes], seen: Mapping[EventKey, bytes], tally: Tally) -> Reckoning:
    """Compare what was written with what was seen, event by event and byte for byte."""
    differing = sum(1 for key, digest in seen.items() if written.get(key, digest) != digest)
    return Reckoning(
        distinct=len(written),
        received=len(seen),
        missing=len(written.keys() - seen.keys()),
        unexpected=len(seen.keys() - written.keys()),
        altered=tally.altered + differing,
        doubled=tally.doubled,
        bad_signatures=tally.bad_signatures,
        unreadable=tally.unreadable,
    )


def summary(written: Written, reckoning: Reckoning, tally: Tally, product: Mapping[str, int]) -> Table:
    """The table shown at the end. `product` is what the product counts itself, only shown beside."""
    table = Table(title="Does it add up?", caption="The middle column decides; the product's own counts are beside it.")
    table.add_column("")
    table.add_column("written and received", justify="right")
    table.add_column("product", justify="right")
    rows: tuple[tuple[str, int, str], ...] = (
        ("events in", written.records, "read"),
        ("of them repeats by AWS", written.records - reckoning.distinct, "duplicate"),
        ("distinct events to send", reckoning.distinct, "sent"),
        ("distinct events received", reckoning.received, ""),
        ("missing", reckoning.missing, "waiting"),
        ("unexpected", reckoning.unexpected, ""),
        ("altered", reckoning.altered, ""),
        ("duplicates under another webhook-id", reckoning.doubled, ""),
        ("signature failures", reckoning.bad_signatures, ""),
        ("unreadable bodies", reckoning.unreadable, "deadLettered"),
        ("webhook-ids", tally.batches, ""),
        ("requests", tally.requests, ""),
        ("errors answered on purpose", tally.misbehaved, ""),
        ("retries of what was taken, dropped", tally.repeated, ""),
    )
    for label, count, name in rows:
        beside = f"{name} {product[name]:,}" if name in product else ""
        table.add_row(label, f"{count:,}", beside)
    return table
