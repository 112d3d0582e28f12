"""The receiver that the documentation shows does what the documentation says."""

import base64
import importlib.util
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trailhook.delivery import sign

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
EXAMPLE = ROOT / "docs" / "examples" / "receiver.py"

# The vector that Standard Webhooks publishes.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
SENT_AT = 1_614_265_330
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(SENT_AT),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("receiver_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def store(example: ModuleType) -> Iterator[sqlite3.Connection]:
    with closing(example.opened(":memory:")) as store:
        yield store


def events(*names: str) -> bytes:
    return json.dumps({"type": "cloudtrail.events", "data": {"events": [{"eventID": name} for name in names]}}).encode()


def kept(store: sqlite3.Connection) -> list[str]:
    return [json.loads(record)["eventID"] for (record,) in store.execute("SELECT record FROM events ORDER BY rowid")]


def test_the_published_vector_verifies(example: ModuleType) -> None:
    assert example.verified(SECRET, HEADERS, BODY, SENT_AT + 299)


def test_one_good_signature_among_several_is_enough(example: ModuleType) -> None:
    both = {**HEADERS, "webhook-signature": f"v1,AAAA {HEADERS['webhook-signature']}"}
    assert example.verified(SECRET, both, BODY, SENT_AT)


@pytest.mark.parametrize("name", list(HEADERS))
def test_a_missing_header_does_not_verify(example: ModuleType, name: str) -> None:
    rest = {key: value for key, value in HEADERS.items() if key != name}
    assert not example.verified(SECRET, rest, BODY, SENT_AT)


def test_another_body_secret_or_id_does_not_verify(example: ModuleType) -> None:
    other = "whsec_" + base64.b64encode(b"another").decode()
    assert not example.verified(SECRET, HEADERS, BODY + b" ", SENT_AT)
    assert not example.verified(other, HEADERS, BODY, SENT_AT)
    assert not example.verified(SECRET, {**HEADERS, "webhook-id": "msg_other"}, BODY, SENT_AT)


def test_an_old_or_early_message_does_not_verify(example: ModuleType) -> None:
    assert not example.verified(SECRET, HEADERS, BODY, SENT_AT + 301)
    assert not example.verified(SECRET, HEADERS, BODY, SENT_AT - 301)


def test_a_known_id_is_dropped(example: ModuleType, store: sqlite3.Connection) -> None:
    for _ in range(2):
        example.keep(store, "msg_1", None, events("a", "b"))
    assert kept(store) == ["a", "b"]


def test_a_part_of_a_known_batch_is_dropped_and_of_an_unknown_one_kept(
    example: ModuleType, store: sqlite3.Connection
) -> None:
    example.keep(store, "msg_parent", None, events("a", "b"))
    example.keep(store, "msg_child", "msg_parent", events("a"))
    example.keep(store, "msg_other_child", "msg_refused", events("c"))
    assert kept(store) == ["a", "b", "c"]


def test_a_notice_is_taken_once_and_is_no_event(
    example: ModuleType, store: sqlite3.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    notice = json.dumps({"type": "source.test", "data": {}}).encode()
    for _ in range(2):
        example.keep(store, "msg_notice", None, notice)
    assert kept(store) == []
    assert capsys.readouterr().out.count("source.test") == 1


def test_the_few_lines_in_the_readme_verify_what_trailhook_sends() -> None:
    names: dict[str, Any] = {}
    exec(README.read_text().partition("```python\n")[2].partition("```")[0], names)
    secret = b"a secret of thirty-two bytes, ok"
    headers = dict(sign.headers("msg_1", BODY, time.time(), [secret]))
    written = "whsec_" + base64.b64encode(secret).decode()
    assert names["verified"](written, headers, BODY)
    assert not names["verified"](written, headers, BODY + b" ")
