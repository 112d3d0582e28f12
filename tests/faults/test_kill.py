"""kill -9 at random moments: nothing is lost, and nothing is sent twice except under the same webhook-id."""

import asyncio
import random
from collections import defaultdict
from pathlib import Path

import pytest

from support.aws import SimulatedAws
from support.product import SECRET_KEY
from support.real_data import real_data
from support.real_records import expected, put_bucket, raw_events
from support.receiver import Receiver, receiving
from support.service import Service, environment, serving

pytestmark = pytest.mark.real_data

KILLS = 10
PATIENCE_S = 120.0


class InFlight:
    """Holds every answer back a little and knows how many requests are waiting for theirs."""

    def __init__(self) -> None:
        self.now = 0

    async def hold(self) -> None:
        self.now += 1
        try:
            await asyncio.sleep(0.02)
        finally:
            self.now -= 1


async def killed_in_flight(service: Service, receiver: Receiver, flight: InFlight, after: int) -> int:
    """Kill the service when `after` more requests have come and one is unanswered; how many were."""
    target = len(receiver.deliveries) + after
    async with asyncio.timeout(PATIENCE_S):
        while len(receiver.deliveries) < target or not flight.now:
            await asyncio.sleep(0.001)
    unanswered = flight.now
    await service.kill()
    return unanswered


async def until_all_is_sent(service: Service, source: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status = await service.api.get(f"/sources/{source}/status")
            busy = status["counts"]["waiting"] or status["units"]["waiting"]
            if not busy and status["lastFetchAt"]:
                return
            await asyncio.sleep(0.1)


async def test_ten_kills_lose_nothing_and_double_nothing_but_under_the_same_id(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    bucket = real_data() / "buckets" / "sans504-s3-ransomware"
    put_bucket(aws, bucket)
    rng = random.Random(4)
    flight = InFlight()
    async with receiving() as receiver:
        receiver.before_answer = flight.hold
        env = environment(tmp_path, hosts=(receiver.host,), endpoints=(aws.host,), TRAILHOOK_GROUP_UNITS_MAX="40")
        source = ""
        for _ in range(KILLS):
            async with serving(env) as service:
                if not source:
                    source = (await service.api.post("/add-source", registration(aws, bucket, receiver)))["id"]
                assert await killed_in_flight(service, receiver, flight, rng.randrange(1, 60)) > 0
        async with serving(env) as service:
            await until_all_is_sent(service, source)
            counts = (await service.api.get(f"/sources/{source}/status"))["counts"]
            assert await service.stop() == 0
    assert_each_once(receiver, bucket)
    assert counts["read"] == 19_624
    assert counts["read"] == sum(number for name, number in counts.items() if name != "read")


def registration(aws: SimulatedAws, bucket: Path, receiver: Receiver) -> dict[str, object]:
    return {
        "sourceType": "aws_cloudtrail",
        "name": "killed",
        "credentials": {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": SECRET_KEY, "region": "us-east-1"},
        "logFetchInterval": 1,
        "callbackUrl": receiver.url,
        "s3Bucket": f"logs-{bucket.name}",
        "endpointUrl": aws.endpoint_url,
        "startFrom": "beginning",
        "delivery": {"maxEvents": 25},
    }


def assert_each_once(receiver: Receiver, bucket: Path) -> None:
    wanted = expected(bucket)
    ids_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    bodies: dict[str, set[str]] = defaultdict(set)
    for delivery in receiver.deliveries:
        bodies[delivery.id].add(delivery.sha256)
        for key, raw in raw_events(delivery):
            assert raw in wanted[key]
            ids_of[key].add(delivery.id)
    assert all(len(hashes) == 1 for hashes in bodies.values())
    assert all(len(ids) == 1 for ids in ids_of.values())
    assert {key for delivery in receiver.taken for key, _ in raw_events(delivery)} == set(wanted)
