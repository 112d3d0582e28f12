"""A process that dies in the middle of a backfill, again and again: the next goes on, every event once."""

import asyncio
import http.client
from contextlib import suppress
from pathlib import Path

import pytest

from support.aws import SimulatedAws, log_key
from support.flight import assert_balanced, registration
from support.receiver import receiving
from support.samples import log_file, record
from support.service import TESTS, environment, serving
from trailhook.security.vault import new_key

BOUNDARIES = (("backfill_left", "before", "2"), ("commit", "before", "1"), ("commit", "after", "1"))
REGIONS = ("af-south-1", "eu-west-1", "sa-east-1", "us-east-1")
FILES = 4
"""In each region, and read two at a time."""
LEASE_S = "2"


@pytest.fixture(params=["embedded", "production"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The settings of one process on either engine."""
    if request.param == "embedded":
        return {}
    mongodb_url, redis_url = (request.getfixturevalue(name) for name in ("mongodb_url", "redis_url"))
    return {
        "TRAILHOOK_MONGODB_URL": f"{mongodb_url}{tmp_path.name.replace('-', '_')[-40:]}",
        "TRAILHOOK_REDIS_URL": redis_url,
        "TRAILHOOK_MASTER_KEYS": new_key(),
    }


async def test_dying_in_the_middle_of_a_backfill_loses_nothing_and_doubles_nothing(
    engine: dict[str, str], tmp_path: Path, aws: SimulatedAws
) -> None:
    bucket = aws.new_bucket()
    wanted = put_files(aws, bucket)
    async with receiving() as receiver:
        env = environment(
            tmp_path / "data",
            hosts=(receiver.host,),
            endpoints=(aws.host,),
            TRAILHOOK_BACKFILL_UNITS_MAX="4",
            TRAILHOOK_GROUP_UNITS_MAX="2",
            TRAILHOOK_POLL_LEASE_S=LEASE_S,
            TRAILHOOK_UNIT_LEASE_S=LEASE_S,
            TRAILHOOK_BATCH_LEASE_S=LEASE_S,
            TRAILHOOK_CALLBACK_TIMEOUT_S="1",
            TRAILHOOK_SWEEP_EVERY_S="0.2",
            PYTHONPATH=str(TESTS),
            **engine,
        )
        path = ""
        for boundary in BOUNDARIES:
            async with serving(env, "-m", "support.dying", "serve", *boundary) as doomed:
                if not path:
                    source = await doomed.api.post(
                        "/add-source", registration(aws, bucket, receiver, startFrom="now", logFetchInterval=3_600)
                    )
                    path = f"/sources/{source['id']}"
                    span = {"from": "2024-01-01T00:00:00Z", "to": "2024-02-01T00:00:00Z"}
                    with suppress(OSError, http.client.HTTPException):  # it may die before it has answered
                        await doomed.api.call("POST", f"{path}/backfill", span)
                async with asyncio.timeout(30):
                    assert await doomed.process.wait() == -9, boundary
        async with serving(env) as service:
            async with asyncio.timeout(60):
                while (view := (await service.api.get(f"{path}/backfills"))["backfills"][0])["state"] != "done":
                    await asyncio.sleep(0.05)
                while (counts := (await service.api.get(f"{path}/status"))["counts"])["waiting"]:
                    await asyncio.sleep(0.05)
    assert view["objectsFound"] == len(REGIONS) * FILES
    ids: dict[str, set[str]] = {}
    for delivery in receiver.deliveries:
        for event in delivery.events:
            ids.setdefault(event["eventID"], set()).add(delivery.id)
    assert sorted(ids) == wanted
    assert all(len(each) == 1 for each in ids.values())
    assert counts["sent"] == len(wanted)
    assert_balanced(counts)


def put_files(aws: SimulatedAws, bucket: str) -> list[str]:
    """The ids of the events in them, in order."""
    number = 0
    for region in REGIONS:
        for each in range(FILES):
            key = log_key(f"202401{each + 1:02}T1200", number, region=region)
            aws.put(bucket, key, log_file([record(number), record(number + 1)]))
            number += 2
    return sorted(str(record(each)["eventID"]) for each in range(number))
