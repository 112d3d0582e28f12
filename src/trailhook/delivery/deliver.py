"""The one loop that turns batches into deliveries.

    lease ▸ sign ▸ send ▸ judge the answer ▸ move the lane ▸ settle, schedule, split or bury

What a receiver has taken is settled in one transaction with the next lease, most batches of a busy source in pairs or
more; all that failed is settled at once and by itself, for then the lane decides what becomes of it.

A request is signed anew at every attempt, its bytes never change. What an answer means is decided in `outcome`,
what it does to the callback's breaker in `breaker`, what it does to the batch in `settle`: all pure.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

from trailhook import body
from trailhook.clock import Clock
from trailhook.conditions import NEEDS_ATTENTION
from trailhook.delivery import breaker, settle
from trailhook.delivery.headers import kept_of_request
from trailhook.delivery.outcome import Outcome, Verdict, judge
from trailhook.delivery.outgoing import Outgoing
from trailhook.errors import Invalid, KeyUnavailable, LeaseLost, TrailhookError
from trailhook.model import Attempt, Batch, BatchKind, BatchState, Condition, Lane, NewBatch, Source, Value
from trailhook.net.base import Answer, Request, Transport
from trailhook.security.secrets import SourceSecrets
from trailhook.settings import Settings
from trailhook.store.base import Settlement, Store, Turn
from trailhook.telemetry import Metrics
from trailhook.tracing import UNTRACED, Tracing

log = logging.getLogger(__name__)

HOLD = Condition(
    state=NEEDS_ATTENTION,
    reason="The dead letters of this source have reached their size limit.",
    remedy="Retry or discard dead letters, or raise TRAILHOOK_DEAD_LETTER_BYTES_MAX.",
)


class _Taken(Value, frozen=True, kw_only=True):
    """A batch that its receiver has taken and that is not settled yet."""

    source: Source
    """As it was when it was sent."""
    batch: Batch
    verdict: Verdict
    settlement: Settlement


class Deliverer:
    """Sends the batches of one source at a time, several in flight, as its lane allows."""

    def __init__(
        self,
        *,
        store: Store,
        transport: Transport,
        secrets: SourceSecrets,
        tell: Callable[[str], Awaitable[None]],
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        rng: random.Random,
        laid_out: body.LaidOut | None = None,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._store = store
        self._transport = transport
        self._secrets = secrets
        self._tell = tell
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._rng = rng
        self._laid_out = laid_out or body.LaidOut(0)
        self._outgoing = Outgoing(store, self._laid_out, secrets, settings, clock)
        self._tracing = tracing

    async def run(self, source_id: str) -> None:
        """Send whatever is due. Ends when nothing is, when the lane, the user or a full list says wait, or after
        `turn_s`, for others to have their turn: what is still due is hinted by the sweep.

        When cancelled it starts nothing more and gives requests in flight `shutdown_s` to end and be settled.
        """
        if await self._held(await self._store.source(source_id)):
            return
        stop = asyncio.Event()
        sending = asyncio.create_task(self._send_all(source_id, stop))
        try:
            await asyncio.shield(sending)
        finally:
            stop.set()
            await asyncio.wait((sending,), timeout=self._settings.shutdown_s)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send_all(self, source_id: str, stop: asyncio.Event) -> None:
        """Lease and send, and settle what was taken together with the next lease. No lease once `stop` is set."""
        in_flight: set[asyncio.Task[_Taken | BatchState | None]] = set()
        # Those in flight that have ended: they stay there until what came of them is settled.
        done: set[asyncio.Task[_Taken | BatchState | None]] = set()
        began_at = self._clock.now()
        held = False
        try:
            while True:
                ended = [task.result() for task in done]
                taken = [each for each in ended if isinstance(each, _Taken)]
                if BatchState.DEAD in ended:
                    held = await self._held(await self._store.source(source_id))
                over = held or stop.is_set() or self._clock.now() - began_at > self._settings.turn_s
                if taken or not over:
                    turn = await self._turn(source_id, taken, None if over else len(in_flight - done))
                    in_flight |= {asyncio.create_task(self._deliver(turn, batch, stop)) for batch in turn.batches}
                in_flight -= done
                if not in_flight:
                    return
                await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(0)  # what else has been answered by now shares the trip
                done = {task for task in in_flight if task.done()}
        finally:
            await self._leave(in_flight, stop)

    async def _leave(self, in_flight: set[asyncio.Task[_Taken | BatchState | None]], stop: asyncio.Event) -> None:
        """After a fault: what is in flight ends and is settled, each for itself. It ends at once if `stop` is set."""

        async def end(task: asyncio.Task[_Taken | BatchState | None]) -> None:
            if stop.is_set():
                task.cancel()
            if isinstance(taken := await task, _Taken):
                await self._turn(taken.batch.source_id, [taken], None)

        await asyncio.gather(*(end(task) for task in in_flight), return_exceptions=True)

    async def _held(self, source: Source) -> bool:
        """Whether the list of dead letters is full, and the source says so."""
        totals = await self._store.totals(source.id)
        full = totals.dead_bytes >= self._settings.dead_letter_bytes_max
        if full != (source.hold is not None):
            hold = HOLD.but(since_at=self._clock.now()) if full else None

            def change(source: Source) -> tuple[Source, Sequence[NewBatch]]:
                return source.but(hold=hold), ()

            await self._store.change_source(source.id, change)
            await self._tell(source.id)
        return full

    async def _turn(self, source_id: str, taken: Sequence[_Taken], in_flight: int | None) -> Turn:
        """Settle what was taken, move the lane by it, and lease what may fly beside `in_flight` (None: nothing)."""
        now = self._clock.now()
        state = ""

        def plan(source: Source, lane: Lane) -> tuple[Lane, int]:
            nonlocal state
            state = lane.condition.state
            for each in taken:
                if each.source.lane == source.lane:
                    lane = breaker.after(lane, each.verdict, now, self._settings.in_flight_max, self._rng)
            return lane, 0 if in_flight is None else self._room(source, lane, now) - in_flight

        settlements = [(each.batch, each.settlement) for each in taken]
        turn = await self._store.settle_and_lease(
            source_id, settlements, plan, lease_s=self._settings.batch_lease_s, held=self._laid_out.holds
        )
        for each in taken:
            self._settled(each.batch, None if each.batch.id in turn.lost else each.settlement)
            if each.source.lane != turn.source.lane:  # the callback was changed under the request
                await self._move_lane(each.source, each.verdict)
        if turn.lane.condition.state != state:
            await self._tell(source_id)
        if turn.batches and turn.lane.open and not await self._claim_probe(turn.source.lane):
            for batch in turn.batches:
                await self._settle(batch, Settlement(state=BatchState.WAITING))
            return turn.but(batches=())
        return turn

    def _room(self, source: Source, lane: Lane, now: float) -> int:
        """How many requests of a source may be in flight."""
        if source.paused_at is not None:
            return 0
        limit = breaker.permit(lane, now, self._settings.in_flight_max).limit
        return min(limit, 1) if source.delivery.ordered else limit

    async def _claim_probe(self, key: str) -> bool:
        """The right to send the one request that an open lane allows: whoever moves the lane first has it."""
        claimed = False

        def change(present: Lane) -> Lane:
            nonlocal claimed
            after = breaker.claim_probe(present, self._clock.now(), self._settings.batch_lease_s)
            claimed = after is not present
            return after

        await self._store.change_lane(key, change)
        return claimed

    async def ping(self, source: Source, notice: NewBatch) -> Verdict:
        """Send a notice once, signed like any batch, and judge the answer. Nothing of it is kept, no lane moves.

        Raises `KeyUnavailable`.
        """
        request = self._outgoing.request(source, notice, body.wire(notice), attempt=1)
        return await self._send(request, self._secrets.headers(source))

    # ------------------------------------------------------------------------------------------- one delivery

    async def _deliver(self, turn: Turn, batch: Batch, stop: asyncio.Event) -> _Taken | BatchState | None:
        """Send it once. What was taken is yet to be settled; all else is, in the state returned (None if it was taken
        over elsewhere). Nothing is sent once `stop` is set.
        """
        source = turn.source
        if stop.is_set():
            return await self._settle(batch, Settlement(state=BatchState.WAITING))
        span = self._tracing.attempt(batch)
        try:
            wire = await self._outgoing.wire(batch)
            request = self._outgoing.request(source, batch, wire, attempt=batch.attempts + 1, span=span)
        except Invalid as error:
            return await self._bury(batch, str(error))
        except LeaseLost:
            return self._settled(batch, None)
        except KeyUnavailable as error:
            log.error("cannot sign: %s", error, extra={"source": source.id, "batch": batch.id})
            return await self._settle(batch, Settlement(state=BatchState.WAITING, due_at=self._clock.now() + 60.0))
        started_at = self._clock.now()
        own = self._secrets.headers(source)
        verdict = await self._send(request, own)
        took_s = max(0.0, self._clock.now() - started_at)
        attempt = Attempt(
            number=batch.attempts + 1,
            started_at=started_at,
            took_s=took_s,
            outcome=verdict.outcome,
            status=verdict.status,
            error=verdict.error,
            answer=verdict.answer,
            sent=kept_of_request(request.headers, own),
            received=verdict.received,
        )
        self._metrics.attempt(source.id, verdict.outcome, took_s)
        self._tracing.attempted(span, batch, attempt)
        if verdict.outcome is Outcome.DELIVERED:
            settlement = await self._settlement(source, batch, verdict, turn.lane, attempt)
            return _Taken(source=source, batch=batch, verdict=verdict, settlement=settlement)
        lane, turned = await self._move_lane(source, verdict)
        try:
            settlement = await self._settlement(source, batch, verdict, lane, attempt)
            state = await self._settle(batch, settlement)
        except LeaseLost:
            state = self._settled(batch, None)
        if turned:
            await self._tell(source.id)
        return state

    async def _send(self, request: Request, headers: Mapping[str, str]) -> Verdict:
        result: Answer | TrailhookError
        try:
            result = await self._transport.send(request)
        except TrailhookError as error:
            result = error
        kept_bytes = self._settings.answer_kept_bytes_max
        return judge(result, now=self._clock.now(), kept_bytes=kept_bytes, secrets=headers.values())

    async def _move_lane(self, source: Source, verdict: Verdict) -> tuple[Lane, bool]:
        """The lane with the verdict counted, and whether that has brought it into another state."""
        before = ""
        now = self._clock.now()

        def change(lane: Lane) -> Lane:
            nonlocal before
            before = lane.condition.state
            return breaker.after(lane, verdict, now, self._settings.in_flight_max, self._rng)

        lane = await self._store.change_lane(source.lane, change)
        return lane, lane.condition.state != before

    async def _settlement(
        self, source: Source, batch: Batch, verdict: Verdict, lane: Lane, attempt: Attempt
    ) -> Settlement:
        """Raises `LeaseLost`."""
        now = self._clock.now()
        held_s = source.paused_total_s + breaker.held_s(lane, now)
        decision = settle.decide(
            batch,
            verdict,
            lane=lane,
            held_s=held_s,
            now=now,
            rng=self._rng,
            give_up_after_s=self._settings.give_up_after_s,
            give_up_attempts_min=self._settings.give_up_attempts_min,
        )
        children: Sequence[NewBatch] = ()
        if decision.state is BatchState.SPLIT:
            whole = await self._outgoing.whole(batch)
            halves = body.halve(whole, source_id=source.id, ids=(body.new_batch_id(), body.new_batch_id()))
            children = [half.but(refusals=settle.child_refusals(decision, half.count)) for half in halves]
        return Settlement(
            state=decision.state,
            attempt=attempt if decision.attempted else None,
            due_at=decision.due_at,
            refusals=decision.refusals,
            held_mark_s=held_s,
            uncertain=verdict.uncertain,
            children=children,
        )

    async def _bury(self, batch: Batch, reason: str) -> BatchState | None:
        """A body that is no longer what was frozen must not be sent under its id."""
        log.error("batch is damaged: %s", reason, extra={"source": batch.source_id, "batch": batch.id})
        attempt = Attempt(
            number=batch.attempts + 1, started_at=self._clock.now(), took_s=0.0, outcome=Outcome.OURS, error=reason
        )
        return await self._settle(batch, Settlement(state=BatchState.DEAD, attempt=attempt))

    async def _settle(self, batch: Batch, settlement: Settlement) -> BatchState | None:
        try:
            await self._store.settle(batch, settlement)
        except LeaseLost:
            return self._settled(batch, None)
        return self._settled(batch, settlement)

    def _settled(self, batch: Batch, settlement: Settlement | None) -> BatchState | None:
        """Tell of how a batch was settled, None if its lease was lost."""
        told = {"source": batch.source_id, "batch": batch.id}
        if settlement is None:
            log.info("batch was settled or taken over elsewhere", extra=told)
            return None
        if settlement.children:
            self._tracing.split(batch, settlement.children, self._clock.now())
        if settlement.state is BatchState.DELIVERED:
            outcome = "replayed" if batch.kind is BatchKind.REPLAY else "sent"
            self._metrics.events(batch.source_id, outcome, batch.count)
        elif settlement.state is BatchState.DEAD:
            log.warning("dead letter", extra=told)
            if batch.kind is not BatchKind.REPLAY:
                self._metrics.events(batch.source_id, "dead_lettered", batch.count)
        return settlement.state
