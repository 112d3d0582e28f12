"""Deliveries: batches on their way, with every attempt, and what a person can do about them."""

import gzip
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query
from pydantic import Field

from trailhook.api import problems
from trailhook.api.answers import View, time_or_none
from trailhook.api.auth import READ, WRITE
from trailhook.api.context import Id, PageOf, PartsOf, cursor_of, placed
from trailhook.app import Parts
from trailhook.clock import rfc3339
from trailhook.delivery import breaker
from trailhook.delivery.headers import as_sent
from trailhook.model import Attempt, Batch, BatchState, Job
from trailhook.store.lists import BatchQuery

STATUSES = {
    "waiting": BatchState.WAITING,
    "delivered": BatchState.DELIVERED,
    "dead": BatchState.DEAD,
    "deadLettered": BatchState.DEAD,
    "discarded": BatchState.DISCARDED,
    "split": BatchState.SPLIT,
}
"""What `?status=` may be."""
Status = Literal["waiting", "delivered", "dead", "deadLettered", "discarded", "split"]


class AttemptView(View):
    """One request and what came of it."""

    number: int
    started_at: str
    took_seconds: float
    outcome: str
    status: int | None
    error: str
    answer: str = Field(description="The beginning of what the receiver answered.")
    request_headers: dict[str, str] = Field(
        description="As they were sent; signatures, and the values of the source's own headers, are ***."
    )
    answer_headers: dict[str, str] = Field(description="A few of the answer's headers.")

    @classmethod
    def of(cls, attempt: Attempt, batch: Batch) -> Self:
        return cls(
            number=attempt.number,
            started_at=rfc3339(attempt.started_at),
            took_seconds=attempt.took_s,
            outcome=attempt.outcome,
            status=attempt.status,
            error=attempt.error,
            answer=attempt.answer,
            request_headers=dict(as_sent(batch, attempt)),
            answer_headers=dict(attempt.received),
        )


class DeliveryListed(View):
    """A batch on its way, or at the end of it. Its id is the `webhook-id`."""

    id: str
    source_id: str
    kind: str
    type: str
    status: Literal["waiting", "delivered", "dead", "discarded", "split"]
    count: int = Field(description="Records in it.")
    bytes: int = Field(description="Length of the body as it travels.")
    content_type: str
    content_encoding: str
    sha256: str = Field(description="Of the stored (gzip) body.")
    attempt_count: int
    uncertain: bool = Field(description="An answer was lost: the receiver may have taken it.")
    last_class: str
    last_error: str
    parent: str | None
    frozen_at: str
    due_at: str | None
    first_attempt_at: str | None
    settled_at: str | None
    first_event_time: str | None
    last_event_time: str | None

    @classmethod
    def of(cls, batch: Batch, **more: Any) -> Self:
        """`more` are the fields that a subclass adds."""
        return cls(
            id=batch.id,
            source_id=batch.source_id,
            kind=batch.kind,
            type=batch.type,
            status=batch.state.value,
            count=batch.count,
            bytes=batch.wire_bytes,
            content_type=batch.content_type,
            content_encoding=batch.content_encoding,
            sha256=batch.sha256.hex(),
            attempt_count=batch.attempts,
            uncertain=batch.uncertain,
            last_class=batch.last_class,
            last_error=batch.last_error,
            parent=batch.parent,
            frozen_at=rfc3339(batch.frozen_at),
            due_at=rfc3339(batch.due_at) if batch.state is BatchState.WAITING else None,
            first_attempt_at=time_or_none(batch.first_attempt_at),
            settled_at=time_or_none(batch.settled_at),
            first_event_time=time_or_none(batch.first_event_at or None),
            last_event_time=time_or_none(batch.last_event_at or None),
            **more,
        )


class DeliveryWhole(DeliveryListed):
    """A batch with every attempt."""

    attempts: list[AttemptView]
    body: str | None = Field(description="What was frozen, as text; only with `?body=true` and while it is kept.")


class DeliveryList(View):
    """A page of deliveries, newest first."""

    deliveries: list[DeliveryListed]
    next: str | None


router = APIRouter(prefix="/deliveries", tags=["deliveries"])


@router.get(
    "", operation_id="listDeliveries", summary="List deliveries", dependencies=[READ], responses=problems.documented()
)
async def list_deliveries(
    parts: PartsOf,
    page: PageOf,
    source: Annotated[str | None, Query(max_length=64, description="Only of this source.")] = None,
    status: Annotated[
        Status | None, Query(description="Only these; `deadLettered` is another word for `dead`.")
    ] = None,
) -> DeliveryList:
    """Batches of events and notices, newest first."""
    query = BatchQuery(
        source_id=source,
        states=[STATUSES[status]] if status else [],
        before=placed(page, int),
        limit=page.limit + 1,
    )
    found = await parts.store.batches(query)
    shown = found[: page.limit]
    return DeliveryList(
        deliveries=[DeliveryListed.of(batch) for batch in shown],
        next=cursor_of(shown[-1].num) if len(found) > page.limit else None,
    )


@router.get(
    "/{id}",
    operation_id="getDelivery",
    summary="One delivery",
    dependencies=[READ],
    responses=problems.documented(404),
)
async def get_delivery(
    parts: PartsOf,
    delivery_id: Id,
    body: Annotated[bool, Query(description="With the frozen body as text, decompressed.")] = False,
) -> DeliveryWhole:
    """One batch with every attempt at it."""
    return await _whole(parts, await parts.store.batch(delivery_id), body=body)


@router.post(
    "/{id}/retry",
    operation_id="retryDelivery",
    summary="Send it again",
    dependencies=[WRITE],
    responses=problems.documented(404, 409),
)
async def retry_delivery(parts: PartsOf, delivery_id: Id) -> DeliveryWhole:
    """A dead letter waits again, with the same bytes under the same id; a waiting batch becomes due at once."""
    batch = await parts.store.retry_batch(delivery_id)
    source = await parts.store.source(batch.source_id)
    now = parts.clock.now()
    await parts.store.change_lane(source.lane, lambda lane: breaker.probe_soon(lane, now))
    await parts.queue.hint(Job(kind="deliver", source_id=batch.source_id))
    return await _whole(parts, batch)


@router.delete(
    "/{id}",
    operation_id="discardDelivery",
    summary="Give it up",
    dependencies=[WRITE],
    responses=problems.documented(404, 409),
)
async def discard_delivery(parts: PartsOf, delivery_id: Id) -> DeliveryWhole:
    """A waiting or dead batch is given up for good and counted as discarded. A request under way may still complete."""
    return await _whole(parts, await parts.store.discard_batch(delivery_id))


async def _whole(parts: Parts, batch: Batch, *, body: bool = False) -> DeliveryWhole:
    attempts = [AttemptView.of(each, batch) for each in await parts.store.attempts(batch.id)]
    text = gzip.decompress(batch.body).decode(errors="replace") if body and batch.body else None
    return DeliveryWhole.of(batch, attempts=attempts, body=text)
