"""LookupEvents of the simulated account: a layer in front of moto, which does not know it.

It answers as the CloudTrail API reference says: events of 90 days, newest first, 50 a page, a token that is good
with the very same parameters only, two requests a second for an account and region, refusals as HTTP 400.
It was written from that reference and shares nothing with the code that asks.
"""

import base64
import hashlib
import json
import random
import re
import sys
import threading
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ACCOUNT = "123456789012"
"""The account of keys that nobody has told of, as in moto."""
KEPT_S = 90 * 86_400
PAGE_EVENTS_MAX = 50
REQUESTS_PER_S = 2
_TARGET = "CloudTrail_20131101.LookupEvents"
_SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/cloudtrail/aws4_request")

_Order = tuple[float, int]
"""An event's place: its time, and among those of one second the order in which they were added."""


class Refusal(Exception):
    """An answer of HTTP 400."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, order=True)
class _Event:
    order: _Order
    appears_at: float = field(compare=False)
    category: str = field(compare=False)
    answer: Mapping[str, Any] = field(compare=False)


@dataclass(kw_only=True)
class LookupEvents:
    """The event histories of all simulated accounts, and the WSGI application that answers for them."""

    app: "WSGIApplication"
    """Who answers all else."""
    now: Callable[[], float]
    throttled_share: float = 0.0
    """How many of the requests within the budget are throttled all the same, as when the console is in use."""
    account: str = ACCOUNT
    """Whose keys those are that nobody has told of."""
    accounts: dict[str, str] = field(default_factory=dict)
    """Account by access key id."""
    kept_max: int = sys.maxsize
    """How many events of one account and region are kept: the newest."""
    refused_keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By access key id: the code and the message of the refusal. See `EXPIRED`, `INVALID` and `DENIED`."""
    requests: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    """When requests came, by account and region, those that were throttled included."""
    throttled: int = 0
    _events: dict[tuple[str, str], list[_Event]] = field(default_factory=lambda: defaultdict(list))
    _added: int = 0
    _chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - throttling, no secrets
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self,
        record: bytes,
        *,
        account: str = ACCOUNT,
        region: str = "us-east-1",
        category: str = "management",
        appears_at: float = 0.0,
    ) -> None:
        """Put a record into the history of an account, to be found from `appears_at` on."""
        fields = json.loads(record)
        at = datetime.fromisoformat(fields["eventTime"]).timestamp()
        with self._lock:
            self._added += 1
            event = _Event((at, self._added), appears_at, category, _described(fields, record.decode(), at))
            events = self._events[account, region]
            insort(events, event)
            del events[: -self.kept_max]

    def busiest(self, account: str = ACCOUNT, region: str = "us-east-1") -> int:
        """The most requests that came within any one second."""
        times = sorted(self.requests[account, region])
        return max((sum(at <= each < at + 1.0 for each in times) for at in times), default=0)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not environ.get("HTTP_X_AMZ_TARGET", "").endswith(_TARGET):
            return self.app(environ, start_response)
        try:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, answer = "200 OK", self._answer(environ.get("HTTP_AUTHORIZATION", ""), body)
        except Refusal as refusal:
            status, answer = "400 Bad Request", {"__type": refusal.code, "message": str(refusal)}
        content = json.dumps(answer).encode()
        headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("content-length", str(len(content))),
            ("x-amzn-requestid", str(uuid4())),
        ]
        start_response(status, headers)
        return [content]

    def _answer(self, authorization: str, body: bytes) -> Mapping[str, Any]:
        scope = _SCOPE.search(authorization)
        if scope is None:
            raise Refusal("MissingAuthenticationTokenException", "Missing Authentication Token")
        key, region = scope[1], scope[2]
        account = self.accounts.get(key, self.account)
        now = self.now()
        with self._lock:
            self._spend(account, region, now)
            if key in self.refused_keys:
                raise Refusal(*self.refused_keys[key])
            return self._page(account, region, json.loads(body or b"{}"), now)

    def _spend(self, account: str, region: str, now: float) -> None:
        times = self.requests[account, region]
        times.append(now)
        over = sum(now - 1.0 < at for at in times[-(REQUESTS_PER_S + 1) :]) > REQUESTS_PER_S
        if over or self._chance.random() < self.throttled_share:
            self.throttled += 1
            raise Refusal("ThrottlingException", "Rate exceeded")

    def _page(self, account: str, region: str, wanted: dict[str, Any], now: float) -> Mapping[str, Any]:
        token = wanted.pop("NextToken", None)
        start_at, end_at, most, category = _checked(wanted, now)
        parameters = hashlib.sha256(json.dumps([account, region, wanted], sort_keys=True).encode()).hexdigest()
        before = _opened(token, parameters) if token is not None else (end_at + 1.0, 0)
        found = [
            event
            for event in reversed(self._events[account, region])
            if event.order < before
            and start_at <= event.order[0] <= end_at
            and event.appears_at <= now
            and event.category == category
        ]
        answer: dict[str, Any] = {"Events": [event.answer for event in found[:most]]}
        if len(found) > most:
            answer["NextToken"] = _sealed(found[most - 1].order, parameters)
        return answer


EXPIRED = ("ExpiredTokenException", "The security token included in the request is expired")
INVALID = ("UnrecognizedClientException", "The security token included in the request is invalid.")
DENIED = (
    "AccessDeniedException",
    f"User: arn:aws:iam::{ACCOUNT}:user/forwarder is not authorized to perform: cloudtrail:LookupEvents "
    "because no identity-based policy allows the cloudtrail:LookupEvents action",
)
_KNOWN: Collection[str] = ("StartTime", "EndTime", "MaxResults", "EventCategory")


def _checked(wanted: Mapping[str, Any], now: float) -> tuple[float, float, int, str]:
    """The window, the size of a page and the category, by the rules of the API reference."""
    if unknown := wanted.keys() - _KNOWN:
        raise Refusal("InvalidLookupAttributesException", f"This simulation does not know {sorted(unknown)}")
    start_at, end_at = wanted.get("StartTime", now - KEPT_S), wanted.get("EndTime", now)
    if start_at > end_at or start_at < now - KEPT_S:
        raise Refusal("InvalidTimeRangeException", "The time range is outside the range of possible values.")
    most = wanted.get("MaxResults", PAGE_EVENTS_MAX)
    if not 1 <= most <= PAGE_EVENTS_MAX:
        raise Refusal("InvalidMaxResultsException", "MaxResults must be from 1 to 50.")
    category = wanted.get("EventCategory", "management")
    if "EventCategory" in wanted and category != "insight":
        raise Refusal("InvalidEventCategoryException", "EventCategory must be insight.")
    return start_at, end_at, most, category


def _described(fields: Mapping[str, Any], record: str, at: float) -> Mapping[str, Any]:
    """An element of `Events`: what there is nothing of is left out."""
    identity = fields.get("userIdentity") or {}
    described = {
        "EventId": fields.get("eventID"),
        "EventName": fields.get("eventName"),
        "ReadOnly": str(fields["readOnly"]).lower() if "readOnly" in fields else None,
        "AccessKeyId": identity.get("accessKeyId"),
        "EventTime": at,
        "EventSource": fields.get("eventSource"),
        "Username": identity.get("userName"),
        "Resources": [
            {"ResourceType": each.get("type", ""), "ResourceName": each.get("ARN", "")}
            for each in fields.get("resources") or ()
        ],
        "CloudTrailEvent": record,
    }
    return {name: value for name, value in described.items() if value is not None}


def _sealed(order: _Order, parameters: str) -> str:
    return base64.b64encode(json.dumps([*order, parameters]).encode()).decode()


def _opened(token: str, parameters: str) -> _Order:
    try:
        at, number, bound_to = json.loads(base64.b64decode(token, validate=True))
    except ValueError:
        bound_to = None
    if bound_to != parameters:
        raise Refusal("InvalidNextTokenException", "The token is not one of a request with these parameters.")
    return float(at), int(number)
