"""What `trailhook listen` says and answers about a delivery."""

import gzip
import json

import pytest

from support.clock import FakeClock
from trailhook.cli.listen import Listener, summary
from trailhook.delivery.sign import headers

SECRET = b"0123456789abcdef0123456789abcdef"
EVENTS = [{"eventName": "GetObject"}, {"eventName": "PutObject"}, {"eventName": "GetObject"}]
ENVELOPE = json.dumps({"type": "cloudtrail.events", "data": {"count": 3, "events": EVENTS}}).encode()


class Desk:
    """A listener and what it has said."""

    def __init__(self, *, secrets: tuple[bytes, ...] = (SECRET,), status: int = 204) -> None:
        self.said: list[str] = []
        self.clock = FakeClock()
        self._listener = Listener(secrets, status, self.said.append, self.clock)

    def deliver(self, body: bytes = ENVELOPE, *, hook_id: str = "msg_a", secret: bytes = SECRET) -> int:
        signed = headers(hook_id, body, self.clock.now(), [secret])
        return self._listener.take(dict([*signed, ("content-type", "application/json")]), body).status

    def bare(self, body: bytes) -> int:
        return self._listener.take({}, body).status


def test_a_good_delivery_is_told_in_one_line() -> None:
    desk = Desk()
    assert desk.deliver() == 204
    assert desk.said == ["2025-06-15T15:06:40.000Z  msg_a  ok  cloudtrail.events: 3 events  GetObject×2, PutObject"]


def test_a_notice_is_told_with_its_reason_and_its_remedy() -> None:
    told = {"sourceName": "prod", "state": "misconfigured", "reason": "No such bucket.", "remedy": "Correct s3Bucket."}
    body = json.dumps({"type": "source.misconfigured", "data": {**told, "sourceId": "x", "since": "2026"}}).encode()
    assert summary({}, body) == "source.misconfigured: prod misconfigured No such bucket. Correct s3Bucket."
    assert summary({}, b'{"type":"source.test","data":7}') == "events: 1 event  ?"


def test_a_bad_signature_is_answered_401_and_said() -> None:
    desk = Desk()
    assert desk.deliver(secret=b"another") == 401
    assert "BAD signature" in desk.said[0]


def test_an_old_timestamp_is_a_bad_signature() -> None:
    desk = Desk()
    body, signed = ENVELOPE, headers("msg_a", ENVELOPE, desk.clock.now() - 1_000, [SECRET])
    assert desk._listener.take(dict(signed), body).status == 401


def test_a_known_webhook_id_is_dropped() -> None:
    desk = Desk()
    assert [desk.deliver(), desk.deliver(), desk.deliver(hook_id="msg_b")] == [204, 204, 204]
    assert ["dropped" in line for line in desk.said] == [False, True, False]


def test_what_it_refused_is_not_known_afterwards() -> None:
    desk = Desk(status=500)
    assert [desk.deliver(), desk.deliver()] == [500, 500]
    assert not any("dropped" in line for line in desk.said)


def test_without_a_secret_everything_is_taken_as_not_verified() -> None:
    desk = Desk(secrets=())
    assert [desk.bare(ENVELOPE), desk.bare(ENVELOPE)] == [204, 204]
    assert all("not verified" in line and "3 events" in line for line in desk.said)


@pytest.mark.parametrize(
    ("given", "body", "said"),
    [
        (
            {"content-encoding": "gzip"},
            gzip.compress(ENVELOPE, mtime=0),
            "cloudtrail.events: 3 events  GetObject×2, PutObject",
        ),
        ({"content-type": "application/x-ndjson"}, b'{"eventName":"A"}\n{"eventName":"B"}\n', "events: 2 events  A, B"),
        ({}, b'[{"eventName":"A"}]', "events: 1 event  A"),
        ({}, b'{"eventName":"A"}', "events: 1 event  A"),
        ({}, b'{"type":"source.recovered","data":{"sourceId":"x"}}', "source.recovered"),
        ({}, b'{"type":"cloudtrail.events","data":{"events":[1]}}', "cloudtrail.events: 1 event  ?"),
        ({}, b"null", "a JSON value: 0 events"),
        ({}, b"not json", "8 bytes that cannot be read (JSONDecodeError)"),
        ({"content-encoding": "gzip"}, b"not gzip", "8 bytes that cannot be read (error)"),
        ({}, b"[" * 100_000, "100000 bytes that cannot be read (RecursionError)"),
    ],
)
def test_every_format_is_understood_and_none_breaks_it(given: dict[str, str], body: bytes, said: str) -> None:
    assert summary(given, body) == said


def test_many_names_are_cut_short() -> None:
    body = json.dumps([{"eventName": f"E{number}"} for number in range(9)]).encode()
    assert summary({}, body).endswith("E5 and 3 more")
