"""The simulated ListPublicKeys is what AWS's own client takes it for: held against botocore's model of the service."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from support.aws import SimulatedAws
from support.digests import simulated_aws_with_digests
from trailhook.demo.digests import PublicKeys, SigningKey

SERVICE = ServiceModel(Loader().load_service_model("cloudtrail", "service-2"), "cloudtrail")
OPERATION = SERVICE.operation_model("ListPublicKeys")


@pytest.fixture(scope="module")
def account() -> Iterator[tuple[SimulatedAws, PublicKeys, SigningKey]]:
    with simulated_aws_with_digests() as (aws, keys):
        signer = SigningKey()
        keys.add("us-east-1", signer, from_at=1_000.0, to_at=2_000.0)
        keys.add("us-east-1", SigningKey(), from_at=5_000.0, to_at=6_000.0)
        yield aws, keys, signer


def ask(aws: SimulatedAws, start: float, end: float, **more: Any) -> Any:
    client = aws.client("cloudtrail")
    try:
        answer = client.list_public_keys(
            StartTime=datetime.fromtimestamp(start, UTC), EndTime=datetime.fromtimestamp(end, UTC), **more
        )
    finally:
        client.close()
    answer.pop("ResponseMetadata")
    report = ParamValidator().validate(answer, OPERATION.output_shape)
    assert not report.has_errors(), report.generate_report()
    return answer


def test_a_key_has_every_field_that_the_model_knows_and_no_other(
    account: tuple[SimulatedAws, PublicKeys, SigningKey],
) -> None:
    aws, _, signer = account
    answer = ask(aws, 1_500, 1_600)
    (key,) = answer["PublicKeyList"]
    assert set(key) == set(OPERATION.output_shape.members["PublicKeyList"].member.members)
    assert (key["Value"], key["Fingerprint"]) == (signer.public_der, signer.fingerprint)
    assert key["ValidityEndTime"].timestamp() == 2_000.0


def test_keys_of_the_time_that_is_asked_for_come_page_by_page(
    account: tuple[SimulatedAws, PublicKeys, SigningKey],
) -> None:
    aws, keys, _ = account
    keys.page_keys_max = 1
    first = ask(aws, 0, 10_000)
    second = ask(aws, 0, 10_000, NextToken=first["NextToken"])
    assert "NextToken" not in second
    assert len({each["Fingerprint"] for page in (first, second) for each in page["PublicKeyList"]}) == 2
    assert ask(aws, 3_000, 4_000)["PublicKeyList"] == []


def test_a_time_that_ends_before_it_begins_is_refused(account: tuple[SimulatedAws, PublicKeys, SigningKey]) -> None:
    with pytest.raises(ClientError) as raised:
        ask(account[0], 2_000, 1_000)
    assert raised.value.response["Error"]["Code"] == "InvalidTimeRangeException"
