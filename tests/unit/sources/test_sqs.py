"""What is asked of a queue, when its messages are let go of, and which units they become."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from support.aws import TEST_MESSAGE, access, cloudtrail_message, log_key, s3_message
from support.bucket import refusal
from support.clock import FakeClock
from trailhook.errors import (
    AccessDenied,
    CredentialsExpired,
    Invalid,
    Misconfigured,
    NeedsAttention,
    Throttled,
    TrailhookError,
)
from trailhook.model import FoundUnit, Unit
from trailhook.net.base import Answer, Request
from trailhook.settings import Settings
from trailhook.sources.aws_identity import Identities
from trailhook.sources.base import Page
from trailhook.sources.sqs import SqsNotifications
from trailhook.sources.sqs_client import queue_region

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/trail"
KEY = log_key("20250615T1200")
DIGEST = (
    "AWSLogs/123456789012/CloudTrail-Digest/us-east-1/2025/06/15/"
    "123456789012_CloudTrail-Digest_us-east-1_trail_us-east-1_20250615T105000Z.json.gz"
)


class QueueInMemory:
    """Answers SQS's JSON protocol, and HeadObject for `etags`, behind a `Transport`."""

    def __init__(self, *bodies: str) -> None:
        self.messages = {str(number): body for number, body in enumerate(bodies)}
        self.hidden: set[str] = set()
        self.etags: dict[str, str] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.requests: list[Request] = []
        self.before: Callable[[str], Answer | None] = lambda _operation: None

    async def send(self, request: Request) -> Answer:
        self.requests.append(request)
        operation = dict(request.headers).get("x-amz-target", "AmazonSQS.HeadObject").removeprefix("AmazonSQS.")
        fields = json.loads(request.body or b"{}")
        self.asked.append((operation, fields))
        if (refused := self.before(operation)) is not None:
            return refused
        if operation == "HeadObject":
            return self._head(unquote(urlsplit(request.url).path[1:]))
        return Answer(status=200, body=json.dumps(getattr(self, operation)(fields)).encode())

    def ReceiveMessage(self, fields: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - as the protocol has it
        taken = [each for each in self.messages if each not in self.hidden][: fields["MaxNumberOfMessages"]]
        self.hidden.update(taken)
        if not taken:
            return {}
        return {
            "Messages": [
                {"MessageId": each, "ReceiptHandle": f"r{each}", "Body": self.messages[each]} for each in taken
            ]
        }

    def DeleteMessageBatch(self, fields: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        for entry in fields["Entries"]:
            del self.messages[entry["ReceiptHandle"][1:]]
        return {"Successful": [], "Failed": []}

    def ChangeMessageVisibilityBatch(self, _: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"Successful": []}

    def operations(self) -> list[str]:
        return [operation for operation, _ in self.asked]

    def _head(self, key: str) -> Answer:
        if key not in self.etags:
            return Answer(status=404)
        headers = [
            ("etag", f'"{self.etags[key]}"'),
            ("content-length", "9"),
            ("last-modified", "Sun, 15 Jun 2025 12:02:00 GMT"),
        ]
        return Answer(status=200, headers=headers)


class Story:
    """A queue and a source that is told by it."""

    def __init__(self, *bodies: str, settings: Settings | None = None, **fields: Any) -> None:
        self.queue = QueueInMemory(*bodies)
        self.clock = FakeClock()
        plain = access("logs", sqs_queue_url=QUEUE, intakes=("sqs", "s3"))
        self.access = plain.but(source=plain.source.but(**fields))
        self.settings = settings or Settings()
        self.way = SqsNotifications(
            self.queue, Identities(self.queue, self.settings, self.clock), self.settings, self.clock
        )

    async def pages(self) -> list[Page]:
        return [page async for page in self.way.poll(self.access, {})]

    async def units(self) -> list[FoundUnit]:
        return [unit for page in await self.pages() for unit in page.units]

    async def fail(self) -> TrailhookError:
        with pytest.raises(TrailhookError) as raised:
            await self.pages()
        return raised.value


def kept(found: FoundUnit) -> Unit:
    return Unit(id=1, source_id="s", **{name: getattr(found, name) for name in found.__struct_fields__})


async def test_the_queue_is_asked_at_its_own_host_in_its_own_region() -> None:
    story = Story()
    assert await story.pages() == []
    ((operation, fields),) = story.queue.asked
    assert operation == "ReceiveMessage"
    assert fields == {"QueueUrl": QUEUE, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1, "VisibilityTimeout": 120}
    (request,) = story.queue.requests
    assert request.url == "https://sqs.eu-west-1.amazonaws.com/"
    assert "/eu-west-1/sqs/aws4_request" in dict(request.headers)["Authorization"]


async def test_listening_waits_longer_and_gives_the_answer_as_much_longer_to_come() -> None:
    story = Story()
    identities = Identities(story.queue, story.settings, story.clock)
    listening = SqsNotifications(story.queue, identities, story.settings, story.clock, wait_s=20)
    assert [page async for page in listening.poll(story.access, {})] == []
    assert story.queue.asked[0][1]["WaitTimeSeconds"] == 20
    assert story.queue.requests[0].deadline_s == story.settings.aws_timeout_s + 20


async def test_an_endpoint_of_the_users_is_asked_instead() -> None:
    story = Story(endpoint_url="https://vpce-1a2b.sqs.eu-west-1.vpce.amazonaws.com/")
    await story.pages()
    assert story.queue.requests[0].url == "https://vpce-1a2b.sqs.eu-west-1.vpce.amazonaws.com/"


@pytest.mark.parametrize(
    ("url", "region"),
    [
        (QUEUE, "eu-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", "cn-north-1"),
        ("https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/q", "us-gov-west-1"),
        ("https://vpce-1a.sqs.us-east-1.vpce.amazonaws.com/123456789012/q", "us-east-1"),
        ("http://127.0.0.1:4566/123456789012/q", None),
        ("https://s3.us-east-1.amazonaws.com/123456789012/q", None),
    ],
)
def test_a_queues_region_is_in_its_url(url: str, region: str | None) -> None:
    assert queue_region(url) == region


async def test_a_message_is_deleted_when_the_next_page_is_asked_for_and_not_before() -> None:
    story = Story(s3_message("logs", (KEY, "e1")))
    pages = story.way.poll(story.access, {})
    page = await anext(pages)
    assert [unit.name for unit in page.units] == [KEY]
    assert "DeleteMessageBatch" not in story.queue.operations()
    assert [each async for each in pages] == []
    assert story.queue.messages == {}


async def test_messages_of_a_page_that_was_not_kept_stay_in_the_queue() -> None:
    story = Story(s3_message("logs", (KEY, "e1")))

    async def keep_nothing() -> None:
        async for _ in story.way.poll(story.access, {}):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await keep_nothing()
    assert len(story.queue.messages) == 1
    assert story.queue.operations() == ["ReceiveMessage"]


async def test_one_look_takes_a_bounded_number_of_messages() -> None:
    bodies = [s3_message("logs", (log_key("20250615T1200", number), "e")) for number in range(45)]
    story = Story(*bodies, settings=Settings(sqs_messages_max=20))
    assert len(await story.units()) == 20
    assert len(story.queue.messages) == 25
    assert len(await story.units()) == 20
    assert len(await story.units()) == 5


async def test_what_takes_long_is_kept_hidden_meanwhile() -> None:
    story = Story(cloudtrail_message("logs", KEY))
    story.queue.etags[KEY] = "e1"

    def slow(operation: str) -> None:
        story.clock.advance(70.0 if operation == "HeadObject" else 0.0)

    story.queue.before = slow
    assert len(await story.units()) == 1
    assert story.queue.operations()[:3] == ["ReceiveMessage", "HeadObject", "ChangeMessageVisibilityBatch"]
    assert story.queue.asked[2][1]["Entries"] == [{"Id": "0", "ReceiptHandle": "r0", "VisibilityTimeout": 120}]


async def test_a_message_that_sqs_does_not_delete_comes_again_and_is_no_error() -> None:
    story = Story(s3_message("logs", (KEY, "e1")))
    failed = {"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]}
    story.queue.before = lambda operation: (
        Answer(status=200, body=json.dumps(failed).encode()) if operation == "DeleteMessageBatch" else None
    )
    assert len(await story.units()) == 1
    assert len(story.queue.messages) == 1


async def test_units_are_those_that_polling_the_bucket_would_find() -> None:
    story = Story(s3_message("logs", (KEY, "e1"), (DIGEST, "e2")), start_from_at=0.0)
    log, digest = await story.units()
    assert (log.intake, log.place, log.name, log.version) == ("s3", "logs", KEY, "e1")
    assert (log.size_bytes, log.region, log.ignored) == (7, "us-east-1", None)
    assert log.labelled_at == datetime(2025, 6, 15, 12, tzinfo=UTC).timestamp()
    assert (digest.intake, digest.version, digest.ignored) == ("s3", "e2", "digest")


async def test_a_version_that_is_not_told_is_asked_for() -> None:
    story = Story(cloudtrail_message("logs", KEY))
    story.queue.etags[KEY] = "e1"
    (unit,) = await story.units()
    assert (unit.intake, unit.version, unit.size_bytes) == ("s3", "e1", 9)
    assert unit.modified_at == datetime(2025, 6, 15, 12, 2, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("status", [403, 404, 400])
async def test_where_no_version_can_be_had_reading_will_say_why(status: int) -> None:
    story = Story(cloudtrail_message("logs", KEY))
    story.queue.before = lambda operation: Answer(status=status) if operation == "HeadObject" else None
    (unit,) = await story.units()
    assert (unit.intake, unit.name, unit.version, unit.ignored) == ("s3", KEY, "", None)
    assert story.queue.messages == {}


async def test_a_version_that_cannot_be_asked_for_now_leaves_the_messages_in_the_queue() -> None:
    story = Story(cloudtrail_message("logs", KEY))
    story.queue.before = lambda operation: Answer(status=503) if operation == "HeadObject" else None
    await story.fail()
    assert len(story.queue.messages) == 1


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"bucket": "another"}, "other_bucket"),
        ({"prefix": "AWSLogs/999999999999/"}, "other_prefix"),
        ({"start_from_at": datetime(2025, 6, 15, 12, 2, tzinfo=UTC).timestamp()}, "too_old"),
    ],
)
async def test_what_the_source_does_not_want_today_is_counted_apart_from_what_polls_may_find_tomorrow(
    fields: dict[str, Any], kind: str
) -> None:
    story = Story(s3_message("logs", (KEY, "e1")), **fields)
    (unit,) = await story.units()
    assert (unit.intake, unit.name, unit.ignored) == ("sqs", KEY, kind)
    assert story.queue.messages == {}


async def test_without_a_bucket_of_its_own_a_source_takes_every_bucket_announced() -> None:
    story = Story(s3_message("one", (KEY, "e1")), s3_message("two", (KEY, "e1")), bucket=None)
    assert sorted(unit.place for unit in await story.units()) == ["one", "two"]


async def test_an_object_announced_twice_in_a_page_is_one_unit() -> None:
    story = Story(s3_message("logs", (KEY, "e1"), (KEY, "e1")), s3_message("logs", (KEY, "e1"), (KEY, "e2")))
    assert sorted(unit.version for unit in await story.units()) == ["e1", "e2"]


async def test_a_message_that_is_not_understood_is_kept_whole_and_says_why() -> None:
    body = "an order for shoes, " * 100
    story = Story(body, s3_message("logs", (KEY, "e1")))
    poison, log = await story.units()
    assert (poison.intake, poison.place, poison.name, poison.version) == ("sqs", QUEUE, "0", body)
    assert log.name == KEY
    assert story.queue.messages == {}
    with pytest.raises(Invalid) as raised:
        await story.way.read(story.access, kept(poison))
    assert raised.value.reason == "not_a_notification"
    assert str(raised.value).startswith("It is not JSON that can be read: an order for shoes, an order")
    assert len(str(raised.value)) < 1_100


def no(code: str, message: str = "", status: int = 400) -> Answer:
    return Answer(status=status, body=json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": message}).encode())


@pytest.mark.parametrize(
    ("answer", "kind", "remedy"),
    [
        (no("QueueDoesNotExist"), Misconfigured, "sqsQueueUrl"),
        (no("InvalidAddress"), Misconfigured, "sqsQueueUrl"),
        (refusal(400, "AWS.SimpleQueueService.NonExistentQueue"), Misconfigured, "sqsQueueUrl"),
        (
            no(
                "AccessDeniedException",
                "User x is not authorized to perform: sqs:receivemessage on resource: arn:aws:sqs:q",
            ),
            AccessDenied,
            "Allow sqs:ReceiveMessage on arn:aws:sqs:q",
        ),
        (no("AccessDeniedException"), AccessDenied, f"Allow sqs:ReceiveMessage on {QUEUE}"),
        (no("KmsAccessDenied"), AccessDenied, "kms:Decrypt"),
        (no("ExpiredTokenException"), CredentialsExpired, "fresh credentials"),
        (Answer(status=200, body=b"<html>Please sign in</html>"), Misconfigured, "sqsQueueUrl"),
    ],
)
async def test_a_refusal_says_what_to_do(answer: Answer, kind: type[NeedsAttention], remedy: str) -> None:
    story = Story()
    story.queue.before = lambda _: answer
    error = await story.fail()
    assert type(error) is kind
    assert isinstance(error, NeedsAttention)
    assert remedy in error.remedy


@pytest.mark.parametrize("code", ["OverLimit", "RequestThrottled", "KmsThrottled"])
async def test_too_many_requests_are_a_throttle(code: str) -> None:
    story = Story()
    story.queue.before = lambda _: no(code)
    assert type(await story.fail()) is Throttled


async def test_a_queue_that_is_not_named_is_said_to_be_missing() -> None:
    error = await Story(sqs_queue_url=None).fail()
    assert isinstance(error, Misconfigured)
    assert "sqsQueueUrl" in error.remedy


async def test_a_check_hides_no_message_from_the_next_poll() -> None:
    story = Story(s3_message("logs", (KEY, "e1")))
    checks = [check async for check in story.way.check(story.access)]
    assert [check.name for check in checks][:2] == ["identity", "queue"]
    assert story.queue.asked[0][1]["VisibilityTimeout"] == 0
    assert "DeleteMessageBatch" not in story.queue.operations()


async def test_a_check_deletes_nothing_where_nothing_is_announced() -> None:
    story = Story(TEST_MESSAGE, "not a notification")
    *_, get = [check async for check in story.way.check(story.access)]
    assert (get.name, get.ok) == ("get", True)
    assert "sqsQueueUrl" in get.remedy
    assert "DeleteMessageBatch" not in story.queue.operations()
