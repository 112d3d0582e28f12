"""The fields of a record that we search, filter and identify by."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec.structs import astuple

from trailhook.clock import from_rfc3339

T = TypeVar("T")

_SECONDS: Final = {f"{second:02}Z": second for second in range(60)}


class Once(dict[str | None, T]):
    """What `make` makes of a text, made once."""

    def __init__(self, make: Callable[[str | None], T]) -> None:
        self._make = make

    def __missing__(self, text: str | None) -> T:
        made = self[text] = self._make(text)
        return made


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


class Identity(msgspec.Struct, frozen=True, gc=False, rename=_EVENT_NAMES):
    """Those of an event's fields that make it itself: enough to find out that it is known."""

    event_id: str | None = None
    event_time: str | None = None
    recipient_account_id: str | None = None


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


SEARCHED: Final = ("name", "service", "user", "ip", "error", "account", "region")
"""The texts that the stored log is searched by: see `Fields.searched`."""

Texts = Sequence[str | None]


class Fields(NamedTuple):
    """The fields of several events, side by side, in the order of `Event`'s."""

    event_id: Texts
    event_time: Texts
    event_name: Texts
    event_source: Texts
    event_type: Texts
    event_category: Texts
    aws_region: Texts
    source_ip_address: Texts
    error_code: Texts
    recipient_account_id: Texts
    read_only: Sequence[bool | None]
    user_identity: Sequence[UserIdentity | None]

    def searched(self) -> Sequence[Texts]:
        """One for each of `SEARCHED`. The user is the ARN, else the name, the service or the principal that acted."""
        users = [None if user is None else user.arn or _other_name(user) for user in self.user_identity]
        return (
            self.event_name,
            self.event_source,
            users,
            self.source_ip_address,
            self.error_code,
            self.recipient_account_id,
            self.aws_region,
        )


def side_by_side(events: Sequence[Event]) -> Fields:
    """The fields of events, of which there is at least one."""
    return Fields._make(zip(*map(astuple, events), strict=True))


def _other_name(user: UserIdentity) -> str | None:
    """Of who has no ARN."""
    return user.user_name or user.invoked_by or user.principal_id


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


class Times:
    """`epoch_s` of many texts: quick for those that CloudTrail writes, `2026-01-31T12:00:00Z`."""

    def __init__(self) -> None:
        self._minutes = Once(_minute_at)
        self._others = Once(epoch_s)

    def of(self, texts: Texts) -> list[int]:
        """One for each."""
        minutes = self._minutes
        try:
            return [minutes[text[:17]] + _SECONDS[text[17:]] for text in texts]  # type: ignore[index] # see below
        except (KeyError, TypeError):  # not all of them are times, or they are written otherwise
            return list(map(self._others.__getitem__, texts))


def _minute_at(text: str | None) -> int:
    """Of `2026-01-31T12:00:`. Raises KeyError unless all of its seconds are times."""
    if not (epoch_s(f"{text}59Z") and (at := epoch_s(f"{text}00Z"))):
        raise KeyError(text)
    return at
