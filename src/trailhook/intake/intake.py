"""The one loop that turns units into frozen batches.

    lease units ▸ read ▸ inflate ▸ split ▸ filter ▸ claim in the ledger ▸ cut ▸ freeze ▸ settle the units

Everything from the claim on is one transaction of the store: it happens or it does not. Many small units share a
transaction and their records share batches; a unit too large to hold is read twice, first to check it whole, then
to commit it in slices.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from trailhook.clock import Clock
from trailhook.cloudtrail.records import ReadRecords, read_records, read_slices
from trailhook.conditions import condition_of, entered
from trailhook.errors import (
    FetchState,
    Invalid,
    KeysTaken,
    LeaseLost,
    NeedsAttention,
    TrailhookError,
    Transient,
    Unexplained,
)
from trailhook.intake.filter import compile_filter
from trailhook.intake.harvest import Harvest, commit_of, progress, quarantined
from trailhook.intake.inflate import TooLargeToHold, inflate, inflate_chunks
from trailhook.model import Condition, Job, NewBatch, Source, Unit, UnitEnd, UnitState
from trailhook.queue.base import Queue
from trailhook.settings import Settings
from trailhook.sources.base import Access, Reading, WayIn
from trailhook.store.base import Commit, Store
from trailhook.telemetry import Metrics

log = logging.getLogger(__name__)

READ_RETRY_S = 5.0
"""First step of the backoff after a failed read of a unit; it doubles up to `backoff_s_max`."""
CLAIM_TRIES_MAX = 5
"""How often a claim that another worker overtook is made again before the units are handed back."""
ACTIVE = Condition(state=FetchState.ACTIVE)
BLIND = frozenset({FetchState.CLOCK_SKEWED, FetchState.CREDENTIALS_EXPIRED, FetchState.CREDENTIALS_INVALID})
"""In these states no object of a source can be read; in the others another object may well be."""


class Intake:
    """Reads the units of one source at a time until none is due."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        ways: Mapping[str, WayIn],
        access: Callable[[Source], Access],
        tell: Callable[[str], Awaitable[None]],
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        rng: random.Random,
    ) -> None:
        self._store = store
        self._queue = queue
        self._ways = ways
        self._access = access
        self._tell = tell
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._rng = rng

    async def run(self, source_id: str) -> None:
        """Take in whatever is due. Ends early, without harm, when the source is paused, full or gone.

        A source none of whose objects can be read is asked for one of them a run, until that works. One that has much
        to read lets others have their turn after `turn_s`, and is hinted again.
        """
        probed = False
        began_at = self._clock.now()
        while True:
            if self._clock.now() - began_at > self._settings.turn_s:
                await self._queue.hint(Job(kind="intake", source_id=source_id))
                return
            source = await self._store.source(source_id)
            blocked = source.reading.state in BLIND
            if source.paused_at is not None or (blocked and probed) or await self._outbox_full(source):
                return
            probed = blocked
            units = await self._store.lease_units(
                source_id,
                limit=1 if blocked else self._settings.group_units_max,
                bytes_max=self._settings.group_bytes_max,
                lease_s=self._settings.unit_lease_s,
            )
            if not units:
                return
            try:
                await self._take_group(source, units)
            except LeaseLost:
                log.info("units were taken over by another worker", extra={"source": source_id})

    async def _outbox_full(self, source: Source) -> bool:
        totals = await self._store.totals(source.id)
        return totals.waiting_bytes >= self._settings.outbox_bytes_max

    async def _take_group(self, source: Source, units: Sequence[Unit]) -> None:
        fetched = await self._fetch(source, units)
        harvest = await asyncio.to_thread(self._harvest, source, fetched)
        if harvest.ends or harvest.records:
            await self._commit(source, units[0].token, harvest)
        for unit, data in harvest.large:
            await self._take_large(source, unit, data)

    # ------------------------------------------------------------------------------------------------- reading

    async def _fetch(self, source: Source, units: Sequence[Unit]) -> list[tuple[Unit, bytes | Invalid]]:
        """Read every unit; those that cannot be read now are handed back, the others are returned."""
        answers = await self._unwrap(source, await self._read_all(source, units))
        results = list(zip(units, answers, strict=True))
        for unit, result in results:
            if isinstance(result, (NeedsAttention, Transient)):
                await self._hand_back(unit, result)
        await self._note_reading(source, [result for _, result in results])
        return [(unit, result) for unit, result in results if isinstance(result, (bytes, Invalid))]

    async def _read_all(self, source: Source, units: Sequence[Unit]) -> Sequence[bytes | Reading | TrailhookError]:
        try:
            access = self._access(source)
        except NeedsAttention as error:
            return [error] * len(units)
        room = asyncio.Semaphore(self._settings.aws_concurrency)

        async def read(unit: Unit) -> bytes | Reading | TrailhookError:
            async with room:
                try:
                    return await self._ways[unit.intake].read(access, unit)
                except Unexplained as error:
                    last = unit.attempts + 1 >= self._settings.unit_refusals_max
                    return Invalid("refused", f"{error} So it was {unit.attempts + 1} times.") if last else error
                except (Invalid, NeedsAttention, Transient) as error:
                    return error

        return await asyncio.gather(*map(read, units))

    async def _unwrap(
        self, source: Source, results: Sequence[bytes | Reading | TrailhookError]
    ) -> Sequence[bytes | TrailhookError]:
        """Keep what readings left over, before what they did read is settled, and remember how far behind they are."""
        readings = [each for each in results if isinstance(each, Reading)]
        if rests := [each.rest for each in readings if each.rest is not None]:
            await self._store.add_units(source.id, rests)
        if readings:
            await self._note_behind(source, max(each.behind_s for each in readings))
        return [each.data if isinstance(each, Reading) else each for each in results]

    async def _note_behind(self, source: Source, behind_s: float) -> None:
        """To the minute: it is for people."""
        whole_minutes_s = behind_s // 60 * 60

        def change(source: Source) -> tuple[Source, Sequence[NewBatch]]:
            return source if source.behind_s == whole_minutes_s else source.but(behind_s=whole_minutes_s), ()

        if source.behind_s != whole_minutes_s:
            await self._store.change_source(source.id, change)

    async def _hand_back(self, unit: Unit, error: NeedsAttention | Transient) -> None:
        asked_s = error.retry_after_s if isinstance(error, Transient) else None
        ceiling_s = min(self._settings.backoff_s_max, READ_RETRY_S * 2 ** min(unit.attempts, 20))
        wait_s = min(asked_s or self._rng.uniform(min(1.0, ceiling_s), ceiling_s), self._settings.backoff_s_max)
        await self._store.postpone_units(
            unit.source_id,
            unit.token,
            [unit.id],
            due_at=self._clock.now() + wait_s,
            detail=str(error),
            attempt=not (isinstance(error, NeedsAttention) and error.state in BLIND),
        )
        self._metrics.object(unit.source_id, "postponed")

    async def _note_reading(self, source: Source, results: Sequence[bytes | TrailhookError]) -> None:
        """Denied (or not found there) on one object is its own affair; on all of them it is the source's."""
        blocked = [each for each in results if isinstance(each, NeedsAttention)]
        credentials = [each for each in blocked if each.state in BLIND]
        answered = any(not isinstance(each, (NeedsAttention, Transient)) for each in results)
        if credentials:
            condition = condition_of(credentials[0], self._clock.now())
        elif blocked and not answered:
            condition = condition_of(blocked[0], self._clock.now())
        elif answered:
            condition = ACTIVE.but(since_at=self._clock.now())
        else:
            return
        if entered(source.reading, condition) is source.reading:
            return

        def change(source: Source) -> tuple[Source, Sequence[NewBatch]]:
            return source.but(reading=entered(source.reading, condition)), ()

        await self._store.change_source(source.id, change)
        await self._tell(source.id)

    def _harvest(self, source: Source, fetched: Sequence[tuple[Unit, bytes | Invalid]]) -> Harvest:
        """Inflate, split and filter; runs in a thread."""
        harvest = Harvest()
        passes = compile_filter(source.filter)
        for unit, data in fetched:
            try:
                read = self._read_small(source, data)
            except TooLargeToHold:
                assert isinstance(data, bytes)  # noqa: S101 - only bytes can be too large to hold
                harvest.large.append((unit, data))
            except Invalid as error:
                harvest.ends.append(quarantined(unit, error))
            except Exception as error:
                log.exception("a unit could not be read", extra={"source": source.id, "unit": unit.name})
                harvest.ends.append(quarantined(unit, Invalid("unexpected", type(error).__name__)))
            else:
                harvest.take(unit, read, passes)
                count = len(read.records) + len(read.bad)
                harvest.ends.append(UnitEnd(unit_id=unit.id, state=UnitState.DONE, records=count, records_taken=count))
        return harvest

    def _read_small(self, source: Source, data: bytes | Invalid) -> ReadRecords:
        if isinstance(data, Invalid):
            raise data
        plain = inflate(data, bytes_max=self._settings.small_unit_bytes_max, ratio_max=self._settings.inflate_ratio_max)
        return read_records(
            plain,
            scope=source.id.encode(),
            depth_max=self._settings.record_depth_max,
            record_bytes_max=self._settings.record_bytes_max,
            bad_records_max=self._settings.bad_records_max,
        )

    # --------------------------------------------------------------------------------------------- large units

    async def _take_large(self, source: Source, unit: Unit, data: bytes) -> None:
        """Pass 1 reads the unit to its end and keeps nothing; only then pass 2 commits it slice by slice."""
        try:
            total = await asyncio.to_thread(self._count_large, source, data)
        except Invalid as error:
            await self._commit(source, unit.token, Harvest(ends=[quarantined(unit, error)]))
            return
        passes = compile_filter(source.filter)
        slices = self._slices(source, data, skip=unit.records_taken)
        taken = unit.records_taken
        while (read := await asyncio.to_thread(next, slices, None)) is not None:
            taken += len(read.records) + len(read.bad)
            harvest = Harvest(ends=[progress(unit, taken, total)])
            await asyncio.to_thread(harvest.take, unit, read, passes)
            await self._commit(source, unit.token, harvest)
            del read, harvest  # or two slices would be held while the next is read
            if taken < total and await self._outbox_full(source):
                await self._store.postpone_units(
                    source.id, unit.token, [unit.id], due_at=self._clock.now(), detail="outbox full", attempt=False
                )
                return
        if taken == unit.records_taken:
            await self._commit(source, unit.token, Harvest(ends=[progress(unit, total, total)]))

    def _count_large(self, source: Source, data: bytes) -> int:
        return sum(len(read.records) + len(read.bad) for read in self._slices(source, data))

    def _slices(self, source: Source, data: bytes, *, skip: int = 0) -> Iterator[ReadRecords]:
        return read_slices(
            inflate_chunks(data, ratio_max=self._settings.inflate_ratio_max),
            scope=source.id.encode(),
            depth_max=self._settings.record_depth_max,
            record_bytes_max=self._settings.record_bytes_max,
            slice_records_max=self._settings.slice_records_max,
            bad_records_max=self._settings.bad_records_max,
            skip=skip,
        )

    # -------------------------------------------------------------------------------------------- transaction

    async def _commit(self, source: Source, token: int, harvest: Harvest) -> None:
        """Claim, cut, freeze and settle. Made again from the claim when another worker was faster."""
        for _ in range(CLAIM_TRIES_MAX):
            known = await self._store.known_keys(source.id, [record.key for record in harvest.records])
            commit = await asyncio.to_thread(commit_of, source, token, harvest, known)
            try:
                await self._store.commit(commit)
            except KeysTaken:
                continue
            self._count(source.id, commit)
            if commit.batches:
                await self._queue.hint(Job(kind="deliver", source_id=source.id))
            return
        raise LeaseLost("other workers kept claiming the same records")

    def _count(self, source_id: str, commit: Commit) -> None:
        for outcome in ("read", "filtered", "duplicate", "quarantined"):
            self._metrics.events(source_id, outcome, getattr(commit.counts, outcome))
        for end in commit.units:
            if end.state is not UnitState.WAITING:
                self._metrics.object(source_id, end.state)
        reasons = [end.reason for end in commit.units if end.state is UnitState.QUARANTINED]
        reasons += [record.reason for record in commit.quarantined]
        if reasons:
            told = {"source": source_id, "reasons": ", ".join(sorted(set(reasons)))}
            log.warning("unreadable, now in quarantine: %d", len(reasons), extra=told)
