"""`trailhook listen`: what it shows of events, and how it hands deliveries on."""

import gzip
import http.client
import json
from collections.abc import Mapping

import pytest

from support.clock import FakeClock
from support.samples import record
from trailhook.cli.forward import Forward
from trailhook.cli.hooks import HookServer, Reply
from trailhook.cli.listen import Listener, event_lines, events_of
from trailhook.delivery.sign import headers
from trailhook.errors import SettingsError

SECRET = b"0123456789abcdef0123456789abcdef"
BODY = gzip.compress(json.dumps({"type": "cloudtrail.events", "data": {"events": [record(1)]}}).encode())


def exchange(address: str, given: Mapping[str, str], body: bytes = BODY) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("POST", "/", body, dict(given))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def signed(clock: FakeClock, secret: bytes = SECRET) -> dict[str, str]:
    own = {"content-encoding": "gzip", "x-own": "kept", "traceparent": "00-a-b-01"}
    return dict(headers("msg_a", BODY, clock.now(), [secret])) | own


class Desk:
    """A listener that forwards, the program behind it, and what was said."""

    def __init__(self, url: str) -> None:
        self.clock = FakeClock()
        self.said: list[str] = []
        self.listener = Listener([SECRET], 204, self.said.append, self.clock, forward=Forward.to(url))


def test_what_is_genuine_is_handed_on_to_the_letter_and_its_answer_back() -> None:
    taken: list[tuple[Mapping[str, str], bytes]] = []

    def take(given: Mapping[str, str], body: bytes) -> Reply:
        taken.append((given, body))
        return Reply(429, (("retry-after", "7"), ("content-type", "text/plain")), b"later")

    with HookServer(take) as program:
        desk = Desk(f"http://{program.address}/hook")
        with HookServer(desk.listener.take) as listening:
            given = signed(desk.clock)
            status, answered, content = exchange(listening.address, given)
    assert (status, answered["retry-after"], answered["content-type"], content) == (429, "7", "text/plain", b"later")
    ((seen, body),) = taken
    assert body == BODY
    assert given.items() <= seen.items()
    assert seen["host"] == program.address
    assert desk.said[0].endswith("forwarded: 429")


def test_what_is_forged_is_not_handed_on() -> None:
    taken: list[bytes] = []

    def take(given: Mapping[str, str], body: bytes) -> Reply:
        taken.append(body)
        return Reply(200)

    with HookServer(take) as program:
        desk = Desk(f"http://{program.address}/hook")
        status = desk.listener.take(signed(desk.clock, b"another"), BODY).status
    assert (status, taken) == (401, [])


def test_a_program_that_is_away_is_said_and_answered_502() -> None:
    with HookServer(lambda *_: Reply(200)) as program:
        address = program.address
    desk = Desk(f"http://{address}/hook")
    assert desk.listener.take(signed(desk.clock), BODY).status == 502
    assert "not forwarded" in desk.said[0]


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "https://127.0.0.1/hook", "http://", "http://[", "http://x:y/"])
def test_what_is_no_address_to_forward_to_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="--forward"):
        Forward.to(url)


def test_events_are_shown_a_line_each_with_who_from_where_and_what_went_wrong() -> None:
    events = [record(1), record(2, errorCode="AccessDenied", eventName="Stop\x1b[2JInstances")]
    lines = [each.plain for each in event_lines(events, most=20)]
    assert lines == [
        "  2025-06-15T12:00:01Z  DescribeInstances  user/alice  198.51.100.7",
        "  2025-06-15T12:00:02Z  Stop�[2JInstances  user/alice  198.51.100.7  AccessDenied",
    ]


def test_of_many_events_some_are_shown_and_the_rest_counted() -> None:
    lines = [each.plain for each in event_lines([record(number) for number in range(30)], most=2)]
    assert (len(lines), lines[-1]) == (3, "  and 28 more: see --events")
    assert list(event_lines([record(1)], most=0)) == []


@pytest.mark.parametrize("body", [b"not json", b"7", b'{"type":"source.test","data":{}}', b"[1,2]"])
def test_what_holds_no_events_shows_none(body: bytes) -> None:
    assert list(event_lines(events_of({}, body), most=5)) == []
