"""The three verbs of SQS that Trailhook needs: receive, delete, keep hidden. Over SQS's JSON protocol."""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from trailhook.errors import CredentialsExpired, CredentialsInvalid, Invalid, Misconfigured
from trailhook.model import Source, Value
from trailhook.settings import KIB, MIB, Settings
from trailhook.sources.aws import AwsHttp, Call
from trailhook.sources.aws_identity import CredentialProvider
from trailhook.sources.base import Access

log = logging.getLogger(__name__)

BATCH_MAX = 10
"""The most messages that SQS hands out, deletes or keeps hidden in one request."""
_MESSAGES_BYTES_MAX = 64 * MIB
"""Ten messages of 1 MiB, most characters of them escaped."""
_RESULT_BYTES_MAX = 64 * KIB
_HOST = re.compile(r"(?:[a-z0-9-]+\.)?sqs(?:-fips)?\.(?P<region>[a-z]{2,}(?:-[a-z0-9]+)+)\.[a-z0-9.-]+")

T = TypeVar("T")


class Message(msgspec.Struct, frozen=True):
    """One message. `receipt` is the right to delete this one delivery of it."""

    id: str = msgspec.field(name="MessageId")
    receipt: str = msgspec.field(name="ReceiptHandle")
    body: str = msgspec.field(name="Body")


class _Received(msgspec.Struct):
    messages: list[Message] = msgspec.field(name="Messages", default_factory=list)


class _Result(msgspec.Struct):
    failed: list[msgspec.Raw] = msgspec.field(name="Failed", default_factory=list)


class Queue(Value, frozen=True, kw_only=True):
    """Where a queue is: `url` is its name, `endpoint_url` the host that is asked for it."""

    url: str
    endpoint_url: str
    region: str


def queue_region(url: str) -> str | None:
    """The region in a queue's URL; None where its host is not one of SQS's own."""
    match = _HOST.fullmatch(urlsplit(url).hostname or "")
    return match["region"] if match else None


def queue_of(source: Source) -> Queue:
    """The source's queue. It is asked for at `endpointUrl` if there is one. Raises `Misconfigured`."""
    if not source.sqs_queue_url:
        raise Misconfigured("The source names no queue.", "Set sqsQueueUrl.")
    parts = urlsplit(source.sqs_queue_url)
    return Queue(
        url=source.sqs_queue_url,
        endpoint_url=(source.endpoint_url or f"{parts.scheme}://{parts.netloc}").rstrip("/"),
        region=queue_region(source.sqs_queue_url) or source.region,
    )


class SqsClient:
    """Asks SQS on a source's behalf. Every verb may raise `NeedsAttention` or `Transient`."""

    def __init__(self, http: AwsHttp, provider: CredentialProvider, settings: Settings) -> None:
        self._http = http
        self._provider = provider
        self._settings = settings

    async def receive(self, access: Access, *, wait_s: int, hidden_s: int) -> Sequence[Message]:
        """Up to ten messages, hidden from everybody else for `hidden_s`; none after `wait_s` in which none came."""
        fields = {"MaxNumberOfMessages": BATCH_MAX, "WaitTimeSeconds": wait_s, "VisibilityTimeout": hidden_s}
        answer = await self._ask(access, "ReceiveMessage", fields, _Received, wait_s=wait_s)
        return answer.messages

    async def delete(self, access: Access, messages: Sequence[Message]) -> None:
        """Delete up to ten messages. Those that SQS does not delete come again, which is logged and no harm."""
        entries = [{"Id": str(number), "ReceiptHandle": each.receipt} for number, each in enumerate(messages)]
        answer = await self._ask(access, "DeleteMessageBatch", {"Entries": entries}, _Result)
        if answer.failed:
            log.info("%d messages were not deleted and come again", len(answer.failed), extra=_extra(access))

    async def keep_hidden(self, access: Access, messages: Sequence[Message], *, hidden_s: int) -> None:
        """Hide up to ten messages for `hidden_s` from now on."""
        entries = [
            {"Id": str(number), "ReceiptHandle": each.receipt, "VisibilityTimeout": hidden_s}
            for number, each in enumerate(messages)
        ]
        await self._ask(access, "ChangeMessageVisibilityBatch", {"Entries": entries}, _Result)

    async def _ask(
        self, access: Access, operation: str, fields: Mapping[str, object], kind: type[T], *, wait_s: int = 0
    ) -> T:
        queue = queue_of(access.source)
        call = Call(
            operation=operation,
            service="sqs",
            region=queue.region,
            method="POST",
            url=f"{queue.endpoint_url}/",
            headers=[("content-type", "application/x-amz-json-1.0"), ("x-amz-target", f"AmazonSQS.{operation}")],
            body=msgspec.json.encode({"QueueUrl": queue.url, **fields}),
            answer_bytes_max=_MESSAGES_BYTES_MAX if kind is _Received else _RESULT_BYTES_MAX,
            deadline_s=self._settings.aws_timeout_s + wait_s,
            ca_certificate=access.source.ca_certificate,
            resource=queue.url,
        )
        try:
            answer = await self._http.send(call, await self._provider.keys(access))
            return msgspec.json.decode(answer.body, type=kind)
        except (CredentialsExpired, CredentialsInvalid):
            self._provider.forget(access)
            raise
        except (msgspec.DecodeError, UnicodeDecodeError, Invalid) as error:
            raise Misconfigured(
                f"What answered {operation} is not SQS: its answer cannot be read.",
                "Correct sqsQueueUrl or endpointUrl, or the proxy before it.",
            ) from error


def _extra(access: Access) -> Mapping[str, str]:
    return {"source": access.source.id}
