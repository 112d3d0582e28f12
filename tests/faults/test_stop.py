"""SIGTERM while requests are under way: they end, they are settled, and the next start sends nothing twice."""

import asyncio
from pathlib import Path

from support.aws import SimulatedAws
from support.product import SECRET_KEY
from support.receiver import receiving
from support.samples import log_file, log_key, record
from support.service import environment, serving

EVENTS = 60


async def test_a_stop_waits_for_requests_under_way_and_nothing_is_sent_twice(tmp_path: Path, aws: SimulatedAws) -> None:
    bucket = aws.new_bucket()
    aws.put(bucket, log_key("20250615T1200Z", "AAAAAAAAAAAAAAAA"), log_file([record(each) for each in range(EVENTS)]))
    async with receiving() as receiver:
        arrived, answers = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            arrived.set()
            await answers.wait()

        receiver.before_answer = hold
        env = environment(tmp_path, hosts=(receiver.host,), endpoints=(aws.host,))
        async with asyncio.timeout(60):
            async with serving(env) as service:
                await service.api.post("/add-source", registration(aws, bucket, receiver.url))
                await arrived.wait()
                stopping = asyncio.create_task(service.stop())
                while not any("stopping" in line for line in service.output):
                    await asyncio.sleep(0.02)
                under_way = len(receiver.deliveries)
                answers.set()
                assert await stopping == 0
            assert len(receiver.taken) == under_way < EVENTS / 5
            async with serving(env) as service:
                while len(receiver.taken) < EVENTS / 5:
                    await asyncio.sleep(0.02)
                assert await service.stop() == 0
    assert len(receiver.deliveries) == len({each.id for each in receiver.deliveries}) == EVENTS / 5
    events = [event["eventID"] for each in receiver.taken for event in each.events]
    assert sorted(events) == [record(each)["eventID"] for each in range(EVENTS)]


def registration(aws: SimulatedAws, bucket: str, callback_url: str) -> dict[str, object]:
    return {
        "sourceType": "aws_cloudtrail",
        "credentials": {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": SECRET_KEY, "region": "us-east-1"},
        "logFetchInterval": 1,
        "callbackUrl": callback_url,
        "s3Bucket": bucket,
        "endpointUrl": aws.endpoint_url,
        "startFrom": "beginning",
        "delivery": {"maxEvents": 5},
    }
