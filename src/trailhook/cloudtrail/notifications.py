"""What a message about a CloudTrail bucket says, in any of the four forms that AWS writes.

    S3's own                  {"Records": [{"eventName": "ObjectCreated:Put", "s3": {…}}, …]}    keys are URL-encoded
    the same through SNS      {"Type": "Notification", "Message": "…"}         (with raw delivery as if without SNS)
    EventBridge               {"source": "aws.s3", "detail-type": "Object Created", "detail": {…}}    keys are plain
    CloudTrail's own, by SNS  {"s3Bucket": "…", "s3ObjectKey": ["…", …]}               keys are plain, and no ETags

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html,
…/ev-events.html, and https://docs.aws.amazon.com/awscloudtrail/latest/userguide/configure-sns-notifications-for-cloudtrail.html
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote_plus

import msgspec
from msgspec import field

from trailhook.clock import from_rfc3339
from trailhook.model import Value

TEST = "test_message"
"""S3 sends one when notifications are configured."""
VALIDATION = "validation_message"
"""CloudTrail publishes one when it is given a topic."""
NOTHING_CREATED = "nothing_created"
"""It tells of deletions, restores and the like."""

_VALIDATION_TEXT = "CloudTrail validation message."
_REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")


class Announced(Value, frozen=True, kw_only=True):
    """An object that was written. Only CloudTrail's own form says nothing but `bucket` and `key`."""

    bucket: str
    key: str
    etag: str = ""
    size_bytes: int = 0
    modified_at: float = 0.0
    region: str = ""


class Notification(Value, frozen=True, kw_only=True):
    """What one message says. One of the three is always there; `fault` may come with objects."""

    objects: tuple[Announced, ...] = ()
    noise: str = ""
    """The kind of a message that is understood and announces nothing."""
    fault: str = ""
    """What of it is not understood, for people."""


def read_notification(body: str) -> Notification:
    """What a message's body says. Never raises: what cannot be understood is its `fault`."""
    return _read(body, unwrap=True)


# -------------------------------------------------------------------------------------------------- as AWS writes


class _Bucket(msgspec.Struct):
    name: str


class _S3Object(msgspec.Struct):
    key: str
    size: int = 0
    etag: str = field(name="eTag", default="")


class _S3Part(msgspec.Struct):
    bucket: _Bucket
    object: _S3Object


class _Event(msgspec.Struct, rename="camel", kw_only=True):
    event_name: str
    aws_region: str = ""
    event_time: str = ""


class _Created(_Event, rename="camel", kw_only=True):
    s3: _S3Part


class _DetailObject(msgspec.Struct):
    key: str
    size: int = 0
    etag: str = ""


class _Detail(msgspec.Struct):
    bucket: _Bucket
    object: _DetailObject


class _Message(msgspec.Struct):
    """The forms by what tells them apart; what is common to several stands once."""

    records: list[msgspec.Raw] | None = field(name="Records", default=None)
    event: str = field(name="Event", default="")
    type: str = field(name="Type", default="")
    message: str = field(name="Message", default="")
    source: str = ""
    detail_type: str = field(name="detail-type", default="")
    detail: msgspec.Raw = msgspec.Raw()
    region: str = ""
    time: str = ""
    s3_bucket: str = field(name="s3Bucket", default="")
    s3_object_key: list[str] = field(name="s3ObjectKey", default_factory=list)


# ---------------------------------------------------------------------------------------------------- reading it


def _read(body: str, *, unwrap: bool) -> Notification:
    if body.strip() == _VALIDATION_TEXT:
        return Notification(noise=VALIDATION)
    try:
        message = msgspec.json.decode(body, type=_Message)
        if unwrap and message.type == "Notification":
            return _read(message.message, unwrap=False)
        return _understood(message)
    except msgspec.ValidationError:
        return Notification(fault="It is none of the forms that S3, EventBridge, SNS and CloudTrail write")
    except (msgspec.DecodeError, RecursionError):  # the latter for brackets nested by the thousand
        return Notification(fault="It is not JSON that can be read")


def _understood(message: _Message) -> Notification:
    if message.records is not None:
        return _of_records(message.records)
    if message.event == "s3:TestEvent":
        return Notification(noise=TEST)
    if message.source == "aws.s3":
        return _of_event_bridge(message)
    if message.s3_bucket and message.s3_object_key:
        return Notification(
            objects=tuple(Announced(bucket=message.s3_bucket, key=key) for key in message.s3_object_key)
        )
    raise msgspec.ValidationError


def _of_records(records: Sequence[msgspec.Raw]) -> Notification:
    """One record that is not understood costs its neighbours nothing."""
    objects: list[Announced] = []
    faults = 0
    for record in records:
        try:
            if _is_creation(msgspec.json.decode(record, type=_Event).event_name):
                objects.append(_created(msgspec.json.decode(record, type=_Created)))
        except msgspec.DecodeError:
            faults += 1
    fault = f"{faults} of its {len(records)} records are no events of S3" if faults else ""
    return Notification(objects=tuple(objects), noise="" if objects or fault else NOTHING_CREATED, fault=fault)


def _is_creation(event_name: str) -> bool:
    return event_name.removeprefix("s3:").startswith("ObjectCreated:")


def _created(event: _Created) -> Announced:
    written = event.s3.object
    return Announced(
        bucket=event.s3.bucket.name,
        key=unquote_plus(written.key),
        etag=written.etag.strip('"'),
        size_bytes=written.size,
        modified_at=_time(event.event_time),
        region=_region(event.aws_region),
    )


def _of_event_bridge(message: _Message) -> Notification:
    if message.detail_type != "Object Created":
        return Notification(noise=NOTHING_CREATED)
    detail = msgspec.json.decode(message.detail, type=_Detail)
    written = detail.object
    announced = Announced(
        bucket=detail.bucket.name,
        key=written.key,
        etag=written.etag.strip('"'),
        size_bytes=written.size,
        modified_at=_time(message.time),
        region=_region(message.region),
    )
    return Notification(objects=(announced,))


def _time(text: str) -> float:
    """When S3 took the request: what `LastModified` is, within a second or so. 0 where it is not told."""
    try:
        return from_rfc3339(text)
    except ValueError:
        return 0.0


def _region(text: str) -> str:
    return text if _REGION.fullmatch(text) else ""
