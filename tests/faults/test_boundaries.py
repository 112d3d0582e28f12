"""A process that dies just before, or just after, each of its commits: every event once, on either engine."""

import asyncio
import time
from pathlib import Path

import pytest

from support.aws import SimulatedAws
from support.flight import assert_balanced, registration, until_all_is_sent
from support.receiver import Receiver, receiving
from support.samples import log_file, log_key, record
from support.service import TESTS, environment, serving
from trailhook.security.vault import new_key

BOUNDARIES = [
    (verb, when, count)
    for verb, count in (
        ("add_units", 1),
        ("lease_units", 1),
        ("commit", 1),
        ("settle_and_lease", 1),  # the first leases, later ones settle, too
        ("settle_and_lease", 2),
    )
    for when in ("before", "after")
]
FILES = 3
"""For each process."""
FILE_RECORDS = 5
RECORDS = len(BOUNDARIES) * FILES * FILE_RECORDS
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


async def test_dying_at_every_commit_loses_nothing_and_doubles_nothing(
    engine: dict[str, str], tmp_path: Path, aws: SimulatedAws
) -> None:
    """One process after another dies at a boundary of its own, each with new files to forward."""
    bucket = aws.new_bucket()
    async with receiving() as receiver:
        env = environment(
            tmp_path / "data",
            hosts=(receiver.host,),
            endpoints=(aws.host,),
            TRAILHOOK_GROUP_UNITS_MAX="2",
            TRAILHOOK_POLL_LEASE_S=LEASE_S,
            TRAILHOOK_UNIT_LEASE_S=LEASE_S,
            TRAILHOOK_BATCH_LEASE_S=LEASE_S,
            TRAILHOOK_CALLBACK_TIMEOUT_S="1",
            TRAILHOOK_SWEEP_EVERY_S="0.2",
            PYTHONPATH=str(TESTS),
            **engine,
        )
        source = ""
        for turn, (verb, when, count) in enumerate(BOUNDARIES):
            put_files(aws, bucket, turn)
            async with serving(env, "-m", "support.dying", "serve", verb, when, str(count)) as doomed:
                if not source:
                    document = registration(aws, bucket, receiver, delivery={"maxEvents": 4})
                    source = (await doomed.api.post("/add-source", document))["id"]
                async with asyncio.timeout(30):
                    assert await doomed.process.wait() == -9, (verb, when, count)
        async with serving(env) as service:
            async with asyncio.timeout(60):
                while len(ids_by_event(receiver)) < RECORDS:
                    await asyncio.sleep(0.05)
            await until_all_is_sent(service, source)
            counts = (await service.api.get(f"/sources/{source}/status"))["counts"]
    assert_each_event_once(receiver)
    assert (counts["read"], counts["sent"]) == (RECORDS, RECORDS)
    assert_balanced(counts)


def put_files(aws: SimulatedAws, bucket: str, turn: int) -> None:
    """New files for one process to forward, written now."""
    label = time.strftime("%Y%m%dT%H%MZ", time.gmtime())
    for number in range(turn * FILES, (turn + 1) * FILES):
        records = [record(number * FILE_RECORDS + each) for each in range(FILE_RECORDS)]
        aws.put(bucket, log_key(label, f"{number:016}"), log_file(records))


def ids_by_event(receiver: Receiver) -> dict[str, set[str]]:
    """Under which ids each event came."""
    ids: dict[str, set[str]] = {}
    for delivery in receiver.deliveries:
        for event in delivery.events:
            ids.setdefault(event["eventID"], set()).add(delivery.id)
    return ids


def assert_each_event_once(receiver: Receiver) -> None:
    """Every event came, and none under two ids."""
    ids = ids_by_event(receiver)
    assert sorted(ids) == sorted(record(number)["eventID"] for number in range(RECORDS))
    assert all(len(each) == 1 for each in ids.values())
