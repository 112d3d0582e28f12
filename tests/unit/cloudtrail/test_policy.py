"""The minimal policy: whatever a source's ways in ask of AWS, and nothing else."""

from typing import Any

import pytest

from support.aws import access
from trailhook.cloudtrail.policy import keys_policy, minimal_policy
from trailhook.model import Source

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/trail"
ROLE = "arn:aws:iam::123456789012:role/reader"


def source(**fields: Any) -> Source:
    return access("logs").source.but(**fields)


def allowed(source: Source) -> dict[str, str]:
    """Resource by action, of those that go without a condition on a key of KMS."""
    return {
        action: each["Resource"]
        for each in minimal_policy(source)["Statement"]
        for action in each["Action"]
        if action != "kms:Decrypt"
    }


def decrypts(source: Source) -> dict[str, str]:
    """What may be decrypted: the resource by the name of the context that tells of it."""
    return {
        context: resource
        for each in minimal_policy(source)["Statement"]
        if each["Action"] == ["kms:Decrypt"]
        for context, resource in each["Condition"]["StringLike"].items()
    }


def test_polling_lists_the_bucket_and_gets_what_is_in_it() -> None:
    assert allowed(source()) == {"s3:ListBucket": "arn:aws:s3:::logs", "s3:GetObject": "arn:aws:s3:::logs/*"}


def test_a_prefix_narrows_both_listing_and_getting() -> None:
    of_prefix = source(prefix="AWSLogs/1/")
    listing = minimal_policy(of_prefix)["Statement"][0]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["AWSLogs/1/*"]}}
    assert allowed(of_prefix)["s3:GetObject"] == "arn:aws:s3:::logs/AWSLogs/1/*"
    assert "Condition" not in minimal_policy(source())["Statement"][0]


def test_notifications_alone_need_no_listing() -> None:
    told = source(intakes=("sqs",), sqs_queue_url=QUEUE)
    queue = "arn:aws:sqs:eu-west-1:123456789012:trail"
    assert allowed(told) == {
        "s3:GetObject": "arn:aws:s3:::logs/*",
        "sqs:ReceiveMessage": queue,
        "sqs:DeleteMessage": queue,
        "sqs:ChangeMessageVisibility": queue,
    }


def test_without_a_bucket_reading_is_asked_for_in_every_bucket_and_says_so() -> None:
    told = source(intakes=("sqs",), sqs_queue_url=QUEUE, bucket=None)
    assert allowed(told)["s3:GetObject"] == "arn:aws:s3:::*/*"
    assert "EveryBucket" in minimal_policy(told)["Statement"][0]["Sid"]
    assert decrypts(told)["kms:EncryptionContext:aws:s3:arn"] == "arn:aws:s3:::*"


def test_decrypting_is_for_the_bucket_and_the_queue_only() -> None:
    assert decrypts(source(intakes=("sqs", "s3"), sqs_queue_url=QUEUE)) == {
        "kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::logs*",
        "kms:EncryptionContext:aws:sqs:arn": "arn:aws:sqs:eu-west-1:123456789012:trail",
    }


def test_a_queue_that_is_not_used_is_not_allowed() -> None:
    assert set(allowed(source(sqs_queue_url=QUEUE))) == {"s3:ListBucket", "s3:GetObject"}


def test_a_queue_behind_an_endpoint_of_ones_own_is_in_the_sources_region() -> None:
    told = source(intakes=("sqs",), sqs_queue_url="http://localhost:4566/123456789012/trail")
    assert allowed(told)["sqs:ReceiveMessage"] == "arn:aws:sqs:us-east-1:123456789012:trail"


def test_lookup_events_needs_one_action_and_no_bucket() -> None:
    assert allowed(source(intakes=("lookup",), bucket=None)) == {"cloudtrail:LookupEvents": "*"}


@pytest.mark.parametrize(
    ("region", "arn"), [("cn-north-1", "arn:aws-cn"), ("us-gov-west-1", "arn:aws-us-gov"), ("eu-west-1", "arn:aws")]
)
def test_resources_are_named_in_the_partition_of_the_region(region: str, arn: str) -> None:
    assert allowed(source(region=region))["s3:ListBucket"] == f"{arn}:s3:::logs"


def test_a_key_that_only_assumes_a_role_needs_that_and_nothing_else() -> None:
    policy = keys_policy(source(role_arn=ROLE))
    assert policy is not None
    assert [(each["Action"], each["Resource"]) for each in policy["Statement"]] == [(["sts:AssumeRole"], ROLE)]
    assert keys_policy(source()) is None


def test_statement_ids_are_what_iam_takes_and_unique() -> None:
    statements = minimal_policy(source(intakes=("sqs", "s3", "lookup"), sqs_queue_url=QUEUE))["Statement"]
    ids = [each["Sid"] for each in statements]
    assert len(set(ids)) == len(ids) == 6
    assert all(each.isalnum() for each in ids)


def test_verification_needs_the_public_keys_and_nothing_else_where_the_prefix_holds_the_digests() -> None:
    for prefix in ("", "AWSLogs/", "AWSLogs/123456789012/"):
        plain, verified = allowed(source(prefix=prefix)), allowed(source(prefix=prefix, verify_integrity=True))
        assert verified == {**plain, "cloudtrail:ListPublicKeys": "*"}


@pytest.mark.parametrize("inside", ["CloudTrail/", "CloudTrail/eu-west-1/", "CloudTrail/eu-west-1/2025/06/"])
def test_verification_needs_the_digests_beside_a_prefix_that_goes_into_the_logs(inside: str) -> None:
    narrow = source(prefix=f"AWSLogs/123456789012/{inside}", verify_integrity=True)
    digests = "AWSLogs/123456789012/CloudTrail-Digest/" + ("eu-west-1/" if "eu-west-1" in inside else "")
    statements = {each["Sid"]: each for each in minimal_policy(narrow)["Statement"]}
    assert statements["ReadDigests"]["Resource"] == f"arn:aws:s3:::logs/{digests}*"
    assert statements["FindDigests"]["Condition"] == {"StringLike": {"s3:prefix": [f"{digests}*"]}}


def test_verification_beside_a_queue_lists_the_bucket() -> None:
    told = source(intakes=("sqs",), sqs_queue_url=QUEUE, verify_integrity=True)
    assert allowed(told)["s3:ListBucket"] == "arn:aws:s3:::logs"
