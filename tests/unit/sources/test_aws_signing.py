"""Calls are signed as AWS's own worked examples are, and failures come out as our errors."""

from datetime import UTC, datetime

import pytest

from support.bucket import refusal
from support.clock import FakeClock
from trailhook.errors import Invalid, Misconfigured, Refused, Throttled, TrailhookError, Transient
from trailhook.net.base import Answer, AnswerTooLong, CertificateRefused, ExchangeFailed, Phase, Request
from trailhook.sources.aws import AwsHttp, Call, Keys, OnRequest, service_host, signed_headers

EXAMPLE_AT = datetime(2013, 5, 24, tzinfo=UTC).timestamp()
EXAMPLE_KEYS = Keys(access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
CALL = Call(
    operation="GetObject",
    service="s3",
    region="us-east-1",
    url="https://examplebucket.s3.amazonaws.com/test.txt",
    answer_bytes_max=10,
    deadline_s=5.0,
)


class Scripted:
    """A transport that answers, or fails, as told."""

    def __init__(self, outcome: Answer | TrailhookError) -> None:
        self.outcome = outcome
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Answer:
        self.requests.append(request)
        if isinstance(self.outcome, TrailhookError):
            raise self.outcome
        return self.outcome


def count_in(counted: list[tuple[str, str]]) -> OnRequest:
    return lambda operation, outcome: counted.append((operation, outcome))


async def fail(outcome: Answer | TrailhookError, on_request: OnRequest | None = None) -> TrailhookError:
    with pytest.raises(TrailhookError) as raised:
        await AwsHttp(Scripted(outcome), FakeClock(), on_request).send(CALL, EXAMPLE_KEYS)
    return raised.value


def authorization(call: Call, keys: Keys = EXAMPLE_KEYS) -> str:
    return dict(signed_headers(call, keys, EXAMPLE_AT))["Authorization"]


@pytest.mark.parametrize(
    ("call", "signature"),
    [
        (
            CALL.but(headers=[("Range", "bytes=0-9")]),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            CALL.but(url="https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J"),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_signatures_are_those_of_the_examples_in_amazons_s3_reference(call: Call, signature: str) -> None:
    assert authorization(call).endswith(f"Signature={signature}")


def test_a_session_token_is_sent_and_signed() -> None:
    headers = dict(signed_headers(CALL, EXAMPLE_KEYS.but(session_token="token"), EXAMPLE_AT))
    assert headers["X-Amz-Security-Token"] == "token"
    assert "x-amz-security-token" in headers["Authorization"]


def test_keys_never_show_themselves() -> None:
    assert "wJalr" not in f"{EXAMPLE_KEYS!r} {EXAMPLE_KEYS}"


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "s3.eu-west-1.amazonaws.com"),
        ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "s3.us-gov-west-1.amazonaws.com"),
        ("zz-new-9", "s3.zz-new-9.amazonaws.com"),
    ],
)
def test_a_region_is_asked_in_its_own_partition(region: str, host: str) -> None:
    assert service_host("s3", region) == host


@pytest.mark.parametrize("region", ["", "us-east-1.evil.example", "us-east-1/", "evil.example#", "US-EAST-1"])
def test_what_is_no_region_never_becomes_part_of_a_host(region: str) -> None:
    with pytest.raises(Misconfigured):
        service_host("s3", region)


async def test_the_body_is_asked_for_as_it_is_stored_and_bounded() -> None:
    transport = Scripted(Answer(status=200, body=b"whole"))
    assert (await AwsHttp(transport, FakeClock()).send(CALL, EXAMPLE_KEYS)).body == b"whole"
    (request,) = transport.requests
    assert dict(request.headers)["accept-encoding"] == "identity"
    assert (request.body_bytes_max, request.cut_long_answers, request.deadline_s) == (10, False, 5.0)


async def test_a_body_that_broke_off_is_tried_again_rather_than_believed() -> None:
    assert type(await fail(Answer(status=200, body=b"who", broken="the peer closed"))) is Transient


async def test_an_answer_over_the_limit_can_never_be_read() -> None:
    error = await fail(AnswerTooLong("11 bytes"))
    assert isinstance(error, Invalid)
    assert error.reason == "too_large"


async def test_a_host_that_the_guard_refuses_names_the_setting_that_would_allow_it() -> None:
    error = await fail(Refused("this host is not an AWS endpoint", setting="TRAILHOOK_ALLOW_AWS_ENDPOINTS"))
    assert isinstance(error, Misconfigured)
    assert "TRAILHOOK_ALLOW_AWS_ENDPOINTS" in error.remedy


async def test_an_unknown_certificate_asks_for_its_authority() -> None:
    error = await fail(CertificateRefused("self-signed"))
    assert isinstance(error, Misconfigured)
    assert "caCertificate" in error.remedy


async def test_every_request_is_counted_by_operation_and_outcome() -> None:
    counted: list[tuple[str, str]] = []
    await AwsHttp(Scripted(Answer(status=200)), FakeClock(), count_in(counted)).send(CALL, EXAMPLE_KEYS)
    refusals: list[Answer | TrailhookError] = [
        refusal(503, "SlowDown"),
        refusal(403, "AccessDenied"),
        refusal(404, "NoSuchKey"),
        ExchangeFailed(Phase.DNS, "no such name"),
    ]
    for outcome in refusals:
        await fail(outcome, count_in(counted))
    assert counted == [("GetObject", each) for each in ("ok", "throttled", "access_denied", "gone", "transient")]


async def test_a_slow_down_is_throttling_and_passes_on_how_long() -> None:
    error = await fail(refusal(503, "SlowDown", retry_after="7"))
    assert isinstance(error, Throttled)
    assert error.retry_after_s == 7.0
