"""The simulated LookupEvents is what AWS's own client takes it for: held against botocore's model of the service."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from support.aws import SimulatedAws
from support.clock import START_AT, FakeClock
from support.lookup import record, simulated_aws_with_lookup
from trailhook.demo.lookup_events import DENIED, EXPIRED, INVALID, LookupEvents

KEY = "AKIAIOSFODNN7EXAMPLE"
SERVICE = ServiceModel(Loader().load_service_model("cloudtrail", "service-2"), "cloudtrail")
OPERATION = SERVICE.operation_model("LookupEvents")


class World:
    """A server, its history, its clock, and botocore's client; every question comes a second after the last."""

    def __init__(self, aws: SimulatedAws, history: LookupEvents, clock: FakeClock) -> None:
        self.aws, self.history, self.clock = aws, history, clock
        self.client = aws.client("cloudtrail", config=Config(retries={"total_max_attempts": 1}))

    def ask(self, **parameters: Any) -> Any:
        self.clock.advance(1)
        answer = self.client.lookup_events(**parameters)
        answer.pop("ResponseMetadata")
        report = ParamValidator().validate(answer, OPERATION.output_shape)
        assert not report.has_errors(), report.generate_report()
        return answer

    def refusal(self, **parameters: Any) -> str:
        with pytest.raises(ClientError) as raised:
            self.ask(**parameters)
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        return str(raised.value.response["Error"]["Code"])


@pytest.fixture
def world() -> Iterator[World]:
    clock = FakeClock()
    with simulated_aws_with_lookup(clock.now) as (aws, history):
        world = World(aws, history, clock)
        yield world
        world.client.close()


def test_an_event_has_every_field_that_the_model_knows_and_no_other(world: World) -> None:
    raw = record(1, START_AT - 5, resources=[{"type": "AWS::EC2::Instance", "ARN": "arn:aws:ec2:::i-1"}])
    world.history.add(raw)
    (event,) = world.ask()["Events"]
    shape = OPERATION.output_shape.members["Events"].member
    assert set(event) == set(shape.members)
    assert event["CloudTrailEvent"].encode() == raw
    assert event["EventTime"].timestamp() == int(START_AT - 5)
    assert event["EventId"] == json.loads(raw)["eventID"]


def test_pages_are_of_50_newest_first_and_none_is_lost_or_repeated(world: World) -> None:
    for number in range(120):
        world.history.add(record(number, START_AT - number // 3 - 1))
    events, sizes = [], []
    token: dict[str, str] = {}
    while True:
        answer = world.ask(StartTime=START_AT - 900, EndTime=START_AT, **token)
        events += answer["Events"]
        sizes.append(len(answer["Events"]))
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}
    assert sizes == [50, 50, 20]
    assert len({each["EventId"] for each in events}) == 120
    times = [each["EventTime"] for each in events]
    assert times == sorted(times, reverse=True)


def test_a_token_is_good_with_the_same_parameters_only(world: World) -> None:
    for number in range(3):
        world.history.add(record(number, START_AT - 5))
    token = world.ask(MaxResults=2, StartTime=START_AT - 900)["NextToken"]
    assert len(world.ask(MaxResults=2, StartTime=START_AT - 900, NextToken=token)["Events"]) == 1
    assert world.refusal(MaxResults=3, StartTime=START_AT - 900, NextToken=token) == "InvalidNextTokenException"
    assert world.refusal(MaxResults=2, StartTime=START_AT - 901, NextToken=token) == "InvalidNextTokenException"
    assert world.refusal(NextToken="no-token") == "InvalidNextTokenException"


def test_late_events_and_those_of_other_regions_and_categories_are_not_there(world: World) -> None:
    world.history.add(record(1, START_AT - 5), appears_at=START_AT + 100)
    world.history.add(record(2, START_AT - 5), region="eu-west-1")
    world.history.add(record(3, START_AT - 5), category="insight")
    assert world.ask()["Events"] == []
    assert len(world.ask(EventCategory="insight")["Events"]) == 1
    world.clock.advance(100)
    assert len(world.ask()["Events"]) == 1


def test_a_third_request_within_a_second_is_throttled(world: World) -> None:
    world.ask()
    world.clock.advance(-0.6)
    world.ask()
    world.clock.advance(-0.9)
    assert world.refusal() == "ThrottlingException"
    world.clock.advance(1)
    world.ask()
    assert world.history.busiest() == 3


@pytest.mark.parametrize("said", [EXPIRED, INVALID, DENIED])
def test_refused_keys_are_refused_as_aws_does(world: World, said: tuple[str, str]) -> None:
    world.history.refused_keys[KEY] = said
    assert world.refusal() == said[0]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"StartTime": START_AT, "EndTime": START_AT - 1}, "InvalidTimeRangeException"),
        ({"StartTime": START_AT - 91 * 86_400}, "InvalidTimeRangeException"),
    ],
)
def test_a_window_that_cannot_be_is_refused(world: World, parameters: dict[str, Any], code: str) -> None:
    assert world.refusal(**parameters) == code
    assert code in {shape.name for shape in OPERATION.error_shapes}


def test_all_else_is_answered_by_moto(world: World) -> None:
    assert world.aws.new_bucket() in {each["Name"] for each in world.aws.s3.list_buckets()["Buckets"]}
    sts = world.aws.client("sts")
    assert sts.get_caller_identity()["Account"] == "123456789012"
    sts.close()
