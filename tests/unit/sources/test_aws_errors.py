"""What each code means, by the code and never by the HTTP status alone."""

import json

import pytest

from support.bucket import refusal
from trailhook.errors import (
    AccessDenied,
    ClockSkewed,
    CredentialsExpired,
    CredentialsInvalid,
    Misconfigured,
    NeedsAttention,
    ObjectGone,
    Throttled,
    TrailhookError,
    Transient,
    Unexplained,
)
from trailhook.net.base import Answer
from trailhook.sources.aws_errors import translate

CLASSES: list[tuple[type[TrailhookError], str]] = [
    (
        Throttled,
        "Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException "
        "TooManyRequestsException ProvisionedThroughputExceededException RequestLimitExceeded BandwidthLimitExceeded "
        "LimitExceededException SlowDown PriorRequestNotComplete",
    ),
    (Transient, "RequestTimeout RequestTimeoutException InternalError ServiceUnavailable"),
    (CredentialsExpired, "ExpiredToken ExpiredTokenException"),
    (
        CredentialsInvalid,
        "InvalidClientTokenId UnrecognizedClientException InvalidAccessKeyId SignatureDoesNotMatch AuthFailure",
    ),
    (AccessDenied, "AccessDenied AccessDeniedException AllAccessDisabled KMS.DisabledException KMS.NotFoundException"),
    (ClockSkewed, "RequestTimeTooSkewed RequestExpired"),
    (Misconfigured, "NoSuchBucket PermanentRedirect AWS.SimpleQueueService.NonExistentQueue"),
    (ObjectGone, "NoSuchKey InvalidObjectState"),
]


@pytest.mark.parametrize("status", [400, 403, 503])
@pytest.mark.parametrize(("kind", "code"), [(kind, code) for kind, codes in CLASSES for code in codes.split()])
def test_a_code_means_the_same_whatever_the_status(kind: type[TrailhookError], code: str, status: int) -> None:
    assert type(translate(refusal(status, code), "GetObject")) is kind


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=400, body=json.dumps({"__type": "com.amazonaws.cloudtrail#ThrottlingException"}).encode()),
        Answer(status=400, body=b"{}", headers=[("x-amzn-errortype", "ThrottlingException:http://internal/")]),
        Answer(status=400, body=b"<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>"),
    ],
)
def test_the_code_is_found_in_every_protocol(answer: Answer) -> None:
    assert isinstance(translate(answer, "LookupEvents"), Throttled)


@pytest.mark.parametrize("body", [b"", b"<html><p>Bad gateway", b"\xff\xfe", b"[]", b"{nonsense", b"<Error/>"])
def test_an_answer_without_a_code_is_judged_by_its_status(body: bytes) -> None:
    def kind(status: int) -> type[TrailhookError]:
        return type(translate(Answer(status=status, body=body), "ListObjectsV2"))

    assert [kind(status) for status in (502, 429, 403, 404)] == [Transient, Throttled, AccessDenied, Misconfigured]


def test_an_unknown_refusal_of_one_object_is_not_taken_for_its_sources_state() -> None:
    assert type(translate(refusal(400, "InvalidRequest"), "GetObject")) is Unexplained
    assert type(translate(refusal(400, "InvalidRequest"), "ListObjectsV2")) is Misconfigured


@pytest.mark.parametrize(
    ("operation", "action"),
    [("ListObjectsV2", "s3:ListBucket"), ("GetObject", "s3:GetObject"), ("AssumeRole", "sts:AssumeRole")],
)
def test_a_denial_names_the_action_and_what_it_was_about(operation: str, action: str) -> None:
    error = translate(refusal(403, "AccessDenied", "Access Denied"), operation, resource="arn:aws:s3:::trail")
    assert isinstance(error, AccessDenied)
    assert error.action == action
    assert error.remedy == f"Allow {action} on arn:aws:s3:::trail for these credentials."


def test_a_denial_that_says_which_action_is_believed() -> None:
    message = (
        "User: arn:aws:iam::111122223333:user/reader is not authorized to perform: kms:Decrypt on resource: "
        "arn:aws:kms:us-east-1:111122223333:key/1234 because no identity-based policy allows the kms:Decrypt action"
    )
    error = translate(refusal(403, "AccessDenied", message), "GetObject", resource="arn:aws:s3:::trail/key")
    assert isinstance(error, AccessDenied)
    assert error.action == "kms:Decrypt"
    assert "arn:aws:kms:us-east-1:111122223333:key/1234" in error.remedy


@pytest.mark.parametrize("answer", [refusal(400, "KMS.DisabledException"), refusal(403, "AccessDenied", "KMS key")])
def test_trouble_with_the_buckets_key_is_about_kms_decrypt(answer: Answer) -> None:
    error = translate(answer, "GetObject", resource="arn:aws:s3:::trail/key")
    assert isinstance(error, AccessDenied)
    assert error.action == "kms:Decrypt"


@pytest.mark.parametrize(
    "message", ["Signature expired: 20240101T000000Z is now earlier than 2024", "Request has expired"]
)
def test_a_wrong_clock_is_not_blamed_on_the_key(message: str) -> None:
    error = translate(refusal(403, "SignatureDoesNotMatch", message), "AssumeRole")
    assert isinstance(error, ClockSkewed)
    assert "clock" in error.remedy


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=301, headers=[("x-amz-bucket-region", "eu-west-1")]),
        Answer(status=400, headers=[("x-amz-bucket-region", "eu-west-1")]),
        refusal(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"),
        refusal(307, "TemporaryRedirect", x_amz_bucket_region="eu-west-1"),
        Answer(
            status=400,
            body=b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong</Message>"
            b"<Region>eu-west-1</Region></Error>",
        ),
    ],
)
def test_a_wrong_region_comes_with_the_right_one(answer: Answer) -> None:
    error = translate(answer, "ListObjectsV2")
    assert isinstance(error, Misconfigured)
    assert error.region == "eu-west-1"


def test_a_region_that_is_no_name_of_one_is_not_believed() -> None:
    error = translate(refusal(301, "PermanentRedirect", x_amz_bucket_region="evil.example/"), "ListObjectsV2")
    assert isinstance(error, Misconfigured)
    assert error.region is None


@pytest.mark.parametrize(("code", "reason"), [("NoSuchKey", "gone"), ("InvalidObjectState", "archived")])
def test_an_object_out_of_reach_says_how(code: str, reason: str) -> None:
    error = translate(refusal(403, code), "GetObject")
    assert isinstance(error, ObjectGone)
    assert error.reason == reason


def test_nothing_that_the_other_side_echoes_gets_into_a_message() -> None:
    for code in ("InvalidAccessKeyId", "ExpiredToken", "AccessDenied", "NoSuchBucket", "SlowDown", "Strange"):
        error = translate(refusal(400, code, "echo of s3cr3t-token and AKIASECRETSECRET"), "ListObjectsV2")
        shown = f"{error} {error.remedy if isinstance(error, NeedsAttention) else ''}"
        assert "s3cr3t" not in shown
        assert "AKIA" not in shown


def test_every_state_comes_with_a_reason_and_a_remedy() -> None:
    for _, codes in CLASSES:
        for code in codes.split():
            error = translate(refusal(400, code), "ListObjectsV2", resource="arn:aws:s3:::trail")
            if isinstance(error, NeedsAttention):
                assert error.reason.endswith(".")
                assert error.remedy.endswith(".")
