"""What is kept of the headers of a delivery and of its answer."""

import pytest

from support.store_values import a_batch, an_attempt
from trailhook.delivery import headers, sign
from trailhook.model import Batch, BatchKind


def a_kept_batch(**fields: object) -> Batch:
    frozen = a_batch("msg_a", count=2).but(**fields)
    own = {name: getattr(frozen, name) for name in frozen.__struct_fields__}
    return Batch(**own, num=1, source_id="s1", frozen_at=0.0, due_at=0.0)


def test_of_a_request_is_kept_what_the_batch_does_not_tell_and_nothing_secret() -> None:
    signed = sign.headers("msg_a", b"body", 1_750_000_000.0, [b"new secret", b"old secret"])
    sent = [*headers.of_batch(a_batch("msg_a"), "s1", 1), headers.AGENT, *signed, ("authorization", "Bearer canary")]
    assert headers.kept_of_request(sent, {"authorization"}) == (
        headers.AGENT,
        ("webhook-timestamp", "1750000000"),
        ("webhook-signature", "v1,*** v1,***"),
        ("authorization", "***"),
    )


def test_what_is_kept_and_the_batch_tell_all_that_was_sent() -> None:
    batch = a_kept_batch(content_encoding="gzip", parent="msg_0", kind=BatchKind.REPLAY)
    signed = sign.headers(batch.id, b"body", 1_750_000_000.0, [b"secret"])
    sent = [*headers.of_batch(batch, "s1", 3), headers.AGENT, *signed, ("x-own", "canary")]
    kept = an_attempt(3).but(sent=headers.kept_of_request(sent, {"x-own"}))
    shown = dict(headers.as_sent(batch, kept))
    assert {name: shown.get(name) for name, _ in sent} == {
        **dict(sent),
        "webhook-signature": "v1,***",
        "x-own": "***",
    }
    assert headers.as_sent(batch, an_attempt()) == ()


def test_of_an_answer_only_telling_headers_are_kept_short_and_redacted() -> None:
    answer = [
        ("set-cookie", "session=canary"),
        ("server", "nginx"),
        ("server", "second"),
        ("location", "https://user:canary@example.com/?key=my-own-canary"),
        ("x-request-id", "r" * 1_000),
    ]
    assert headers.kept_of_answer(answer, ["my-own-canary"]) == (
        ("server", "nginx"),
        ("location", "https://user:***@example.com/?key=***"),
        ("x-request-id", "r" * headers.VALUE_CHARACTERS_MAX),
    )


@pytest.mark.parametrize("value", ["password", "Bearer", "x-amz-signature"])
def test_a_value_that_ends_like_the_name_of_a_secret_costs_no_header(value: str) -> None:
    assert len(headers.kept_of_answer([("server", value), ("date", "today")], ())) == 2
