"""`holdUntilVerified` over the whole product: what CloudTrail does not vouch for is not forwarded."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.aws import SimulatedAws
from support.clock import FakeClock
from support.digests import FIRST_AT, HOUR_S, REGION, Trail, sha256_of, simulated_aws_with_digests, times
from support.product import Product, running
from support.receiver import Receiver, receiving
from trailhook.demo.digests import PublicKeys, SigningKey

NOW = 24
"""The hour that begins when a test does: the one before has just ended."""
LAST = NOW - 1


@dataclass
class World:
    """A product, a trail whose bucket it forwards, and a source that holds."""

    product: Product
    receiver: Receiver
    trail: Trail
    clock: FakeClock
    keys: PublicKeys
    source: str = ""

    async def hold(self, **fields: Any) -> None:
        """Register the source and let it look once."""
        given = {"s3Bucket": self.trail.bucket, "holdUntilVerified": True, **fields}
        self.source = await self.product.add_source(
            endpointUrl=self.trail.aws.endpoint_url, callbackUrl=self.receiver.url, **given
        )
        await self.product.poll(self.source)

    async def wait(self, seconds: float) -> None:
        """Let time pass, and then do what is due."""
        self.clock.advance(seconds)
        await self.product.work()

    async def view(self) -> Any:
        return await self.product.api.get(f"/sources/{self.source}")

    def logs(self, count: int, hour: int = LAST) -> dict[str, bytes]:
        """Log files of an hour, in the bucket, each of one event."""
        logs = {self.trail.key(hour, unique): self.trail.body() for unique in range(count)}
        for key, body in logs.items():
            self.trail.aws.put(self.trail.bucket, key, body)
        return logs

    def received(self) -> int:
        return sum(len(each.events) for each in self.receiver.of_type("cloudtrail.events"))

    def asked(self, operation: str) -> float:
        counted = {"operation": operation, "class": "ok"}
        registry = self.product.parts.metrics.registry
        return registry.get_sample_value("trailhook_aws_requests_total", counted) or 0.0


@pytest.fixture(scope="module")
def account() -> Iterator[tuple[SimulatedAws, PublicKeys, SigningKey]]:
    with simulated_aws_with_digests() as (aws, keys):
        signer = SigningKey()
        keys.add(REGION, signer, from_at=FIRST_AT - HOUR_S, to_at=FIRST_AT + 96 * HOUR_S)
        yield aws, keys, signer


@pytest.fixture
async def world(account: tuple[SimulatedAws, PublicKeys, SigningKey], tmp_path: Path) -> AsyncIterator[World]:
    aws, keys, signer = account
    clock = FakeClock()
    async with (
        receiving() as receiver,
        running(tmp_path, hosts=(receiver.host,), endpoints=(aws.host,), clock=clock) as product,
    ):
        yield World(product, receiver, Trail(aws, aws.new_bucket(), signer), clock, keys)


async def test_a_log_file_waits_for_the_digest_that_lists_it_and_is_looked_for_seldom(world: World) -> None:
    world.trail.digest(LAST - 1, {})
    logs = world.logs(3)
    await world.hold()
    assert world.received() == 0
    assert (await world.product.status(world.source))["units"]["waiting"] == 3
    before = world.asked("ListObjectsV2")
    await world.wait(300)
    polls = world.asked("ListObjectsV2") - before
    world.trail.digest(LAST, logs)
    before = world.asked("ListObjectsV2")
    await world.wait(240)
    assert (world.received(), world.asked("ListObjectsV2") - before) == (0, polls)
    await world.wait(120)
    assert world.received() == 3
    assert (await world.view())["status"] == "active"


async def test_all_files_of_an_hour_cost_one_reading_of_its_digest(world: World) -> None:
    world.trail.digest(LAST, world.logs(20))
    await world.hold()
    assert world.received() == 20
    assert world.asked("GetObject") == 21
    assert world.asked("ListPublicKeys") == 1


async def test_old_hours_have_their_digests_already(world: World) -> None:
    for hour in range(3):
        world.trail.hour(hour)
    await world.hold()
    assert world.received() == 6


async def test_what_is_not_as_the_digest_says_stands_in_quarantine_with_both_hashes(world: World) -> None:
    logs = world.logs(2)
    world.trail.digest(LAST, logs)
    key, other = next(iter(logs)), world.trail.body()
    world.trail.aws.put(world.trail.bucket, key, other)
    await world.hold()
    assert world.received() == 1
    (entry,) = (await world.product.api.get("/quarantine"))["quarantine"]
    assert (entry["name"], entry["reason"]) == (key, "altered")
    assert sha256_of(logs[key]) in entry["detail"]
    assert sha256_of(other) in entry["detail"]


async def test_a_digest_that_cloudtrail_did_not_sign_vouches_for_nothing(world: World) -> None:
    world.trail.digest(LAST, world.logs(1))
    genuine = world.trail.digests[LAST]
    world.trail.put(genuine, signature="00" * 256)
    await world.hold()
    assert world.received() == 0
    world.trail.put(genuine)
    await world.wait(HOUR_S)
    assert world.received() == 1


async def test_a_file_that_only_a_later_digest_lists_is_forwarded_and_proved(world: World) -> None:
    logs = world.logs(1)
    world.trail.digest(LAST, {})
    await world.hold()
    assert world.received() == 0
    world.trail.late_digest(LAST, logs)
    await world.wait(HOUR_S)
    assert world.received() == 1
    asked = times(LAST, NOW)
    hours = await world.product.api.get(f"/sources/{world.source}/completeness?from={asked['from']}&to={asked['to']}")
    assert [(each["state"], each["objects"], each["proved"]) for each in hours["hours"]] == [
        ("proved", 0, 0),
        ("proved", 1, 1),
    ]


async def test_too_long_without_a_digest_is_told_once_and_is_over_by_itself(world: World) -> None:
    logs = world.logs(1)
    await world.hold()
    for _ in range(30):
        await world.wait(HOUR_S)
        await world.product.jobs.watch()
    view = await world.view()
    assert view["status"] == "needs_attention"
    assert "no digest" in view["fetch"]["reason"]
    assert "holdUntilVerified" in view["fetch"]["remedy"]
    assert world.received() == 0
    world.trail.digest(LAST, logs)
    await world.wait(HOUR_S)
    await world.product.jobs.watch()
    await world.product.work()
    assert (await world.view())["status"] == "active"
    assert world.received() == 1
    told = [each.document["data"]["part"] for each in world.receiver.of_type("source.needs_attention")]
    assert told.count("fetch") == 1


async def test_being_refused_the_public_keys_is_told_at_once(world: World) -> None:
    world.trail.digest(LAST, world.logs(2))
    world.keys.denied = True
    try:
        await world.hold()
        view = await world.view()
    finally:
        world.keys.denied = False
    assert view["status"] == "access_denied"
    assert "ListPublicKeys" in view["fetch"]["reason"] + view["fetch"]["remedy"]
    await world.wait(HOUR_S)
    assert ((await world.view())["status"], world.received()) == ("active", 2)


async def test_holding_no_more_releases_everything_at_once(world: World) -> None:
    world.logs(3)
    await world.hold()
    assert world.received() == 0
    reply = await world.product.api.call("PATCH", f"/sources/{world.source}", {"holdUntilVerified": False})
    assert (reply.json["holdUntilVerified"], reply.json["verifyIntegrity"]) == (False, True)
    await world.product.work()
    assert world.received() == 3


async def test_holding_keeps_hashes_and_takes_a_bucket(world: World) -> None:
    await world.hold()
    view = await world.view()
    assert (view["holdUntilVerified"], view["verifyIntegrity"]) == (True, True)
    for change, field in (({"verifyIntegrity": False}, "verifyIntegrity"), ({"s3Bucket": None}, "holdUntilVerified")):
        reply = await world.product.api.call("PATCH", f"/sources/{world.source}", change)
        assert (reply.status, [each["field"] for each in reply.json["errors"]]) == (422, [field])
    reply = await world.product.api.call("PATCH", f"/sources/{world.source}", {"holdUntilVerified": None})
    assert reply.json["holdUntilVerified"] is False
