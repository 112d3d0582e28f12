"""Several processes over real MongoDB and Valkey, while one after another dies: every event once all the same."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.aws import SimulatedAws
from support.flight import (
    PATIENCE_S,
    InFlight,
    assert_balanced,
    assert_each_once,
    registration,
    until_all_is_sent,
    until_in_flight,
)
from support.mongod import Mongod, own_mongod
from support.real_data import real_data
from support.real_records import put_bucket
from support.receiver import Receiver, receiving
from support.service import Service, environment, serving
from support.valkey import Valkey, own_valkey
from trailhook.security.vault import new_key

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

RECORDS = 19_624
UNIT_LEASE_S, BATCH_LEASE_S, CALLBACK_TIMEOUT_S = 6, 4, 3
MONGOD_DOWN_S = 20.0


@dataclass
class Cluster:
    """One api and some workers."""

    env: dict[str, str]
    stack: AsyncExitStack
    mongod: Mongod
    valkey: Valkey
    api: Service = field(init=False)
    workers: list[Service] = field(default_factory=list)

    async def start_api(self) -> None:
        self.api = await self.stack.enter_async_context(serving(self.env, "-m", "trailhook", "api"))

    async def start_worker(self) -> Service:
        worker = await self.stack.enter_async_context(serving(self.env, "-m", "trailhook", "worker"))
        self.workers.append(worker)
        return worker

    async def units_read(self, worker: Service) -> int:
        """How many objects a worker has read to their end, as it says itself."""
        text = (await worker.api.call("GET", "/metrics")).body.decode()
        lines = [line for line in text.splitlines() if line.startswith("trailhook_objects_total{")]
        return sum(int(float(line.rpartition(" ")[2])) for line in lines if 'outcome="done"' in line)


@asynccontextmanager
async def cluster(directory: Path, receiver: Receiver, aws: SimulatedAws) -> AsyncIterator[Cluster]:
    """MongoDB, Valkey, an api and two workers."""
    async with AsyncExitStack() as stack:
        mongod = stack.enter_context(own_mongod(directory / "mongod"))
        valkey = stack.enter_context(own_valkey())
        env = environment(
            directory / "unused",
            hosts=(receiver.host,),
            endpoints=(aws.host,),
            TRAILHOOK_MONGODB_URL=mongod.url("cluster"),
            TRAILHOOK_REDIS_URL=valkey.url,
            TRAILHOOK_MASTER_KEYS=new_key(),
            TRAILHOOK_WORKER_PORT="0",
            TRAILHOOK_GROUP_UNITS_MAX="40",
            TRAILHOOK_UNIT_LEASE_S=str(UNIT_LEASE_S),
            TRAILHOOK_BATCH_LEASE_S=str(BATCH_LEASE_S),
            TRAILHOOK_CALLBACK_TIMEOUT_S=str(CALLBACK_TIMEOUT_S),
        )
        started = Cluster(env, stack, mongod, valkey)
        await started.start_api()
        for _ in range(2):
            await started.start_worker()
        yield started


async def test_two_workers_share_the_work_and_every_event_comes_once(tmp_path: Path, aws: SimulatedAws) -> None:
    bucket = real_data() / "buckets" / "sans504-s3-ransomware"
    name = put_bucket(aws, bucket)
    async with receiving() as receiver, cluster(tmp_path, receiver, aws) as running:
        source = (await running.api.api.post("/add-source", registration(aws, name, receiver)))["id"]
        await until_all_is_sent(running.api, source)
        counts = (await running.api.api.get(f"/sources/{source}/status"))["counts"]
        shares = [await running.units_read(worker) for worker in running.workers]
        assert [await each.stop() for each in (running.api, *running.workers)] == [0, 0, 0]
    assert_each_once(receiver, bucket)
    assert counts["read"] == RECORDS
    assert_balanced(counts)
    assert sum(shares) == 2_395
    assert min(shares) > 0


async def test_everything_may_die_in_turn_and_every_event_comes_once(tmp_path: Path, aws: SimulatedAws) -> None:
    bucket = real_data() / "buckets" / "sans504-s3-ransomware"
    name = put_bucket(aws, bucket)
    flight = InFlight(hold_s=0.05)
    async with receiving() as receiver, cluster(tmp_path, receiver, aws) as running:
        receiver.before_answer = flight.hold
        document = registration(aws, name, receiver, delivery={"maxEvents": 20})
        source = (await running.api.api.post("/add-source", document))["id"]

        await until_in_flight(receiver, flight, 20)
        await workers_die(running, receiver)
        for fault in (valkey_dies, valkey_is_emptied, mongod_dies, mongod_is_away, worker_is_asked_to_end):
            assert await until_in_flight(receiver, flight, 20) > 0, fault.__name__
            await fault(running)

        await until_all_is_sent(running.api, source)
        counts = (await running.api.api.get(f"/sources/{source}/status"))["counts"]
    assert_each_once(receiver, bucket)
    assert counts["read"] == RECORDS
    assert_balanced(counts)


async def workers_die(running: Cluster, receiver: Receiver) -> None:
    """What the dead had in flight is sent again by those that come after them, once its lease has ended."""
    killed_at = time.monotonic()
    orphans = {each.id for each in receiver.deliveries} - {each.id for each in receiver.taken}
    assert orphans
    for worker in running.workers:
        worker.process.kill()
    sent_before = len(receiver.deliveries)
    running.workers.clear()
    for _ in range(2):
        await running.start_worker()
    async with asyncio.timeout(PATIENCE_S):
        while not orphans <= {each.id for each in receiver.deliveries[sent_before:]}:
            await asyncio.sleep(0.05)
    print(f"what dead workers had in flight was sent again {time.monotonic() - killed_at:.1f} s after they died")


async def valkey_dies(running: Cluster) -> None:
    running.valkey.kill()
    await asyncio.sleep(0.5)
    running.valkey.start()


async def valkey_is_emptied(running: Cluster) -> None:
    running.valkey.ask("FLUSHALL")


async def mongod_dies(running: Cluster) -> None:
    running.mongod.kill()
    await asyncio.to_thread(running.mongod.start)


async def mongod_is_away(running: Cluster) -> None:
    running.mongod.stop()
    await asyncio.sleep(MONGOD_DOWN_S)
    await asyncio.to_thread(running.mongod.start)


async def worker_is_asked_to_end(running: Cluster) -> None:
    assert await running.workers.pop(0).stop() == 0
    await running.start_worker()
