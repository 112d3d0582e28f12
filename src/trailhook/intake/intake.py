"""The one loop that turns units into frozen batches.

    lease units ▸ read ▸ inflate ▸ split ▸ filter ▸ claim in the ledger ▸ cut ▸ freeze ▸ settle the units

Everything from the claim on is one transaction of the store: it happens or it does not. Many small units share a
transaction and their records share batches; a unit too large to hold is read twice, first to check it whole, then
to commit it in slices.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial

from trailhook.body import LaidOut
from trailhook.clock import Clock
from trailhook.conditions import condition_of, entered
from trailhook.errors import (
    FetchState,
    Held,
    Invalid,
    KeysTaken,
    LeaseLost,
    NeedsAttention,
    ReaderLost,
    TrailhookError,
    Transient,
    Unexplained,
)
from trailhook.intake.harvest import Harvest, Terms, commit_of, origins, progress, quarantined
from trailhook.intake.held import hand_back
from trailhook.intake.in_order import InOrder, Turn
from trailhook.intake.readers import Group, InHand, InThreads, Reader
from trailhook.intake.reading import Bounds, Fetched, count_large, sha256_of, slices_of
from trailhook.intake.repeats import Repeats
from trailhook.model import Condition, Job, NewBatch, Source, Unit, UnitState
from trailhook.queue.base import Queue
from trailhook.settings import Settings
from trailhook.sources.base import Access, Reading, WayIn
from trailhook.store.base import Commit, Store
from trailhook.telemetry import Metrics
from trailhook.tracing import UNTRACED, Steps, Tracing

log = logging.getLogger(__name__)

READ_RETRY_S = 5.0
"""First step of the backoff after a failed read of a unit; it doubles up to `backoff_s_max`."""
CLAIM_TRIES_MAX = 5
"""How often a claim that another worker overtook is made again before the units are handed back."""
ACTIVE = Condition(state=FetchState.ACTIVE)
BACKFILL_TURN_S = 10.0
"""Backfills are read so long before another source's turn comes, or one that was stopped is looked at again."""
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
        laid_out: LaidOut | None = None,
        tracing: Tracing = UNTRACED,
        reader: Reader | None = None,
    ) -> None:
        """`reader` reads groups of units, by default in threads."""
        self._store = store
        self._queue = queue
        self._ways = ways
        self._access = access
        self._tell = tell
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._rng = rng
        self._laid_out = laid_out
        self._tracing = tracing
        self._bounds = Bounds.of(settings)
        self._reader = reader or InThreads(self._bounds, laid_out)
        self._repeats = Repeats()

    async def run(self, source_id: str) -> None:
        """Take in whatever is due. Ends early, without harm, when the source is paused, full or gone.

        A source none of whose objects can be read is asked for one of them a run, until that works. One that has much
        to read lets others have their turn after `turn_s`, and is hinted again.
        """
        probed = False
        began_at = self._clock.now()
        async with InOrder(self._reader.groups) as groups:
            while True:
                if self._clock.now() - began_at > self._settings.turn_s:
                    await self._queue.hint(Job(kind="intake", source_id=source_id))
                    return
                source = await self._store.source(source_id)
                blocked = source.reading.state in BLIND
                if source.paused_at is not None or (blocked and probed):
                    return
                if await self._outbox_full(source, coming_bytes=groups.weight):
                    return
                probed = blocked
                steps = Steps(self._clock)
                with steps.step("lease"):
                    units = await self._store.lease_units(
                        source_id,
                        limit=1 if blocked else self._settings.group_units_max,
                        bytes_max=self._settings.group_bytes_max,
                        lease_s=self._settings.unit_lease_s,
                    )
                if not units:
                    return
                weight = sum(unit.size_bytes for unit in units)
                await groups.begin(partial(self._take_group, source, units, steps), weight=weight)
                if blocked:
                    await groups.end()

    async def read_back(self, source_id: str) -> None:
        """Take in what backfills found, for some seconds: only while nothing else is due, the source can be read, and
        little of it waits to be sent, for what is read now is sent before what happens next.
        """
        began_at = self._clock.now()
        while self._clock.now() - began_at <= BACKFILL_TURN_S:
            source = await self._store.source(source_id)
            if source.paused_at is not None or source.reading.state in BLIND or await self._outbox_busy(source):
                return
            steps = Steps(self._clock)
            with steps.step("lease"):
                units = await self._store.lease_units(
                    source_id,
                    limit=self._settings.group_units_max,
                    bytes_max=self._settings.group_bytes_max,
                    lease_s=self._settings.unit_lease_s,
                    backfill=True,
                )
            if not units:
                return
            await self._take_group(source, units, steps)

    async def _outbox_busy(self, source: Source) -> bool:
        totals = await self._store.totals(source.id)
        return totals.waiting_batches >= self._settings.backfill_batches_max or await self._outbox_full(source)

    async def _outbox_full(self, source: Source, *, coming_bytes: int = 0) -> bool:
        totals = await self._store.totals(source.id)
        return totals.waiting_bytes + coming_bytes >= self._settings.outbox_bytes_max

    async def _take_group(self, source: Source, units: Sequence[Unit], steps: Steps, turn: Turn | None = None) -> None:
        """Fetch and read a group at once, and commit what it holds when its turn comes."""

        async def arrive() -> None:
            if turn is not None:
                await turn()
            if not units[0].backfill:  # that old objects cannot be read says nothing of the new
                await self._note_reading(source.id, [result for _, result in results])

        try:
            results = await self._fetch(source, units, steps)
            fetched = [(unit, result) for unit, result in results if isinstance(result, (bytes, Invalid))]
            await self._take_fetched(source, fetched, steps, arrive)
        except LeaseLost:
            log.info("units were taken over by another worker", extra={"source": source.id})

    async def _take_fetched(
        self, source: Source, fetched: Sequence[tuple[Unit, bytes | Invalid]], steps: Steps, turn: Turn
    ) -> None:
        """When its reader is lost a group is read by halves, down to the one unit that no reader survives."""
        try:
            large = await self._take_small(source, fetched, steps, turn)
        except ReaderLost as error:
            if len(fetched) == 1:
                await self._put_off(source, fetched[0][0], error)
                return
            half = len(fetched) // 2
            for part in (fetched[:half], fetched[half:]):
                await self._take_fetched(source, part, steps.apart(), turn)
        else:
            for unit, data in fetched:
                if unit.id in large and isinstance(data, bytes):
                    await self._take_large(source, unit, data, steps.apart())

    async def _take_small(
        self, source: Source, fetched: Sequence[tuple[Unit, bytes | Invalid]], steps: Steps, turn: Turn
    ) -> Sequence[int]:
        """Take in what can be held; the ids of those units that cannot. Raises `ReaderLost`."""
        if not fetched:
            await turn()
            return ()
        backfill, keys_only = any(unit.backfill for unit, _ in fetched), self._repeats.mostly(source.id)
        terms = Terms.of(source, backfill=backfill, keys_only=keys_only)
        given = [Fetched.of(unit.id, unit.name, data) for unit, data in fetched]
        async with AsyncExitStack() as held:
            with steps.step("inflate and split"):
                group = await held.enter_async_context(self._reader.read(terms, given))
            await turn()
            if group.found.ends:
                await self._commit(source, fetched[0][0].token, group, steps.apart())
            return group.found.large

    async def _put_off(self, source: Source, unit: Unit, error: ReaderLost) -> None:
        if unit.attempts + 1 < self._settings.unit_refusals_max:
            await self._hand_back(source, unit, error)
            return
        invalid = Invalid("reader_lost", f"{error}; so it was {unit.attempts + 1} times")
        await self._commit(source, unit.token, self._ended(source, unit, invalid), Steps(self._clock))

    # ------------------------------------------------------------------------------------------------- reading

    async def _fetch(
        self, source: Source, units: Sequence[Unit], steps: Steps
    ) -> Sequence[tuple[Unit, bytes | TrailhookError]]:
        """Read every unit, and what came of it; those that cannot be read now are handed back."""
        answers = await self._unwrap(source, units, await self._read_all(source, units, steps))
        results = list(zip(units, answers, strict=True))
        for unit, result in results:
            if isinstance(result, (NeedsAttention, Transient)) and not isinstance(result, Held):
                await self._hand_back(source, unit, result)
        if held := [(unit, result) for unit, result in results if isinstance(result, Held)]:
            await hand_back(self._store, source, held, self._clock.now())
            await self._tell(source.id)
        return results

    async def _read_all(
        self, source: Source, units: Sequence[Unit], steps: Steps
    ) -> Sequence[bytes | Reading | TrailhookError]:
        try:
            access = self._access(source)
        except NeedsAttention as error:
            return [error] * len(units)
        room = asyncio.Semaphore(self._settings.aws_concurrency)

        async def read(unit: Unit) -> bytes | Reading | TrailhookError:
            async with room:
                try:
                    with steps.step("read", unit):
                        return await self._ways[unit.intake].read(access, unit)
                except Unexplained as error:
                    last = unit.attempts + 1 >= self._settings.unit_refusals_max
                    return Invalid("refused", f"{error} So it was {unit.attempts + 1} times.") if last else error
                except (Invalid, NeedsAttention, Transient) as error:
                    return error

        return await asyncio.gather(*map(read, units))

    async def _unwrap(
        self, source: Source, units: Sequence[Unit], results: Sequence[bytes | Reading | TrailhookError]
    ) -> Sequence[bytes | TrailhookError]:
        """Keep what readings left over, before what they did read is settled, and remember how far behind they are."""
        readings = [each for each in results if isinstance(each, Reading)]
        if rests := [each.rest for each in readings if each.rest is not None]:
            await self._store.add_units(source.id, rests)
        if readings and not units[0].backfill:
            await self._note_behind(source, max(each.behind_s for each in readings))
        return [each.data if isinstance(each, Reading) else each for each in results]

    async def _note_behind(self, source: Source, behind_s: float) -> None:
        """To the minute: it is for people."""
        whole_minutes_s = behind_s // 60 * 60

        def change(source: Source) -> tuple[Source, Sequence[NewBatch]]:
            return source if source.behind_s == whole_minutes_s else source.but(behind_s=whole_minutes_s), ()

        if source.behind_s != whole_minutes_s:
            await self._store.change_source(source.id, change)

    async def _hand_back(self, source: Source, unit: Unit, error: NeedsAttention | Transient) -> None:
        """Try it again later. While none of the source's can be read that is no later than it is looked at: once a
        person has mended it, all of it goes on.
        """
        asked_s = error.retry_after_s if isinstance(error, Transient) else None
        well = source.reading.state == FetchState.ACTIVE
        most_s = self._settings.backoff_s_max if well else max(source.interval_s, 60.0)
        ceiling_s = min(most_s, self._settings.backoff_s_max, READ_RETRY_S * 2 ** min(unit.attempts, 20))
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

    async def _note_reading(self, source_id: str, results: Sequence[bytes | TrailhookError]) -> None:
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
        present = (await self._store.source(source_id)).reading
        if entered(present, condition) is present:
            return

        def change(source: Source) -> tuple[Source, Sequence[NewBatch]]:
            return source.but(reading=entered(source.reading, condition)), ()

        await self._store.change_source(source_id, change)
        await self._tell(source_id)

    # --------------------------------------------------------------------------------------------- large units

    async def _take_large(self, source: Source, unit: Unit, data: bytes, steps: Steps) -> None:
        """Pass 1 reads the unit to its end and keeps nothing; only then pass 2 commits it slice by slice."""
        terms = Terms.of(source, backfill=unit.backfill)
        try:
            with steps.step("check", unit):
                total = await asyncio.to_thread(count_large, data, self._bounds)
                sha256 = await asyncio.to_thread(sha256_of, data, terms, self._bounds)
        except Invalid as error:
            await self._commit(source, unit.token, self._ended(source, unit, error), steps)
            return
        slices = slices_of(data, terms, self._bounds, skip=unit.records_taken)
        taken = unit.records_taken
        while True:
            so_far = steps.apart()
            with so_far.step("slice", unit):
                read = await asyncio.to_thread(next, slices, None)
                if read is None:
                    break
                taken += read.elements
                harvest = Harvest(ends=[progress(unit.id, taken, total).but(sha256=sha256)])
                harvest.take(unit.id, read)
            await self._commit(source, unit.token, InHand(terms, harvest, self._laid_out), so_far)
            del read, harvest  # or two slices would be held while the next is read
            if taken < total and await self._outbox_full(source):
                await self._store.postpone_units(
                    source.id, unit.token, [unit.id], due_at=self._clock.now(), detail="outbox full", attempt=False
                )
                return
        if taken == unit.records_taken:
            end = progress(unit.id, total, total).but(sha256=sha256)
            await self._commit(source, unit.token, InHand(terms, Harvest(ends=[end])), steps)

    def _ended(self, source: Source, unit: Unit, error: Invalid) -> Group:
        """A unit that cannot be read, as a group of its own."""
        return InHand(Terms.of(source), Harvest(ends=[quarantined(unit.id, error)]))

    # -------------------------------------------------------------------------------------------- transaction

    async def _commit(self, source: Source, token: int, group: Group, steps: Steps) -> None:
        """Claim, cut, freeze and settle. Made again when some of it turns out to be known."""
        for _ in range(CLAIM_TRIES_MAX):
            try:
                with steps.step("claim and commit"):
                    known = await self._known(source.id, group.found.keys)
                    batches = await group.freeze(known)
                    commit = commit_of(source.id, token, group.found, known, batches)
                    await self._store.commit(commit)
            except KeysTaken:
                self._repeats.met(source.id)
                continue
            self._count(source.id, commit)
            if commit.batches:
                await self._queue.hint(Job(kind="deliver", source_id=source.id))
            if self._tracing.on:
                for batch, unit_ids in origins(group.found, commit):
                    self._tracing.frozen(source.id, batch, steps.of(unit_ids))
            return
        raise LeaseLost("other workers kept claiming the same records")

    async def _known(self, source_id: str, keys: Sequence[bytes]) -> Collection[bytes]:
        """What the ledger knows of these keys, as far as it is worth asking."""
        if not self._repeats.expected(source_id):
            return ()
        known = await self._store.known_keys(source_id, keys)
        self._repeats.looked(source_id, keys, known)
        return known

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
