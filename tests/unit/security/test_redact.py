"""Secrets in text from outside."""

import pytest

from trailhook.security.redact import redact

AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw== is wrong", "*** is wrong"),
        ('{"Authorization": "Bearer abc.def-123"}', '{"Authorization": "Bearer ***"}'),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic ***"),
        (f"key={AWS_SECRET};", "key=***;"),
        (f'"{AWS_SECRET}"', '"***"'),
        ("AKIAIOSFODNN7EXAMPLE is unknown", "***MPLE is unknown"),
        ("th_" + "a2b3c4d5e6" * 3, "th_***"),
        ("X-Amz-Signature=0a1b&", "X-Amz-Signature=***&"),
        ("PASSWORD: hunter2", "PASSWORD: ***"),
        ("session_token=abc, sessionToken=abc", "session_token=***, sessionToken=***"),
        ("\u017fecret_access_\u212aey=abc", "\u017fecret_access_\u212aey=***"),
        ("see http://me:hunter2@example.com/", "see http://me:***@example.com/"),
        ("token IQoJb3JpZ2luX2Vj" + "aB3/" * 40 + "== end", "token *** end"),
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "/srv/www/some/long/path/with/lower/case/x",
        "a bearer of news",
        "event 3f2b8c1e-0000-4000-8000-123456789abc was refused: eventName is missing",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_known_secrets_are_masked_whole_and_by_their_words() -> None:
    secrets = ["Token hunter2hunter2", "hunter2"]
    assert redact("got Token hunter2hunter2, and hunter2hunter2, and hunter2", secrets) == "got ***, and ***, and ***"


def test_values_too_short_to_be_secret_leave_text_readable() -> None:
    assert redact("1 of 11", ["1", ""]) == "1 of 11"
