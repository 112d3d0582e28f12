"""The one loop that turns batches into deliveries.

    lease ▸ sign ▸ send ▸ judge the answer ▸ move the lane ▸ settle, schedule, split or bury

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
from trailhook.delivery import breaker, settle, sign
from trailhook.delivery.headers import AGENT, kept_of_request, of_batch
from trailhook.delivery.outcome import Outcome, Verdict, judge
from trailhook.errors import Invalid, KeyUnavailable, LeaseLost, TrailhookError
from trailhook.model import Attempt, Batch, BatchKind, BatchState, Condition, Lane, NewBatch, Source
from trailhook.net.base import Answer, Request, Transport
from trailhook.security.secrets import SourceSecrets
from trailhook.settings import Settings
from trailhook.store.base import Settlement, Store
from trailhook.telemetry import Metrics
from trailhook.tracing import UNTRACED, Span, Tracing, header

log = logging.getLogger(__name__)

HOLD = Condition(
    state=NEEDS_ATTENTION,
    reason="The dead letters of this source have reached their size limit.",
    remedy="Retry or discard dead letters, or raise TRAILHOOK_DEAD_LETTER_BYTES_MAX.",
)


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
        self._laid_out = laid_out
        self._tracing = tracing

    async def run(self, source_id: str) -> None:
        """Send whatever is due. Ends when nothing is, when the lane, the user or a full list says wait, or after
        `turn_s`, for others to have their turn: what is still due is hinted by the sweep.

        When cancelled it starts nothing more and gives requests in flight `shutdown_s` to end and be settled.
        """
        if await self._held(await self._store.source(source_id)):
            return
        in_flight: set[asyncio.Task[BatchState | None]] = set()
        began_at = self._clock.now()
        held = False
        try:
            while True:
                if not held and self._clock.now() - began_at <= self._settings.turn_s:
                    in_flight |= {
                        asyncio.create_task(self._deliver(source, batch))
                        for source, batch in await self._lease(source_id, len(in_flight))
                    }
                if not in_flight:
                    return
                done, in_flight = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                ended = [task.result() for task in done]
                if BatchState.DEAD in ended:
                    held = await self._held(await self._store.source(source_id))
        finally:
            await self._drain(in_flight)

    async def _drain(self, in_flight: set[asyncio.Task[BatchState | None]]) -> None:
        if not in_flight:
            return
        _, late = await asyncio.wait(in_flight, timeout=self._settings.shutdown_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)

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

    async def _lease(self, source_id: str, in_flight: int) -> list[tuple[Source, Batch]]:
        source = await self._store.source(source_id)
        if source.paused_at is not None:
            return []
        lane = await self._store.lane(source.lane)
        permit = breaker.permit(lane, self._clock.now(), self._settings.in_flight_max)
        room = min(permit.limit, 1 if source.delivery.ordered else permit.limit) - in_flight
        if room <= 0:
            return []
        batches = await self._store.lease_batches(
            source_id, limit=room, lease_s=self._settings.batch_lease_s, ordered=source.delivery.ordered
        )
        if batches and permit.probe and not await self._claim_probe(source.lane):
            for batch in batches:
                await self._settle(batch, Settlement(state=BatchState.WAITING))
            return []
        return [(source, batch) for batch in batches]

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
        return await self._send(self._request(source, notice, attempt=1), self._secrets.headers(source))

    # ------------------------------------------------------------------------------------------- one delivery

    async def _deliver(self, source: Source, batch: Batch) -> BatchState | None:
        """Send it once and settle it; the state that leaves it in, None if it was taken over elsewhere."""
        span = self._tracing.attempt(batch)
        try:
            request = self._request(source, batch, attempt=batch.attempts + 1, span=span)
        except Invalid as error:
            return await self._bury(batch, str(error))
        except KeyUnavailable as error:
            log.error("cannot sign: %s", error, extra={"source": source.id, "batch": batch.id})
            return await self._settle(batch, Settlement(state=BatchState.WAITING, due_at=self._clock.now() + 60.0))
        started_at = self._clock.now()
        own = self._secrets.headers(source)
        verdict = await self._send(request, own)
        took_s = max(0.0, self._clock.now() - started_at)
        lane, turned = await self._move_lane(source, verdict)
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
        state = await self._settle(batch, self._settlement(source, batch, verdict, lane, attempt))
        if turned:
            await self._tell(source.id)
        return state

    def _request(self, source: Source, batch: NewBatch, *, attempt: int, span: Span | None = None) -> Request:
        wire = body.wire(batch, self._laid_out)
        own = self._secrets.headers(source)
        headers = [
            *of_batch(batch, source.id, attempt),
            AGENT,
            *sign.headers(batch.id, wire, self._clock.now(), self._secrets.signing(source, self._clock.now())),
            *header(span, own),
            *own.items(),
        ]
        return Request(
            method="POST",
            url=source.callback_url,
            headers=headers,
            body=wire,
            body_bytes_max=self._settings.answer_bytes_max,
            deadline_s=self._settings.callback_timeout_s,
            ca_certificate=source.ca_certificate,
        )

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

    def _settlement(self, source: Source, batch: Batch, verdict: Verdict, lane: Lane, attempt: Attempt) -> Settlement:
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
            halves = body.halve(batch, source_id=source.id, ids=(body.new_batch_id(), body.new_batch_id()))
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
            told = {"source": batch.source_id, "batch": batch.id}
            log.info("batch was settled or taken over elsewhere", extra=told)
            return None
        if settlement.children:
            self._tracing.split(batch, settlement.children, self._clock.now())
        if settlement.state is BatchState.DELIVERED:
            outcome = "replayed" if batch.kind is BatchKind.REPLAY else "sent"
            self._metrics.events(batch.source_id, outcome, batch.count)
        elif settlement.state is BatchState.DEAD:
            log.warning("dead letter", extra={"source": batch.source_id, "batch": batch.id})
            if batch.kind is not BatchKind.REPLAY:
                self._metrics.events(batch.source_id, "dead_lettered", batch.count)
        return settlement.state
