"""What is under way at a receiver, and what the books say once nothing is."""

import asyncio
from collections import defaultdict
from pathlib import Path

from support.aws import SimulatedAws
from support.product import SECRET_KEY
from support.real_records import expected, raw_events
from support.receiver import Receiver
from support.service import Service

PATIENCE_S = 180.0


class InFlight:
    """Holds every answer back a little and knows how many requests are waiting for theirs."""

    def __init__(self, hold_s: float = 0.02) -> None:
        self.now = 0
        self._hold_s = hold_s

    async def hold(self) -> None:
        self.now += 1
        try:
            await asyncio.sleep(self._hold_s)
        finally:
            self.now -= 1


async def until_in_flight(receiver: Receiver, flight: InFlight, after: int) -> int:
    """Wait until `after` more requests have come and one is unanswered; how many are."""
    target = len(receiver.deliveries) + after
    async with asyncio.timeout(PATIENCE_S):
        while len(receiver.deliveries) < target or not flight.now:
            await asyncio.sleep(0.001)
    return flight.now


async def until_all_is_sent(service: Service, source: str) -> None:
    """Wait until nothing is left to fetch or to send."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status = await service.api.get(f"/sources/{source}/status")
            busy = status["counts"]["waiting"] or status["units"]["waiting"]
            if not busy and status["lastFetchAt"]:
                return
            await asyncio.sleep(0.1)


def registration(aws: SimulatedAws, bucket: str, receiver: Receiver, **more: object) -> dict[str, object]:
    """A source over a bucket, from its beginning, polled every second."""
    return {
        "sourceType": "aws_cloudtrail",
        "name": "under test",
        "credentials": {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": SECRET_KEY, "region": "us-east-1"},
        "logFetchInterval": 1,
        "callbackUrl": receiver.url,
        "s3Bucket": bucket,
        "endpointUrl": aws.endpoint_url,
        "startFrom": "beginning",
        **more,
    }


def assert_each_once(receiver: Receiver, bucket: Path) -> None:
    """Every distinct record of the bucket was taken, and none came twice but under the same id and bytes."""
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


def assert_balanced(counts: dict[str, int]) -> None:
    """Every record read is accounted for."""
    assert counts["read"] == sum(number for name, number in counts.items() if name != "read"), counts
