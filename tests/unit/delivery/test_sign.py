"""Signatures: the published vector, an independent verifier, and what our own verifier refuses."""

import base64
import json
import time

import pytest
from standardwebhooks.webhooks import Webhook

from trailhook.delivery import sign
from trailhook.delivery.sign import SignatureRefused, parse_secret

VECTOR_SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
VECTOR_AT = 1614265330
VECTOR_BODY = b'{"test": 2432232314}'
OLD, NEW = b"o" * 32, b"n" * 32


def test_the_published_vector_is_signed_as_published() -> None:
    assert sign.headers(VECTOR_ID, VECTOR_BODY, VECTOR_AT + 0.9, [parse_secret(VECTOR_SECRET)]) == [
        ("webhook-id", VECTOR_ID),
        ("webhook-timestamp", str(VECTOR_AT)),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]


def test_the_reference_library_accepts_what_we_sign() -> None:
    body = json.dumps({"type": "cloudtrail.events", "data": {"count": 1, "events": [{"é": "ü"}]}}).encode()
    headers = dict(sign.headers("msg_a", body, time.time(), [NEW, OLD]))
    for secret in (NEW, OLD):
        library = Webhook(base64.b64encode(secret).decode())
        assert library.verify(body, headers) == json.loads(body)


def test_while_a_secret_is_rotated_both_sign_and_the_newest_comes_first() -> None:
    both = dict(sign.headers("msg_a", b"{}", 5, [NEW, OLD]))["webhook-signature"]
    alone = [dict(sign.headers("msg_a", b"{}", 5, [secret]))["webhook-signature"] for secret in (NEW, OLD)]
    assert both.split(" ") == alone


def test_our_verifier_accepts_any_bytes_and_any_case_of_names() -> None:
    body = b"\x1f\x8b\x00\xff"
    headers = [(name.title(), value) for name, value in sign.headers("msg_a", body, 1_000, [NEW])]
    sign.verify(headers, body, [OLD, NEW], 1_000, 300)


@pytest.mark.parametrize("now", [1_299.0, 1_300.0, 701.0, 700.0])
def test_a_timestamp_within_the_tolerance_is_accepted(now: float) -> None:
    sign.verify(sign.headers("msg_a", b"{}", 1_000, [NEW]), b"{}", [NEW], now, 300)


@pytest.mark.parametrize("now", [1_301.0, 699.0])
def test_a_timestamp_of_another_time_is_refused(now: float) -> None:
    with pytest.raises(SignatureRefused, match="away from the clock"):
        sign.verify(sign.headers("msg_a", b"{}", 1_000, [NEW]), b"{}", [NEW], now, 300)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "msg_b"),
        ("webhook-timestamp", "1001"),
        ("webhook-timestamp", "soon"),
        ("webhook-timestamp", "1_000"),
        ("webhook-timestamp", "9" * 5_000),
        ("webhook-signature", "v1,AAAA"),
        ("webhook-signature", "ü v1 ,"),
        ("webhook-signature", ""),
    ],
)
def test_a_changed_header_is_refused(name: str, value: str) -> None:
    headers = {**dict(sign.headers("msg_a", b"{}", 1_000, [NEW])), name: value}
    with pytest.raises(SignatureRefused):
        sign.verify(headers.items(), b"{}", [NEW], 1_000, 300)


def test_a_changed_body_or_an_unknown_secret_is_refused() -> None:
    headers = sign.headers("msg_a", b"{}", 1_000, [NEW])
    with pytest.raises(SignatureRefused):
        sign.verify(headers, b"{ }", [NEW], 1_000, 300)
    with pytest.raises(SignatureRefused):
        sign.verify(headers, b"{}", [OLD], 1_000, 300)
    with pytest.raises(SignatureRefused):
        sign.verify(headers, b"{}", [], 1_000, 300)


def test_missing_headers_are_named() -> None:
    with pytest.raises(SignatureRefused, match="no webhook-timestamp, webhook-signature"):
        sign.verify([("webhook-id", "msg_a")], b"{}", [NEW], 1_000, 300)


@pytest.mark.parametrize("written", ["whsec_bm5ubg==", "whsec_bm5ubg", " bm5ubg== \n"])
def test_a_secret_is_read_with_or_without_prefix_and_padding(written: str) -> None:
    assert parse_secret(written) == b"nnnn"


@pytest.mark.parametrize("written", ["", "whsec_", "whsec_!!!!", "whsec_hunter2-hunter2"])
def test_what_is_no_secret_is_refused_without_showing_it(written: str) -> None:
    with pytest.raises(ValueError, match="is whsec_ and base64") as refused:
        parse_secret(written)
    assert "hunter2" not in str(refused.value)
