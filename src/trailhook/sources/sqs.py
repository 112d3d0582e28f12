"""CloudTrail's log files in an S3 bucket, found by what a queue says of it.

A message is deleted once what it announces is durable. What comes before that moment is repeated when it fails (the
message comes again), and so is what comes after it; both find units that are known by then.

**Units are those of S3 polling**, by the same identity: bucket, key and ETag. A message that does not tell the ETag
costs one HeadObject, which is cheaper than reading the object twice. So a source may have both ways in, the polls
reconcile what notifications lost, and each object is read once.

**What is passed over** because of how the source is set up today (another bucket, another prefix, before `startFrom`)
is counted under an identity of its own, so that a poll still finds it when that changes. So are messages that
announce nothing.

**A message that is not understood** becomes a unit whose version is the message itself: intake puts it in quarantine,
the store keeps every character of it, and then the queue need not.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from trailhook.clock import Clock
from trailhook.cloudtrail.keys import Ignored, classify, locate
from trailhook.cloudtrail.notifications import Announced, read_notification
from trailhook.errors import Invalid
from trailhook.model import FoundUnit, Source, Unit, Watermark
from trailhook.net.base import Transport
from trailhook.settings import Settings
from trailhook.silence import continued
from trailhook.sources import s3
from trailhook.sources.aws import AwsHttp, OnRequest
from trailhook.sources.aws_identity import CredentialProvider
from trailhook.sources.base import Access, Check, Page
from trailhook.sources.checks import by_reading
from trailhook.sources.s3_client import Place, S3Client
from trailhook.sources.sqs_client import Message, SqsClient, queue_of

INTAKE = "sqs"
POLL_WAIT_S = 1
"""SQS looks everywhere for messages only when it may wait a little; without, it may miss what is there."""
OTHER_BUCKET = "other_bucket"
OTHER_PREFIX = "other_prefix"
TOO_OLD = "too_old"
NOT_A_NOTIFICATION = "not_a_notification"
_SHOWN_CHARACTERS = 1_000


class SqsNotifications:
    """The `WayIn` of S3 through SQS. `wait_s` is how long it waits at a queue that has nothing more."""

    def __init__(
        self,
        transport: Transport,
        provider: CredentialProvider,
        settings: Settings,
        clock: Clock,
        on_request: OnRequest | None = None,
        *,
        wait_s: int = POLL_WAIT_S,
    ) -> None:
        http = AwsHttp(transport, clock, on_request)
        self._queue = SqsClient(http, provider, settings)
        self._objects = S3Client(http, provider, settings)
        self._provider = provider
        self._settings = settings
        self._clock = clock
        self._wait_s = min(wait_s, settings.sqs_wait_s)
        self._hidden_s = settings.sqs_visibility_s

    async def poll(
        self,
        access: Access,
        marks: Mapping[tuple[str, str], Watermark],
    ) -> AsyncIterator[Page]:
        """See `WayIn.poll`. A page is what one receive brought. The queue itself is the mark of how far it was seen:
        watermarks tell of nothing but who was heard when.

        It ends when the queue has nothing more, or after `sqs_messages_max`.
        """
        received = 0
        known = dict(marks)
        while received < self._settings.sqs_messages_max:
            received_at = self._clock.now()
            messages = await self._queue.receive(access, wait_s=self._wait_s, hidden_s=self._hidden_s)
            if not messages:
                return
            received += len(messages)
            units = await self._units(access, messages)
            if self._clock.now() - received_at - self._wait_s > self._hidden_s / 2:
                await self._queue.keep_hidden(access, messages, hidden_s=self._hidden_s)
            heard = _heard(units, known)
            known |= {(mark.place, mark.prefix): mark for mark in heard}
            yield Page(units=units, marks=heard)
            await self._queue.delete(access, messages)  # whoever asks for the next page has made this one durable

    async def read(self, access: Access, unit: Unit) -> bytes:
        """See `WayIn.read`. A message that was not understood is not understood now either."""
        if unit.intake != INTAKE:
            return await self._objects.read(access, unit)
        fault = read_notification(unit.version).fault or "It was not understood when it came"
        shown = unit.version if len(unit.version) <= _SHOWN_CHARACTERS else f"{unit.version[:_SHOWN_CHARACTERS]}…"
        raise Invalid(NOT_A_NOTIFICATION, f"{fault}: {shown}")

    def check(self, access: Access) -> AsyncIterator[Check]:
        """See `WayIn.check`. The messages it looks at may be received again at once, and none is deleted."""
        return by_reading(
            self._glance(access),
            self.read,
            self._provider,
            access,
            find="queue",
            found="Receiving works. Deleting, which needs sqs:DeleteMessage, was not tried.",
            where="the bucket, or the trail, must send its notifications to the queue of sqsQueueUrl.",
        )

    async def _glance(self, access: Access) -> AsyncIterator[Page]:
        """The objects that are announced now."""
        messages = await self._queue.receive(access, wait_s=self._wait_s, hidden_s=0)
        yield Page(units=[unit for unit in await self._units(access, messages) if unit.intake == s3.INTAKE])

    async def _units(self, access: Access, messages: Iterable[Message]) -> Sequence[FoundUnit]:
        """Every unit that the messages make known, each once."""
        place = queue_of(access.source).url
        units: list[FoundUnit] = []
        announced: list[Announced] = []
        for message in messages:
            said = read_notification(message.body)
            announced += said.objects
            if said.noise:
                units.append(FoundUnit(intake=INTAKE, place=place, name=message.id, ignored=said.noise))
            if said.fault:
                size_bytes = len(message.body.encode())
                units.append(
                    FoundUnit(intake=INTAKE, place=place, name=message.id, version=message.body, size_bytes=size_bytes)
                )
        room = asyncio.Semaphore(self._settings.aws_concurrency)
        found = await asyncio.gather(*(self._found(access, each, room) for each in announced), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException):
                raise each
            units.append(each)
        return list({(each.intake, each.place, each.name, each.version): each for each in units}.values())

    async def _found(self, access: Access, announced: Announced, room: asyncio.Semaphore) -> FoundUnit:
        source = access.source
        place = Place(
            bucket=announced.bucket, endpoint_url=source.endpoint_url, region=announced.region or source.region
        )
        passed_over = _elsewhere(source, announced)
        if not (passed_over or announced.etag):
            async with room:
                announced = await self._identified(access, place, announced)
        key = classify(announced.key)
        if not (passed_over or isinstance(key, Ignored)):
            passed_over = _too_old(source, key.labelled_at, announced.modified_at)
        return FoundUnit(
            intake=INTAKE if passed_over else s3.INTAKE,
            place=announced.bucket,
            name=announced.key,
            version=announced.etag,
            endpoint_url=place.endpoint_url,
            region=self._objects.region(place),
            size_bytes=announced.size_bytes,
            labelled_at=key.labelled_at,
            modified_at=announced.modified_at,
            ignored=passed_over or (key.kind if isinstance(key, Ignored) else None),
        )

    async def _identified(self, access: Access, place: Place, announced: Announced) -> Announced:
        """With the ETag that the object has now. Without, if S3 does not tell: reading it will say why."""
        head = await self._objects.head(access, place, announced.key)
        if head is None:
            return announced
        return announced.but(etag=head.etag, size_bytes=head.size_bytes, modified_at=head.modified_at)


def _elsewhere(source: Source, announced: Announced) -> str | None:
    """Why the source does not want this object, wherever that can be told from its name."""
    if source.bucket is not None and announced.bucket != source.bucket:
        return OTHER_BUCKET
    return None if announced.key.startswith(source.prefix) else OTHER_PREFIX


def _heard(units: Iterable[FoundUnit], known: Mapping[tuple[str, str], Watermark]) -> Sequence[Watermark]:
    """The watermarks of the places whose log files these are, where that makes a difference to what is known."""
    labels: dict[tuple[str, str], list[float]] = {}
    for unit in units:
        root = locate(unit.name).root
        if root and unit.ignored is None:
            labels.setdefault((unit.place, root), []).append(unit.labelled_at)
    changed = []
    for (place, prefix), ats in labels.items():
        old = known.get((place, prefix)) or Watermark(intake=INTAKE, place=place, prefix=prefix, mark_at=0.0)
        rhythm = continued(old.rhythm, ats)
        if rhythm != old.rhythm:
            changed.append(old.but(mark_at=rhythm.last_at, rhythm=rhythm))
    return changed


def _too_old(source: Source, labelled_at: float, modified_at: float) -> str | None:
    """`startFrom` admits a file by its label or by when it was written, and one whose time is not told."""
    return TOO_OLD if modified_at and max(labelled_at, modified_at) < source.start_from_at else None
