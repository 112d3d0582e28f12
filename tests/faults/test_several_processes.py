"""`trailhook serve --workers 2`: its other process may die, or itself, and every event comes once all the same."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from support.aws import SimulatedAws
from support.flight import assert_balanced, registration, until_all_is_sent
from support.receiver import Receiver, receiving
from support.samples import log_file, log_key, record
from support.service import Service, environment, serving
from trailhook.security.vault import new_key

FILES = 60
FILE_RECORDS = 20
WITHIN_S = 30.0
SECRETS = {"AWS_SECRET_ACCESS_KEY": "canary-of-aws", "TRAILHOOK_MASTER_KEYS": new_key()}
SERVE = ("-m", "trailhook", "serve", "--workers", "2")


def children(pid: int, module: str) -> list[int]:
    """The processes of that module which another one has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    started = [int(child) for task in tasks for child in task.read_text().split()]
    return [child for child in started if module.encode() in Path(f"/proc/{child}/cmdline").read_bytes()]


def told(pid: int) -> str:
    """What a process was given at its start."""
    return "".join(Path(f"/proc/{pid}/{name}").read_text() for name in ("environ", "cmdline"))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.02)


def put_files(aws: SimulatedAws, bucket: str) -> None:
    for number in range(FILES):
        records = [record(number * FILE_RECORDS + each) for each in range(FILE_RECORDS)]
        aws.put(bucket, log_key(f"20250615T12{number:02}Z", f"{number:016}"), log_file(records))


def assert_each_event_once(receiver: Receiver) -> None:
    ids: dict[str, set[str]] = {}
    for delivery in receiver.deliveries:
        for event in delivery.events:
            ids.setdefault(event["eventID"], set()).add(delivery.id)
    assert sorted(ids) == [record(number)["eventID"] for number in range(FILES * FILE_RECORDS)]
    assert all(len(each) == 1 for each in ids.values())


async def test_a_reader_and_its_owner_may_be_killed_and_no_reader_outlives_its_owner(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    bucket = aws.new_bucket()
    put_files(aws, bucket)

    def readers(service: Service) -> list[int]:
        return children(service.process.pid, "trailhook.intake.reading_process")

    async with receiving() as receiver:
        small = {"TRAILHOOK_GROUP_UNITS_MAX": "2", "TRAILHOOK_UNIT_LEASE_S": "2", "TRAILHOOK_BATCH_LEASE_S": "2"}
        timeout = {"TRAILHOOK_CALLBACK_TIMEOUT_S": "1", "TRAILHOOK_SWEEP_EVERY_S": "0.2"}
        env = environment(tmp_path, hosts=(receiver.host,), endpoints=(aws.host,), **small, **timeout, **SECRETS)
        async with serving(env, *SERVE) as service:
            source = (await service.api.post("/add-source", registration(aws, bucket, receiver)))["id"]
            await until(lambda: receiver.taken)
            killed = readers(service)
            for reader in killed:
                assert not [secret for secret in SECRETS.values() if secret in told(reader)]
                os.kill(reader, signal.SIGKILL)
            await until(lambda: set(readers(service)) - set(killed))
            orphans = readers(service)
            await service.kill()
            await until(lambda: not any(map(is_running, orphans)))
        async with serving(env, *SERVE) as service:
            await until_all_is_sent(service, source)
            counts = (await service.api.get(f"/sources/{source}/status"))["counts"]
            assert await service.stop() == 0
    assert_each_event_once(receiver)
    assert counts["read"] == FILES * FILE_RECORDS
    assert_balanced(counts)


async def test_over_mongodb_a_worker_is_started_again_and_ends_with_the_process_that_started_it(
    tmp_path: Path, aws: SimulatedAws, mongodb_url: str, redis_url: str
) -> None:
    bucket = aws.new_bucket()
    put_files(aws, bucket)

    def workers(service: Service) -> list[int]:
        return children(service.process.pid, "trailhook.crew")

    async with receiving() as receiver:
        env = environment(
            tmp_path,
            hosts=(receiver.host,),
            endpoints=(aws.host,),
            TRAILHOOK_MONGODB_URL=f"{mongodb_url}{tmp_path.name.replace('-', '_')[-40:]}",
            TRAILHOOK_REDIS_URL=redis_url,
            TRAILHOOK_MASTER_KEYS=new_key(),
            TRAILHOOK_UNIT_LEASE_S="2",
            TRAILHOOK_BATCH_LEASE_S="2",
            TRAILHOOK_CALLBACK_TIMEOUT_S="1",
        )
        async with serving(env, *SERVE) as service:
            await until(lambda: said(service, "worker", "probes"))
            (worker,) = workers(service)
            source = (await service.api.post("/add-source", registration(aws, bucket, receiver)))["id"]
            os.kill(worker, signal.SIGKILL)
            await until(lambda: set(workers(service)) - {worker})
            await until_all_is_sent(service, source)
            (worker,) = workers(service)
            assert await service.stop() == 0
            assert not is_running(worker)
        async with serving(env, *SERVE) as service:
            await until(lambda: said(service, "worker", "probes"))
            (worker,) = workers(service)
            await service.kill()
            await until(lambda: not is_running(worker))
    assert_each_event_once(receiver)


def said(service: Service, *words: str) -> bool:
    return any(all(word in line for word in words) for line in service.output)
