"""What is wrong with one source, one file or one event costs the others nothing."""

import asyncio
import gzip
import json
from pathlib import Path

from support.aws import SimulatedAws
from support.product import SECRET_KEY
from support.receiver import Delivery, receiving
from support.samples import log_file, log_key, record
from support.service import environment, serving
from support.story import MINUTE_S, telling
from support.webserver import Visit, WebServer

HEALTHY = 40


async def _never_answers(visit: Visit) -> None:
    await visit.request()
    await visit.hang()


async def test_a_callback_that_hangs_slows_none_of_forty_others(tmp_path: Path, aws: SimulatedAws) -> None:
    bucket = aws.new_bucket()
    aws.put(bucket, log_key("20250615T1200Z", "AAAAAAAAAAAAAAAA"), log_file([record(each) for each in range(100)]))

    def registration(callback_url: str) -> dict[str, object]:
        keys = {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": SECRET_KEY, "region": "us-east-1"}
        return {
            "sourceType": "aws_cloudtrail",
            "credentials": keys,
            "callbackUrl": callback_url,
            "s3Bucket": bucket,
            "endpointUrl": aws.endpoint_url,
            "startFrom": "beginning",
            "delivery": {"maxEvents": 10},
        }

    async with receiving() as receiver, WebServer(_never_answers) as dead:
        env = environment(tmp_path, hosts=(receiver.host, dead.host_and_port), endpoints=(aws.host,))
        async with serving(env) as service, asyncio.timeout(25):
            await service.api.post("/add-source", registration(dead.url("/dead")))
            await dead.visit()
            for number in range(HEALTHY):
                await service.api.post("/add-source", registration(f"{receiver.url}/{number}"))
            while len(receiver.taken) < 10 * HEALTHY:
                await asyncio.sleep(0.05)
            assert len(dead.received) <= 4
            await service.kill()


async def test_one_unreadable_file_and_one_poison_event_cost_none_of_their_neighbours(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    def answer(delivery: Delivery) -> int:
        return 422 if any(each["eventID"] == record(7)["eventID"] for each in delivery.events) else 200

    async with telling(tmp_path, aws) as story:
        story.receiver.answer = answer
        for file in range(10):
            story.put([record(file)], unique=f"{file:016d}")
        story.aws.put(story.bucket, log_key("20250615T1200Z", "BADBADBADBADBADB"), b"\x1f\x8b nonsense")
        await story.add()
        await story.after(60 * MINUTE_S, step_s=60.0)
        assert sorted(story.ids()) == [record(number)["eventID"] for number in range(10) if number != 7]
        status = await story.product.status(story.source)
        assert (status["counts"]["deadLettered"], status["units"]["quarantined"]) == (1, 1)


async def test_an_event_in_two_files_and_a_file_written_twice_are_sent_once(tmp_path: Path, aws: SimulatedAws) -> None:
    async with telling(tmp_path, aws) as story:
        await story.add()
        story.put([record(1), record(2)], unique="AAAAAAAAAAAAAAAA")
        story.put([record(2), record(3)], unique="BBBBBBBBBBBBBBBB")
        await story.after(2 * MINUTE_S, step_s=60.0)
        story.put([record(1), record(2), record(4)], unique="AAAAAAAAAAAAAAAA")
        await story.after(2 * MINUTE_S, step_s=60.0)
        assert sorted(story.ids()) == [record(number)["eventID"] for number in (1, 2, 3, 4)]
        assert (await story.counts())["duplicate"] == 3


async def test_a_large_file_goes_out_slice_by_slice_though_the_outbox_is_small(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    numbers = range(500)
    async with telling(
        tmp_path, aws, small_unit_bytes_max=4_096, slice_records_max=50, outbox_bytes_max=2_000
    ) as story:
        story.receiver.answer = lambda _: 500
        raws = [json.dumps(record(number, pad="x" * 500), separators=(",", ":")) for number in numbers]
        raws.insert(250, '{"eventID":NaN}')
        story.aws.put(
            story.bucket,
            log_key("20250615T1200Z", "LARGELARGELARGEL"),
            gzip.compress(b'{"Records":[%b]}' % ",".join(raws).encode()),
        )
        await story.add(delivery={"maxEvents": 20})
        counts = await story.counts()
        assert 0 < counts["waiting"] == counts["read"] < 300
        story.receiver.answer = lambda _: 200
        await story.after(10 * MINUTE_S, step_s=20.0)
        assert sorted(story.ids()) == [record(number)["eventID"] for number in numbers]
        counts = await story.counts()
        assert (counts["read"], counts["sent"], counts["quarantined"]) == (501, 500, 1)
