"""The whole product over LookupEvents: every event once, within what AWS allows, alone and together with S3."""

import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from support.aws import log_key
from support.clock import START_AT
from support.history import World, opened
from support.lookup import record
from trailhook.demo.lookup_events import DENIED, LookupEvents
from trailhook.model import Job


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as world:
        yield world


def happen(history: LookupEvents, chance: Random, count: int, *, over_s: int) -> set[bytes]:
    """Events before and after now, each to be seen up to half an hour after it happened."""
    made = set()
    for number in range(count):
        at = START_AT + chance.uniform(-900, over_s)
        raw = record(number, at)
        history.add(raw, appears_at=at + min(1_800.0, chance.expovariate(1 / 300)))
        made.add(raw)
    return made


@pytest.mark.parametrize("count", [1, 3])
async def test_late_events_under_throttling_arrive_once_for_each_source_within_one_budget(
    world: World, count: int
) -> None:
    world.history.throttled_share = 0.3
    made = happen(world.history, Random(5), 500, over_s=600)
    sources = [await world.add_source() for _ in range(count)]
    await world.run(*sources, for_s=600 + 3_600)
    assert world.received() == {source: Counter(made) for source in sources}
    assert world.history.throttled > 0
    assert world.history.busiest() <= 2
    for source in sources:
        status = await world.product.status(source)
        assert (status["status"], status["units"]["waiting"]) == ("active", 0)


async def test_s3_and_lookup_events_on_one_source_make_every_event_once(world: World) -> None:
    chance = Random(6)
    made = happen(world.history, chance, 300, over_s=600)
    only_in_s3 = {record(1_000 + number, START_AT - 50) for number in range(50)}
    bucket = world.aws.new_bucket()
    files = sorted(made | only_in_s3)[20:]
    for number in range(0, len(files), 40):
        body = gzip.compress(b'{"Records":[%b]}' % b",".join(files[number : number + 40]))
        world.aws.put(bucket, log_key("20250615T1500", number), body)
    source = await world.add_source(s3Bucket=bucket, intake=["s3", "lookup"])
    await world.run(source, for_s=600 + 3_600)
    assert world.received() == {source: Counter(made | only_in_s3)}
    status = await world.product.status(source)
    assert status["counts"]["duplicate"] > 0
    assert status["counts"]["quarantined"] == 0


async def test_several_regions_on_one_source(world: World) -> None:
    regions = ["us-east-1", "eu-west-1", "ap-southeast-2"]
    made = {record(number, START_AT - 60 - number, awsRegion=region) for number, region in enumerate(regions)}
    for raw in made:
        world.history.add(raw, region=json.loads(raw)["awsRegion"])
    source = await world.add_source(regions=[*regions, regions[0]])
    view = await world.product.api.get(f"/sources/{source}")
    assert (view["intake"], view["regions"]) == (["lookup"], regions)
    await world.run(source, for_s=60)
    assert world.received() == {source: Counter(made)}


async def test_a_denied_source_says_which_action_it_lacks_and_goes_on_by_itself(world: World) -> None:
    world.history.refused_keys["AKIAIOSFODNN7EXAMPLE"] = DENIED
    made = happen(world.history, Random(8), 50, over_s=60)
    source = await world.add_source()
    await world.run(source, for_s=600)
    fetch = (await world.product.status(source))["fetch"]
    assert fetch["state"] == "access_denied"
    assert "cloudtrail:LookupEvents" in fetch["remedy"]
    world.history.refused_keys.clear()
    await world.run(source, for_s=4_200)
    assert (await world.product.status(source))["status"] == "active"
    assert world.received() == {source: Counter(made)}
    types = [each.type for each in world.receiver.taken if not each.type.startswith("cloudtrail")]
    assert types == ["source.access_denied", "source.recovered"]


async def test_a_source_that_cannot_keep_up_says_how_far_it_is_behind_and_what_to_use(world: World) -> None:
    source = await world.add_source()
    await world.run(source, for_s=600)
    handlers = world.product.jobs.handlers()
    await handlers["poll"](source)
    world.clock.advance(1_200)
    await handlers["lookup"](source)
    status = await world.product.status(source)
    assert status["status"] == "active"
    assert status["fetch"]["reason"] == "LookupEvents cannot keep up: it is 20 minutes behind."
    assert "s3Bucket" in status["fetch"]["remedy"]
    metrics = (await world.product.api.call("GET", "/metrics")).body.decode()
    assert f'trailhook_lookup_behind_seconds{{source="{source}"}} 1200.0' in metrics
    await world.run(source, for_s=600)
    assert (await world.product.status(source))["fetch"]["reason"] == ""


async def test_reading_lookup_events_takes_no_slot_from_other_sources(world: World) -> None:
    source = await world.add_source()
    await world.product.jobs.handlers()["intake"](source)
    assert Job(kind="lookup", source_id=source) in world.product.queue.hinted
