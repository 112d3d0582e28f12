"""kill -9 at random moments: nothing is lost, and nothing is sent twice except under the same webhook-id."""

import random
from pathlib import Path

import pytest

from support.aws import SimulatedAws
from support.flight import (
    InFlight,
    assert_balanced,
    assert_each_once,
    registration,
    until_all_is_sent,
    until_in_flight,
)
from support.real_data import real_data
from support.real_records import put_bucket
from support.receiver import receiving
from support.service import environment, serving

pytestmark = pytest.mark.real_data

KILLS = 10
RECORDS = 19_624


async def test_ten_kills_lose_nothing_and_double_nothing_but_under_the_same_id(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    bucket = real_data() / "buckets" / "sans504-s3-ransomware"
    name = put_bucket(aws, bucket)
    rng = random.Random(4)
    flight = InFlight()
    async with receiving() as receiver:
        receiver.before_answer = flight.hold
        env = environment(tmp_path, hosts=(receiver.host,), endpoints=(aws.host,), TRAILHOOK_GROUP_UNITS_MAX="40")
        source = ""
        for _ in range(KILLS):
            async with serving(env) as service:
                if not source:
                    document = registration(aws, name, receiver, delivery={"maxEvents": 25})
                    source = (await service.api.post("/add-source", document))["id"]
                assert await until_in_flight(receiver, flight, rng.randrange(1, 60)) > 0
                await service.kill()
        async with serving(env) as service:
            await until_all_is_sent(service, source)
            counts = (await service.api.get(f"/sources/{source}/status"))["counts"]
            assert await service.stop() == 0
    assert_each_once(receiver, bucket)
    assert counts["read"] == RECORDS
    assert_balanced(counts)
