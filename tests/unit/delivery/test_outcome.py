"""What an answer means: the table of the promise, row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhook.delivery.outcome import Outcome, Verdict, judge
from trailhook.errors import KeyUnavailable, Refused, StoreUnavailable
from trailhook.net.base import Answer, AnswerTooLong, CertificateRefused, ExchangeFailed, Phase

NOW = 1_750_000_000.0  # Sun, 15 Jun 2025 15:06:40 GMT
HEAD = [("x-other", "1")]


def verdict_on(result: Answer | Exception) -> Verdict:
    return judge(result, now=NOW, kept_bytes=4096)


def after_retry_after(text: str, status: int = 503) -> Verdict:
    return verdict_on(Answer(status=status, headers=[*HEAD, ("retry-after", text)]))


TABLE = {
    Outcome.DELIVERED: (200, 201, 202, 204, 299),
    Outcome.GONE: (410,),
    Outcome.TOO_LARGE: (413,),
    Outcome.REFUSED: (400, 415, 422),
    Outcome.CONFIGURATION: (401, 403, 404, 405, 300, 301, 302, 304, 307, 308),
    Outcome.THROTTLED: (429,),
    Outcome.TRANSIENT: (408, 425, 500, 502, 503, 504, 599, 100, 101, 402, 409, 418, 451, 600, 999, 0),
}


@pytest.mark.parametrize(("outcome", "status"), [(outcome, each) for outcome in TABLE for each in TABLE[outcome]])
def test_a_status_has_the_class_of_the_table(outcome: Outcome, status: int) -> None:
    verdict = verdict_on(Answer(status=status))
    assert (verdict.outcome, verdict.status) == (outcome, status)
    assert not verdict.uncertain
    assert (str(status) in verdict.error) == (outcome is not Outcome.DELIVERED)


@given(st.integers(-10, 2_000))
def test_every_status_has_a_class(status: int) -> None:
    assert (verdict_on(Answer(status=status)).outcome is Outcome.DELIVERED) == (200 <= status <= 299)


def test_a_2xx_whose_body_breaks_is_delivered() -> None:
    verdict = verdict_on(Answer(status=200, body=b"o", broken="connection reset"))
    assert (verdict.outcome, verdict.error, verdict.uncertain) == (Outcome.DELIVERED, "", False)


def test_a_503_with_retry_after_is_a_throttle_and_without_a_failure() -> None:
    assert after_retry_after("7").outcome is Outcome.THROTTLED
    assert verdict_on(Answer(status=503)).outcome is Outcome.TRANSIENT
    assert after_retry_after("a while").outcome is Outcome.TRANSIENT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 6_000, float("inf")),
        ("Sun, 15 Jun 2025 15:08:40 GMT", 120.0),
        ("Sunday, 15-Jun-25 15:08:40 GMT", 120.0),
        ("Sun, 15 Jun 2025 17:08:40 +0200", 120.0),
        ("Sun, 15 Jun 2025 15:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float) -> None:
    assert after_retry_after(text, 429).retry_after_s == seconds


@pytest.mark.parametrize(
    "text", ["", "-1", "1.5", "1e3", "٣", "soon", "Sun, 99 Jun 2025", "Thu, 01 Jan 99999 00:00:00 GMT"]
)
def test_nonsense_in_retry_after_is_ignored(text: str) -> None:
    assert after_retry_after(text, 429).retry_after_s is None


@given(
    st.text(max_size=60) | st.from_regex(r"[A-Z]?[a-z]*,? ?\d* [A-Za-z]{0,9} \d* [\d:.]* ?[-+A-Z\d]*", fullmatch=True)
)
def test_no_retry_after_breaks_the_verdict(text: str) -> None:
    retry_after_s = after_retry_after(text, 429).retry_after_s
    assert retry_after_s is None or retry_after_s >= 0


def test_an_answer_that_was_lost_leaves_it_uncertain() -> None:
    lost = verdict_on(ExchangeFailed(Phase.ANSWER, "The answer did not come in time.", sent=True, timed_out=True))
    assert (lost.outcome, lost.uncertain, lost.timed_out) == (Outcome.TRANSIENT, True, True)
    assert lost.error == "The answer did not come in time."


def test_a_request_that_never_went_out_is_certain() -> None:
    failed = verdict_on(ExchangeFailed(Phase.CONNECT, "Connection refused."))
    assert (failed.outcome, failed.uncertain, failed.timed_out) == (Outcome.TRANSIENT, False, False)


def test_a_bad_certificate_is_a_matter_of_configuration() -> None:
    verdict = verdict_on(CertificateRefused("The certificate has expired."))
    assert verdict.outcome is Outcome.CONFIGURATION
    assert "caCertificate" in verdict.remedy


def test_our_guards_refusal_names_the_setting_that_would_allow_it() -> None:
    verdict = verdict_on(Refused("10.0.0.1 is private.", setting="TRAILHOOK_ALLOW_CALLBACK_CIDRS"))
    assert verdict.outcome is Outcome.GUARDED
    assert "TRAILHOOK_ALLOW_CALLBACK_CIDRS" in verdict.remedy
    assert "Allow" not in verdict_on(Refused("It is multicast.")).remedy


@pytest.mark.parametrize("error", [StoreUnavailable("no primary"), KeyUnavailable("no key")])
def test_our_own_faults_are_ours(error: Exception) -> None:
    assert verdict_on(error).outcome is Outcome.OURS


@pytest.mark.parametrize("error", [AnswerTooLong("The answer is too long."), RuntimeError("hunter2")])
def test_what_nobody_foresaw_is_tried_again_as_uncertain_and_shows_nothing_foreign(error: Exception) -> None:
    verdict = verdict_on(error)
    assert (verdict.outcome, verdict.uncertain) == (Outcome.TRANSIENT, True)
    assert "hunter2" not in verdict.error


@pytest.mark.parametrize("status", [401, 403, 404, 405, 301, 410, 413, 400, 422])
def test_every_answer_that_a_person_must_see_to_has_a_remedy(status: int) -> None:
    assert verdict_on(Answer(status=status)).remedy


def test_what_is_kept_of_an_answer_is_text_within_the_limit() -> None:
    kept = judge(Answer(status=500, body="é".encode() * 100 + b"\xff"), now=NOW, kept_bytes=33).answer
    assert kept == "é" * 16
    assert judge(Answer(status=500, body=b"a\xffb"), now=NOW, kept_bytes=33).answer == "a\ufffdb"


def test_secrets_are_taken_out_before_an_answer_is_cut() -> None:
    answer = Answer(status=400, body=b"you sent hunter2hunter2 to me")
    assert judge(answer, now=NOW, kept_bytes=15, secrets=["hunter2hunter2"]).answer == "you sent *** to"


def test_secrets_are_taken_out_of_what_an_error_says() -> None:
    error = ExchangeFailed(Phase.SEND, "Header hunter2 is not allowed.")
    assert judge(error, now=NOW, kept_bytes=15, secrets=["hunter2"]).error == "Header *** is not allowed."
