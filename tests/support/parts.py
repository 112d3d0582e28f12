"""Real parts on a fresh data directory, and ways to put into the store what AWS would have brought."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from support.clock import FakeClock
from trailhook import app
from trailhook.app import Parts
from trailhook.intake.harvest import Terms
from trailhook.intake.harvest import freeze as freeze_new
from trailhook.intake.reading import Bounds
from trailhook.model import Counts, FoundUnit, NewQuarantined, Unit, UnitEnd, UnitState
from trailhook.settings import Settings
from trailhook.store.base import Commit

ADMIN = "th_" + "admin" * 8  # a token of the tests' own


@asynccontextmanager
async def parts_on(path: Path, *, clock: FakeClock | None = None, **settings: Any) -> AsyncIterator[Parts]:
    """All parts, open, with `ADMIN` as the bootstrap token."""
    chosen = Settings(data_dir=path / "data", api_token=ADMIN, **settings)
    async with app.build(chosen, clock=clock or FakeClock(), announce=lambda _: None) as parts:
        yield parts


async def unit_of(parts: Parts, source_id: str, name: str = "log-1") -> Unit:
    """A unit of the source, leased."""
    await parts.store.add_units(source_id, [FoundUnit(intake="s3", place="logs", name=name)])
    units = await parts.store.lease_units(source_id, limit=1, bytes_max=10**6, lease_s=60)
    assert [unit.name for unit in units] == [name]
    return units[0]


async def freeze(parts: Parts, source_id: str, records: Sequence[dict[str, Any]], name: str = "log-1") -> str:
    """Take records in through a unit of that name and return the id of the batch they are frozen in."""
    unit = await unit_of(parts, source_id, name)
    source = await parts.store.source(source_id)
    data = msgspec.json.encode({"Records": records})
    terms = Terms.of(source)
    found = Bounds.of(parts.settings).judge(terms).whole(data).stretches
    (batch,) = freeze_new(terms, found, ())
    await parts.store.commit(
        Commit(
            source_id=source_id,
            token=unit.token,
            keys=[key for stretch in found for key in stretch.keys],
            batches=[batch],
            units=[UnitEnd(unit_id=unit.id, state=UnitState.DONE, records=batch.count, records_taken=batch.count)],
            counts=Counts(read=batch.count),
        )
    )
    return batch.id


async def quarantine_unit(parts: Parts, source_id: str, name: str = "broken-log") -> None:
    """A unit that could not be read."""
    unit = await unit_of(parts, source_id, name)
    end = UnitEnd(unit_id=unit.id, state=UnitState.QUARANTINED, reason="not_gzip", detail="no gzip file")
    await parts.store.commit(Commit(source_id=source_id, token=unit.token, units=[end]))


async def quarantine_record(parts: Parts, source_id: str, raw: bytes, name: str = "log-of-a-bad-record") -> None:
    """A record that could not be read."""
    unit = await unit_of(parts, source_id, name)
    bad = NewQuarantined(unit_id=unit.id, position=0, reason="not_json", detail="broken", body=raw)
    end = UnitEnd(unit_id=unit.id, state=UnitState.DONE, records=1, records_taken=1)
    commit = Commit(
        source_id=source_id,
        token=unit.token,
        units=[end],
        quarantined=[bad],
        counts=Counts(read=1, quarantined=1),
    )
    await parts.store.commit(commit)
