"""What CloudTrail says of a trail: asked for as its own model has it, told in words."""

from typing import Any

import msgspec
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from support.aws import SimulatedAws, access
from support.bucket import refusal
from support.clock import FakeClock
from trailhook.net.base import Answer, Request
from trailhook.net.guard import Guard
from trailhook.net.transport import HttpTransport
from trailhook.sources.aws import AwsHttp
from trailhook.sources.aws_identity import Identities
from trailhook.sources.trails import Cause, Status, Trail, Trails, explain

SERVICE = ServiceModel(Loader().load_service_model("cloudtrail", "service-2"), "cloudtrail")


class Scripted:
    """Answers each operation with a document, or refuses it."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, Any]] = []

    async def send(self, request: Request) -> Answer:
        operation = dict(request.headers)["x-amz-target"].rpartition(".")[2]
        self.asked.append((operation, request.url, msgspec.json.decode(request.body)))
        answer = self.answers[operation]
        return answer if isinstance(answer, Answer) else Answer(status=200, body=msgspec.json.encode(answer))


def trails(transport: Any, aws: SimulatedAws) -> Trails:
    clock = FakeClock()
    return Trails(AwsHttp(transport, clock), Identities(transport, aws.settings, clock), aws.settings)


def trail(**fields: str) -> dict[str, str]:
    return {"TrailARN": "arn:aws:cloudtrail:eu-west-1:111122223333:trail/main", "Name": "main"} | fields


async def test_it_asks_what_botocores_model_knows_and_each_trail_where_it_lives(aws: SimulatedAws) -> None:
    described = {"trailList": [trail(S3BucketName="logs", HomeRegion="eu-west-1"), trail(S3BucketName="others")]}
    status = {"IsLogging": False, "StopLoggingTime": 1_750_000_000.5}
    transport = Scripted(DescribeTrails=described, GetTrailStatus=status)
    cause = await trails(transport, aws).cause(access("logs"), {"logs"})
    for operation, url, wanted in transport.asked:
        model = SERVICE.operation_model(operation)
        assert not ParamValidator().validate(wanted, model.input_shape).has_errors()
        assert (model.http, SERVICE.metadata["protocol"]) == ({"method": "POST", "requestUri": "/"}, "json")
        assert (
            url == f"https://cloudtrail.{'us-east-1' if operation == 'DescribeTrails' else 'eu-west-1'}.amazonaws.com/"
        )
    assert [each[0] for each in transport.asked] == ["DescribeTrails", "GetTrailStatus"]
    assert cause.reason == "The trail main is switched off since 2025-06-15T15:06:40.500Z."


@pytest.mark.parametrize(("kind", "shape"), [(Trail, "Trail"), (Status, "GetTrailStatusResponse")])
def test_every_field_that_is_read_is_one_of_the_models(kind: type[msgspec.Struct], shape: str) -> None:
    read = {each.encode_name for each in msgspec.structs.fields(kind)}
    assert read <= set(SERVICE.shape_for(shape).members)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"DescribeTrails": refusal(400, "AccessDeniedException")}, "these credentials may not"),
        ({"DescribeTrails": refusal(400, "ThrottlingException")}, "could not be asked why (Throttled)"),
        ({"DescribeTrails": [1, 2]}, "could not be asked why (ValidationError)"),
        ({"DescribeTrails": {"trailList": []}}, "No trail that these credentials can see writes to logs"),
        (
            {
                "DescribeTrails": {"trailList": [trail(S3BucketName="logs")]},
                "GetTrailStatus": refusal(400, "TrailNotFoundException"),
            },
            "No trail that these credentials can see writes to logs",
        ),
        (
            {
                "DescribeTrails": {"trailList": [trail(S3BucketName="logs")]},
                "GetTrailStatus": {"IsLogging": True, "LatestDeliveryError": "AccessDenied<script>"},
            },
            "cannot write to its bucket: AccessDeniedscript.",
        ),
    ],
)
async def test_whatever_is_answered_there_is_a_reason_and_a_remedy(
    aws: SimulatedAws, answers: dict[str, Any], said: str
) -> None:
    cause = await trails(Scripted(**answers), aws).cause(access("logs"), {"logs"})
    assert said in cause.reason
    assert cause.remedy


async def test_the_simulated_account_understands_it(aws: SimulatedAws) -> None:
    bucket = aws.new_bucket()
    client = aws.client("cloudtrail")
    client.create_trail(Name=bucket, S3BucketName=bucket)
    try:
        async with HttpTransport(Guard.for_aws(aws.settings), aws.settings) as transport:
            cause = await trails(transport, aws).cause(access(bucket, endpoint_url=aws.endpoint_url), {bucket})
            assert "is switched off" in cause.reason
            client.start_logging(Name=bucket)
            cause = await trails(transport, aws).cause(access(bucket, endpoint_url=aws.endpoint_url), {bucket})
            assert "is on and tells of no error" in cause.reason
    finally:
        client.delete_trail(Name=bucket)
        client.close()


def test_one_trail_that_is_off_outweighs_others_that_are_well() -> None:
    off, on = Trail(name="off"), Trail(name="on")
    found = [(on, Status()), (off, Status(logging=False)), (on, None)]
    assert explain(found, ["logs"]) == Cause(
        reason="The trail off is switched off.",
        remedy="Start its logging again, and find out who stopped it (event StopLogging).",
    )
