"""Every form of message that AWS writes about a bucket is understood, and what is not is told apart."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.aws import (
    TEST_MESSAGE,
    VALIDATION_MESSAGE,
    cloudtrail_message,
    event_bridge_message,
    log_key,
    s3_message,
    sns_message,
)
from trailhook.cloudtrail.notifications import NOTHING_CREATED, TEST, VALIDATION, Announced, read_notification

KEY = log_key("20250615T1200")
AWKWARD = "team a/b+c%41/jürgen😀/&=?/" + KEY
WRITTEN_AT = datetime(2025, 6, 15, 12, 1, tzinfo=UTC).timestamp()


def announced(key: str, etag: str = "e1") -> Announced:
    return Announced(bucket="logs", key=key, etag=etag, size_bytes=7, modified_at=WRITTEN_AT, region="us-east-1")


@pytest.mark.parametrize("wrap", [str, sns_message], ids=["direct", "through SNS"])
class TestEveryFormAndItsWrapping:
    """Raw delivery by SNS is the direct form."""

    @pytest.mark.parametrize("key", [KEY, AWKWARD])
    def test_s3_announces_url_encoded_keys(self, wrap: type[str], key: str) -> None:
        assert read_notification(wrap(s3_message("logs", (key, "e1")))).objects == (announced(key),)

    @pytest.mark.parametrize("key", [KEY, AWKWARD])
    def test_event_bridge_announces_keys_as_they_are(self, wrap: type[str], key: str) -> None:
        assert read_notification(wrap(event_bridge_message("logs", key, "e1"))).objects == (announced(key),)

    def test_cloudtrail_announces_keys_as_they_are_and_no_version(self, wrap: type[str]) -> None:
        said = read_notification(wrap(cloudtrail_message("logs", AWKWARD, KEY)))
        assert said.objects == (Announced(bucket="logs", key=AWKWARD), Announced(bucket="logs", key=KEY))

    def test_several_records_announce_several_objects(self, wrap: type[str]) -> None:
        said = read_notification(wrap(s3_message("logs", (KEY, "e1"), (AWKWARD, "e2"))))
        assert said.objects == (announced(KEY), announced(AWKWARD, "e2"))

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (TEST_MESSAGE, TEST),
            (VALIDATION_MESSAGE, VALIDATION),
            (s3_message("logs", (KEY, ""), event="ObjectRemoved:Delete"), NOTHING_CREATED),
            (s3_message("logs"), NOTHING_CREATED),
            (event_bridge_message("logs", KEY, "", kind="Object Deleted"), NOTHING_CREATED),
        ],
    )
    def test_noise_is_told_by_its_kind(self, wrap: type[str], body: str, kind: str) -> None:
        said = read_notification(wrap(body))
        assert (said.noise, said.fault, said.objects) == (kind, "", ())

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "hello",
            "null",
            "[]",
            "{}",
            '{"Records":{}}',
            '{"s3Bucket":"logs"}',
            '{"s3Bucket":"logs","s3ObjectKey":"not a list"}',
            '{"source":"aws.s3","detail-type":"Object Created"}',
            '{"source":"aws.ec2","detail-type":"Object Created","detail":{}}',
            '{"Type":"SubscriptionConfirmation","Message":"You have chosen","SubscribeURL":"https://sns"}',
            '{"Records":[' + "[" * 200_000,
            '{"detail":' + '{"a":' * 100_000,
        ],
    )
    def test_anything_else_is_a_fault_and_announces_nothing(self, wrap: type[str], body: str) -> None:
        said = read_notification(wrap(body))
        assert said.fault
        assert (said.noise, said.objects) == ("", ())


def test_a_record_that_is_not_understood_costs_its_neighbours_nothing() -> None:
    good = json.loads(s3_message("logs", (KEY, "e1")))["Records"]
    bad = [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {}}}, 7]
    said = read_notification(json.dumps({"Records": [bad[0], *good, bad[1]]}))
    assert said.objects == (announced(KEY),)
    assert "2 of its 3 records" in said.fault


def test_a_deletion_beside_a_creation_is_neither_noise_nor_announced() -> None:
    records = [
        *json.loads(s3_message("logs", (AWKWARD, ""), event="ObjectRemoved:Delete"))["Records"],
        *json.loads(s3_message("logs", (KEY, "e1")))["Records"],
    ]
    said = read_notification(json.dumps({"Records": records}))
    assert (said.objects, said.noise, said.fault) == ((announced(KEY),), "", "")


@pytest.mark.parametrize("more", [{"eventTime": "yesterday", "awsRegion": "evil.example/"}, {"eventTime": ""}])
def test_a_time_and_a_region_that_are_none_are_left_out(more: dict[str, str]) -> None:
    (found,) = read_notification(s3_message("logs", (KEY, "e1"), **more)).objects
    assert found.modified_at == 0.0
    assert found.region in ("", "us-east-1")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_key_comes_through_every_form(key: str) -> None:
    for body in (s3_message("b", (key, "")), event_bridge_message("b", key, ""), cloudtrail_message("b", key)):
        assert [each.key for each in read_notification(sns_message(body)).objects] == [key]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_message_raises(body: str) -> None:
    read_notification(body)
