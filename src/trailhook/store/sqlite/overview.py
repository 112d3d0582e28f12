"""What is asked of many sources at once, and how their counts have grown."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import apsw

from trailhook.errors import NotFound
from trailhook.model import Counts, Lane, SourceTotals
from trailhook.store.samples import DAYS_KEPT_MIN, HOUR_S, MINUTE_S, MINUTES_KEPT_S, QUIET_S_MAX, STEPS_S, Sample
from trailhook.store.sqlite.rows import Part, rows, value
from trailhook.store.sqlite.sending import lane_of
from trailhook.store.sqlite.sources import totals_of

DAY_S = 86_400
NAMES = Counts.__struct_fields__


class SqliteOverview(Part):
    """See `store.base.Overview`."""

    async def totals_of(self, source_ids: Collection[str]) -> Mapping[str, SourceTotals]:
        return await self._read(_totals, source_ids)

    async def sum_of_counts(self) -> Counts:
        return await self._read(_sum)

    async def lanes(self, keys: Collection[str]) -> Mapping[str, Lane]:
        return await self._read(_lanes, keys)

    async def sample(self) -> int:
        kept_s = max(self._limits.retention_days, DAYS_KEPT_MIN) * DAY_S
        return await self._write(_sample, self._clock.now(), {MINUTE_S: MINUTES_KEPT_S, HOUR_S: kept_s})

    async def samples(
        self, source_ids: Collection[str], *, step_s: int, since_at: float
    ) -> Mapping[str, Sequence[Sample]]:
        return await self._read(_samples, source_ids, step_s, since_at)


def _totals(db: apsw.Connection, source_ids: Collection[str]) -> dict[str, SourceTotals]:
    found = {}
    for source_id in source_ids:
        try:
            found[source_id] = totals_of(db, source_id)
        except NotFound:
            continue
    return found


def _sum(db: apsw.Connection) -> Counts:
    sums = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in NAMES)
    (row,) = rows(db, f"SELECT {sums} FROM totals")  # noqa: S608 - names of ours
    return Counts(**row)


def _lanes(db: apsw.Connection, keys: Collection[str]) -> dict[str, Lane]:
    return {key: lane_of(db, key) for key in keys}


def _sample(db: apsw.Connection, now: float, kept_s: Mapping[int, float]) -> int:
    taken = [_sample_by(db, step_s, now) for step_s in STEPS_S]
    for step_s in STEPS_S:
        oldest = int((now - kept_s[step_s]) // step_s)
        db.execute("DELETE FROM samples WHERE step_s = ? AND slot < ?", (step_s, oldest))
    return taken[0]


CHANGED = f"""
    INSERT OR IGNORE INTO samples (source, step_s, slot, at, {", ".join(NAMES)})
    SELECT t.source, :step_s, :slot, :now, {", ".join(f"t.{name}" for name in NAMES)}
    FROM totals t LEFT JOIN samples l ON l.source = t.source AND l.step_s = :step_s AND l.slot = (
        SELECT max(slot) FROM samples WHERE source = t.source AND step_s = :step_s
    )
    WHERE l.at IS NULL OR l.at <= :now - :quiet_s_max
        OR ({", ".join(f"l.{name}" for name in NAMES)}) <> ({", ".join(f"t.{name}" for name in NAMES)})"""  # noqa: S608


def _sample_by(db: apsw.Connection, step_s: int, now: float) -> int:
    wanted = {"step_s": step_s, "slot": int(now // step_s), "now": now, "quiet_s_max": QUIET_S_MAX}
    db.execute(CHANGED, wanted)
    return db.changes()


def _samples(db: apsw.Connection, source_ids: Collection[str], step_s: int, since_at: float) -> dict[str, list[Sample]]:
    return {source_id: _samples_of(db, source_id, step_s, since_at) for source_id in source_ids}


def _samples_of(db: apsw.Connection, source_id: str, step_s: int, since_at: float) -> list[Sample]:
    num = value(db, "SELECT num FROM sources WHERE id = ? AND doc IS NOT NULL", (source_id,))
    series: dict[str, Any] = {"source": num, "step_s": step_s, "since_at": since_at}
    found = rows(
        db,
        """SELECT * FROM samples WHERE source = :source AND step_s = :step_s AND slot >= coalesce((
            SELECT max(slot) FROM samples
            WHERE source = :source AND step_s = :step_s AND slot <= :since_at / :step_s AND at < :since_at
        ), 0) ORDER BY slot""",
        series,
    )
    return [Sample(at=row["at"], counts=Counts(**{name: row[name] for name in NAMES})) for row in found]
