"""S3 through SQS in the whole product, over a simulated AWS that is not of our making: every event once."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from support.aws import (
    TEST_MESSAGE,
    VALIDATION_MESSAGE,
    SimulatedAws,
    cloudtrail_message,
    event_bridge_message,
    s3_message,
    sns_message,
)
from support.clock import FakeClock
from support.product import Product, running
from support.receiver import Receiver, receiving
from support.samples import log_file, log_key, record
from trailhook import app
from trailhook.errors import StoreUnavailable
from trailhook.model import FoundUnit, Watermark

MESSAGES_LEFT_AT_ONCE = {"sqs_visibility_s": 0, "sqs_wait_s": 0}
"""What is not deleted may be received again without a wait, and an empty queue is left without one."""


@dataclass
class Story:
    """A bucket with a queue, a source over both, and its receiver."""

    product: Product
    receiver: Receiver
    aws: SimulatedAws
    clock: FakeClock
    bucket: str
    queue: str
    source: str = ""
    written: int = 0
    events: list[str] = field(default_factory=list)
    """The ids of all events in logs that were put, in no special order."""

    async def add(self, **fields: Any) -> None:
        """Register the source; it has nothing to find yet."""
        places = {"s3Bucket": self.bucket, "sqsQueueUrl": self.queue, "endpointUrl": self.aws.endpoint_url}
        asked = {**places, "callbackUrl": self.receiver.url, **fields}
        self.source = await self.product.add_source(
            **{name: value for name, value in asked.items() if value is not None}
        )
        await self.product.work()

    def put(self, *, prefix: str = "", records: int = 2) -> tuple[str, str]:
        """Write a log of new events; its key and ETag."""
        self.written += 1
        key = prefix + log_key("20250615T1200Z", f"{self.written:016}")
        events = [record(self.written * 100 + number) for number in range(records)]
        self.events += [event["eventID"] for event in events]
        return key, self.aws.put(self.bucket, key, log_file(events))

    def announce(self, *bodies: str) -> None:
        self.aws.send(self.queue, *bodies)

    async def look(self) -> None:
        """Look once, and do everything that follows."""
        await self.product.poll(self.source)

    async def status(self) -> Any:
        return await self.product.status(self.source)

    async def units(self) -> Any:
        return {name: number for name, number in (await self.status())["units"].items() if number}

    def requests(self, operation: str) -> float:
        metric = self.product.parts.metrics.registry.get_sample_value(
            "trailhook_aws_requests_total", {"operation": operation, "class": "ok"}
        )
        return metric or 0.0

    def assert_every_event_once(self) -> None:
        sent = [event["eventID"] for each in self.receiver.taken for event in each.events]
        assert sorted(sent) == sorted(self.events)

    def assert_the_queue_is_empty(self) -> None:
        assert self.aws.queued(self.queue) == 0


@asynccontextmanager
async def telling(path: Path, aws: SimulatedAws, **settings: Any) -> AsyncIterator[Story]:
    clock = FakeClock()
    async with (
        receiving() as receiver,
        running(
            path,
            hosts=(receiver.host,),
            endpoints=(aws.host,),
            clock=clock,
            **{**MESSAGES_LEFT_AT_ONCE, **settings},
        ) as product,
    ):
        yield Story(product, receiver, aws, clock, aws.new_bucket(), aws.new_queue())


@pytest.fixture
async def story(tmp_path: Path, aws: SimulatedAws) -> AsyncIterator[Story]:
    async with telling(tmp_path, aws) as opened:
        yield opened


ONLY_SQS = {"intake": ["sqs"]}


@pytest.mark.parametrize("prefix", ["", "team a/b+c%41/jürgen😀/&=?/"])
async def test_every_form_of_message_leads_to_its_log(story: Story, prefix: str) -> None:
    await story.add(**ONLY_SQS)
    forms: list[Callable[[str, str], str]] = [
        lambda key, etag: s3_message(story.bucket, (key, etag)),
        lambda key, etag: event_bridge_message(story.bucket, key, etag),
        lambda key, _: cloudtrail_message(story.bucket, key),
    ]
    for form in forms:
        story.announce(form(*story.put(prefix=prefix)), sns_message(form(*story.put(prefix=prefix))))
    await story.look()
    story.assert_every_event_once()
    story.assert_the_queue_is_empty()
    assert await story.units() == {"done": 6}


async def test_what_s3_itself_sends_is_understood(story: Story) -> None:
    arn = story.aws.sqs.get_queue_attributes(QueueUrl=story.queue, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    wanted = [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]
    story.aws.s3.put_bucket_notification_configuration(
        Bucket=story.bucket, NotificationConfiguration={"QueueConfigurations": wanted}
    )
    await story.add(**ONLY_SQS)
    for _ in range(3):
        story.put(prefix="a b+c/")
    await story.look()
    story.assert_every_event_once()
    story.assert_the_queue_is_empty()
    assert (await story.units())["done"] == 3


async def test_several_records_duplicates_and_disorder_are_every_event_once(story: Story) -> None:
    await story.add(**ONLY_SQS)
    objects = [story.put() for _ in range(30)]
    messages = [s3_message(story.bucket, *objects[first : first + 3]) for first in range(0, 30, 3)]
    messages += [s3_message(story.bucket, each) for each in objects[::2]]
    messages += [cloudtrail_message(story.bucket, *(key for key, _ in objects[:5]))]
    random.Random(5).shuffle(messages)
    story.announce(*messages)
    await story.look()
    story.announce(*messages[:7])
    await story.look()
    story.assert_every_event_once()
    story.assert_the_queue_is_empty()
    assert story.requests("GetObject") == 30


async def test_notifications_and_polling_together_read_each_log_once(story: Story) -> None:
    await story.add()
    assert (await story.product.api.get(f"/sources/{story.source}"))["intake"] == ["sqs", "s3"]
    announced, unannounced, late = story.put(), story.put(), story.put()
    story.announce(s3_message(story.bucket, announced), cloudtrail_message(story.bucket, announced[0]))
    await story.look()
    story.announce(event_bridge_message(story.bucket, *late), sns_message(s3_message(story.bucket, unannounced)))
    await story.look()
    story.assert_every_event_once()
    story.assert_the_queue_is_empty()
    assert await story.units() == {"done": 3}
    assert story.requests("GetObject") == 3


async def test_a_log_written_again_is_read_again_and_its_events_are_sent_once(story: Story) -> None:
    await story.add()
    key, etag = story.put()
    story.announce(s3_message(story.bucket, (key, etag)))
    await story.look()
    more = [*(record(100 + number) for number in range(2)), record(999)]
    story.events.append(record(999)["eventID"])
    story.announce(s3_message(story.bucket, (key, story.aws.put(story.bucket, key, log_file(more)))))
    await story.look()
    story.assert_every_event_once()
    assert (await story.status())["counts"]["duplicate"] == 2


async def test_noise_is_counted_by_kind_and_deleted(story: Story) -> None:
    await story.add(**ONLY_SQS, s3Prefix="AWSLogs/")
    gone = s3_message(story.bucket, (log_key("20250615T1200Z", "G" * 16), ""), event="ObjectRemoved:Delete")
    elsewhere = s3_message("another-bucket", (log_key("20250615T1200Z", "A" * 16), "e"))
    outside = s3_message(story.bucket, ("other/" + log_key("20250615T1200Z", "A" * 16), "e"))
    no_log = s3_message(story.bucket, ("AWSLogs/readme.txt", "e"))
    story.announce(TEST_MESSAGE, VALIDATION_MESSAGE, sns_message(VALIDATION_MESSAGE), gone, elsewhere, outside, no_log)
    await story.look()
    story.assert_the_queue_is_empty()
    kinds = {name: number for name, number in (await story.units())["ignored"].items() if number}
    assert kinds == {
        "test_message": 1,
        "validation_message": 2,
        "nothing_created": 1,
        "other_bucket": 1,
        "other_prefix": 1,
        "unknown": 1,
    }


async def test_a_log_passed_over_today_is_found_when_the_source_is_set_up_for_it(story: Story) -> None:
    await story.add(s3Prefix="elsewhere/")
    story.announce(s3_message(story.bucket, story.put()))
    await story.look()
    assert story.receiver.taken == []
    await story.product.api.call("PATCH", f"/sources/{story.source}", {"s3Prefix": None})
    await story.product.work()
    story.assert_every_event_once()


async def test_a_message_that_is_not_understood_is_kept_in_quarantine_and_costs_its_neighbours_nothing(
    story: Story,
) -> None:
    await story.add(**ONLY_SQS)
    story.announce("an order for shoes", s3_message(story.bucket, story.put()), '{"orders":[1]}')
    await story.look()
    story.assert_every_event_once()
    story.assert_the_queue_is_empty()
    entries = (await story.product.api.get("/quarantine"))["quarantine"]
    assert {entry["reason"] for entry in entries} == {"not_a_notification"}
    assert {entry["place"] for entry in entries} == {story.queue}
    assert sorted(entry["detail"].partition(": ")[2] for entry in entries) == ["an order for shoes", '{"orders":[1]}']
    await story.product.api.post(f"/quarantine/{entries[0]['id']}/retry")
    await story.product.work()
    assert len((await story.product.api.get("/quarantine"))["quarantine"]) == 2


class FailsToKeep:
    """A store that cannot keep units as often as told, before or after it did."""

    def __init__(self, store: Any, *, times: int, after: bool) -> None:
        self._store = store
        self._times = times
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def add_units(self, source_id: str, found: Sequence[FoundUnit], marks: Sequence[Watermark] = ()) -> int:
        failing = bool(found) and self._times > 0
        self._times -= failing
        if failing and not self._after:
            raise StoreUnavailable("the disk is away")
        added: int = await self._store.add_units(source_id, found, marks)
        if failing:
            raise StoreUnavailable("the answer was lost")
        return added


@pytest.mark.parametrize("after", [False, True], ids=["before it was kept", "after it was kept"])
async def test_a_store_that_fails_in_between_costs_no_event_and_doubles_none(story: Story, after: bool) -> None:
    await story.add(**ONLY_SQS)
    for _ in range(25):
        story.announce(s3_message(story.bucket, story.put(records=1)))
    parts = replace(story.product.parts, store=FailsToKeep(story.product.parts.store, times=3, after=after))
    failing = replace(story.product, parts=parts, jobs=app.jobs(parts, random.Random(3)))
    for _ in range(3):
        await story.product.api.post(f"/sources/{story.source}/fetch")
        await failing.jobs.handlers()["poll"](story.source)
        assert story.aws.queued(story.queue) == 25
    await story.look()
    story.assert_every_event_once()
    story.assert_the_queue_is_empty()


async def test_a_queue_that_is_gone_is_told_and_does_not_keep_the_bucket_from_being_polled(story: Story) -> None:
    await story.add()
    story.aws.sqs.delete_queue(QueueUrl=story.queue)
    story.put()
    await story.look()
    story.assert_every_event_once()
    source = await story.product.api.get(f"/sources/{story.source}")
    assert source["status"] == "misconfigured"
    assert "sqsQueueUrl" in source["fetch"]["remedy"]
    story.queue = story.aws.new_queue()
    await story.product.api.call("PATCH", f"/sources/{story.source}", {"sqsQueueUrl": story.queue})
    story.announce(s3_message(story.bucket, story.put()))
    await story.product.work()
    story.assert_every_event_once()
    assert (await story.product.api.get(f"/sources/{story.source}"))["status"] == "active"


async def test_what_is_announced_between_two_polls_is_sent_without_waiting_for_the_next(story: Story) -> None:
    await story.add(logFetchInterval=86_400)
    listings = story.requests("ListObjectsV2")
    for _ in range(3):
        story.announce(s3_message(story.bucket, story.put()))
        story.clock.advance(2.0)
        await story.product.work()
        story.assert_every_event_once()
    assert story.requests("ListObjectsV2") == listings
    story.assert_the_queue_is_empty()


async def test_a_queue_that_fails_between_two_polls_makes_a_poll_due_that_tells(story: Story) -> None:
    await story.add(logFetchInterval=86_400)
    story.aws.sqs.delete_queue(QueueUrl=story.queue)
    story.clock.advance(2.0)
    await story.product.work()
    assert (await story.product.api.get(f"/sources/{story.source}"))["status"] == "misconfigured"
    failed = story.product.parts.metrics.registry.get_sample_value(
        "trailhook_aws_requests_total", {"operation": "ReceiveMessage", "class": "misconfigured"}
    )
    for _ in range(5):
        story.clock.advance(2.0)
        await story.product.work()
    assert failed == story.product.parts.metrics.registry.get_sample_value(
        "trailhook_aws_requests_total", {"operation": "ReceiveMessage", "class": "misconfigured"}
    )


async def test_nobody_waits_at_the_queue_of_a_paused_source(story: Story) -> None:
    await story.add()
    await story.product.api.post(f"/sources/{story.source}/pause")
    story.announce(s3_message(story.bucket, story.put()))
    story.clock.advance(300.0)
    await story.product.work()
    assert story.aws.queued(story.queue) == 1
    await story.product.api.post(f"/sources/{story.source}/resume")
    await story.product.work()
    story.assert_every_event_once()
