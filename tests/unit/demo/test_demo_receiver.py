"""The demo's receiver keeps honest books, whatever the product says."""

import base64
import hashlib
import json
from collections.abc import Mapping

import pytest

from trailhook.cli.hooks import Reply
from trailhook.delivery.sign import headers
from trailhook.demo.receiver import Receiver

NOW = 1_770_000_000.0
SECRET = b"0123456789abcdef0123456789abcdef"


class Time:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> float:
        return self.at


def event(number: int, **more: object) -> bytes:
    return json.dumps({"recipientAccountId": "111122223333", "eventID": f"e-{number}", **more}).encode()


def envelope(*events: bytes, count: int | None = None, kind: str = "cloudtrail.events") -> bytes:
    head = f'{{"type":"{kind}","data":{{"count":{len(events) if count is None else count},"events":['
    return head.encode() + b",".join(events) + b"]}}"


def deliver(receiver: Receiver, hook_id: str, body: bytes, *, secret: bytes = SECRET, at: float = NOW) -> Reply:
    return receiver.take(dict(headers(hook_id, body, at, [secret])), body)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def receiver(time: Time) -> Receiver:
    made = Receiver(now=time)
    made.trust("whsec_" + base64.b64encode(SECRET).decode())
    return made


def seen(*events: bytes) -> Mapping[tuple[str, str], bytes]:
    return {("111122223333", json.loads(each)["eventID"]): hashlib.sha256(each).digest() for each in events}


def test_events_are_booked_with_the_hash_of_their_exact_bytes(receiver: Receiver) -> None:
    odd = b'{ "recipientAccountId":"111122223333","eventID":"e-2","n":1.0e0,"t":"\\u00fc" }'
    assert deliver(receiver, "msg_a", envelope(event(1), odd)).status == 204
    assert receiver.seen == seen(event(1), odd)
    assert (receiver.tally.batches, receiver.tally.events, receiver.tally.requests) == (1, 2, 1)


def test_a_known_webhook_id_is_dropped_and_counts_as_a_repeat(receiver: Receiver) -> None:
    for _ in range(2):
        assert deliver(receiver, "msg_a", envelope(event(1))).status == 204
    assert (receiver.tally.repeated, receiver.tally.doubled, receiver.tally.altered) == (1, 0, 0)


def test_an_event_under_another_webhook_id_is_a_double(receiver: Receiver) -> None:
    deliver(receiver, "msg_a", envelope(event(1)))
    deliver(receiver, "msg_b", envelope(event(1)))
    assert (receiver.tally.repeated, receiver.tally.doubled, receiver.tally.altered) == (0, 1, 0)


def test_an_event_twice_in_one_body_is_a_double(receiver: Receiver) -> None:
    deliver(receiver, "msg_a", envelope(event(1), event(1)))
    assert receiver.tally.doubled == 1


def test_other_bytes_under_a_known_id_are_noticed(receiver: Receiver) -> None:
    deliver(receiver, "msg_a", envelope(event(1)))
    deliver(receiver, "msg_a", envelope(event(2)))
    deliver(receiver, "msg_b", envelope(event(1, changed=True)))
    assert receiver.tally.altered == 2


@pytest.mark.parametrize("tamper", ["secret", "body", "time", "none"])
def test_a_bad_signature_is_refused_and_nothing_is_booked(receiver: Receiver, tamper: str) -> None:
    body = envelope(event(1))
    given = dict(headers("msg_a", body, NOW - 400 if tamper == "time" else NOW, [SECRET]))
    if tamper == "secret":
        given = dict(headers("msg_a", body, NOW, [b"another"]))
    if tamper == "none":
        del given["webhook-signature"]
    reply = receiver.take(given, envelope(event(2)) if tamper == "body" else body)
    assert reply.status == 401
    assert receiver.tally.bad_signatures == 1
    assert receiver.seen == {}


def test_either_of_two_signatures_is_enough(receiver: Receiver) -> None:
    body = envelope(event(1))
    assert receiver.take(dict(headers("msg_a", body, NOW, [b"new", SECRET])), body).status == 204


def test_before_it_knows_the_secret_it_asks_to_come_again(time: Time) -> None:
    receiver = Receiver(now=time)
    assert deliver(receiver, "msg_a", envelope(event(1))).status == 503
    assert receiver.tally.requests == 0


@pytest.mark.parametrize("body", [b"", b"[]", envelope(b'{"no":"ids"}'), envelope(event(1), count=2)])
def test_a_body_that_breaks_the_contract_is_refused_and_counted(receiver: Receiver, body: bytes) -> None:
    assert deliver(receiver, "msg_a", body).status == 400
    assert receiver.tally.unreadable == 1


def test_notices_are_counted_apart(receiver: Receiver) -> None:
    assert deliver(receiver, "msg_a", b'{"type":"source.recovered","data":{"sourceId":"x"}}').status == 204
    assert (receiver.tally.notices, receiver.tally.batches) == (1, 0)


def test_it_misbehaves_now_and_then_but_never_twice_at_one_delivery(receiver: Receiver, time: Time) -> None:
    statuses = []
    for number in range(4):
        time.at += receiver.mishap_every_s
        body = envelope(event(number))
        statuses.append([deliver(receiver, f"msg_{number}", body, at=time.at).status for _ in range(2)])
        time.at += receiver.mishap_every_s
        deliver(receiver, f"msg_{number}", body, at=time.at)
    assert statuses == [[500, 204], [429, 204], [500, 204], [500, 204]]
    assert receiver.tally.misbehaved == 4
    assert len(receiver.seen) == 4
    assert receiver.tally.doubled == 0


def test_an_error_after_taking_still_books_the_events(receiver: Receiver, time: Time) -> None:
    for number in range(3):
        time.at += receiver.mishap_every_s
        deliver(receiver, f"msg_{number}", envelope(event(number)), at=time.at)
    assert receiver.seen == seen(event(2))
    assert deliver(receiver, "msg_2", envelope(event(2)), at=time.at).status == 204
    assert receiver.tally.repeated == 1


def test_once_calm_it_takes_everything(receiver: Receiver, time: Time) -> None:
    receiver.calm()
    time.at += 10 * receiver.mishap_every_s
    assert deliver(receiver, "msg_a", envelope(event(1)), at=time.at).status == 204
