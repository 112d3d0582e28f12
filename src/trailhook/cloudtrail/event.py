"""The fields of a record that we search, filter and identify by."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from trailhook.clock import from_rfc3339


class UserIdentity(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Who did it, as far as we search by it. None: missing, or not of the type that CloudTrail documents."""

    type: str | None = None
    arn: str | None = None
    user_name: str | None = None
    principal_id: str | None = None
    account_id: str | None = None
    invoked_by: str | None = None


_EVENT_NAMES: Final = {
    "event_id": "eventID",
    "event_time": "eventTime",
    "event_name": "eventName",
    "event_source": "eventSource",
    "event_type": "eventType",
    "event_category": "eventCategory",
    "aws_region": "awsRegion",
    "source_ip_address": "sourceIPAddress",
    "error_code": "errorCode",
    "recipient_account_id": "recipientAccountId",
    "read_only": "readOnly",
    "user_identity": "userIdentity",
}


class Event(msgspec.Struct, frozen=True, gc=False, rename=_EVENT_NAMES):
    """The fields of a record that we search by. None: missing, or not of the type that CloudTrail documents."""

    event_id: str | None = None
    event_time: str | None = None
    event_name: str | None = None
    event_source: str | None = None
    event_type: str | None = None
    event_category: str | None = None
    aws_region: str | None = None
    source_ip_address: str | None = None
    error_code: str | None = None
    recipient_account_id: str | None = None
    read_only: bool | None = None
    user_identity: UserIdentity | None = None


def lenient_event(fields: Mapping[str, Any]) -> Event:
    """The fields that are of their documented type and can be written as UTF-8; the others are None."""
    user = fields.get("userIdentity")
    texts = _texts(Event, fields, but=("read_only", "user_identity"))
    read_only = fields.get("readOnly")
    return Event(
        **texts,
        read_only=read_only if isinstance(read_only, bool) else None,
        user_identity=UserIdentity(**_texts(UserIdentity, user)) if isinstance(user, dict) else None,
    )


def _texts(kind: type[msgspec.Struct], fields: Mapping[str, Any], but: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of `kind` that hold text which can be written as UTF-8."""
    pairs = zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
    values = {name: fields.get(their_name) for name, their_name in pairs if name not in but}
    return {name: value for name, value in values.items() if isinstance(value, str) and _is_writable(value)}


def _is_writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def epoch_s(text: str | None) -> int:
    """An eventTime in seconds since the epoch; 0 for what is no time, or none that fits four bytes."""
    try:
        at = int(from_rfc3339(text or ""))
    except (ValueError, OverflowError):
        return 0
    return at if 0 < at < 2**32 else 0
