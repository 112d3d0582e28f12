"""The demo's simulated account answers LookupEvents with what is written into its buckets."""

import gzip
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from support.clock import START_AT, FakeClock
from support.lookup import simulated_aws_behind
from support.product import running
from support.real_records import raw_events
from support.receiver import receiving
from trailhook.clock import SystemClock, rfc3339
from trailhook.demo import aws
from trailhook.demo.aws import Bucket
from trailhook.demo.children import Child
from trailhook.demo.digests import PublicKeys
from trailhook.demo.events import ACCOUNTS, REGIONS
from trailhook.demo.generator import Generator
from trailhook.demo.validation import EVERY_S, Validation


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with Child("simulated AWS account", "trailhook.demo.aws") as child:
        yield child.wait_for(aws.READY, 30)


async def test_a_source_without_a_bucket_gets_the_accounts_events_of_its_region(address: str, tmp_path: Path) -> None:
    generator, now = Generator(), time.time()
    bucket = Bucket(address, "trail")
    bucket.create()
    written = set()
    for _ in range(16):
        file = generator.next_file(now - 600)
        bucket.put(file.key, file.body_gz)
        written |= {record for record in file.records if is_wanted(record)}
    bucket.put("AWSLogs/1/CloudTrail/us-east-1/odd.json.gz", b"no log file")
    bucket.put("AWSLogs/1/CloudTrail/us-east-1/odder.json.gz", gzip.compress(b'{"Records":[{"eventID":7},{}]}'))
    async with (
        receiving() as receiver,
        running(tmp_path, hosts=(receiver.host,), endpoints=(address,), clock=SystemClock()) as product,
    ):
        source = await product.add_source(
            endpointUrl=f"http://{address}", callbackUrl=receiver.url, startFrom=rfc3339(now - 1_860)
        )
        await product.work()
        received = Counter(raw for each in receiver.taken for _, raw in raw_events(each))
        assert received == Counter(written)
        assert (await product.status(source))["status"] == "active"


async def test_its_digests_prove_that_all_was_forwarded_minute_by_minute(tmp_path: Path) -> None:
    clock = FakeClock(START_AT // EVERY_S * EVERY_S)
    keys = PublicKeys(app=DomainDispatcherApplication(create_backend_app))
    validation = Validation(keys, keys, places=[*itertools.product(ACCOUNTS, REGIONS)], now=clock.now)
    with simulated_aws_behind(validation) as account:
        generator, bucket = Generator(), Bucket(account.host, "trail")
        bucket.create()
        query = f"from={rfc3339(clock.now())}&to={rfc3339(clock.now() + 3 * EVERY_S)}"
        for _ in range(3):
            for _ in range(5):
                file = generator.next_file(clock.now())
                bucket.put(file.key, file.body_gz)
            clock.advance(EVERY_S)
        async with (
            receiving() as receiver,
            running(tmp_path, hosts=(receiver.host,), endpoints=(account.host,), clock=clock) as product,
        ):
            source = await product.add_source(
                s3Bucket="trail", endpointUrl=account.endpoint_url, callbackUrl=receiver.url
            )
            await product.poll(source)
            proof = await product.api.get(f"/sources/{source}/completeness?{query}")
    assert [each["state"] for each in proof["hours"]] == ["proved"] * 3 * len(ACCOUNTS) * len(REGIONS)
    assert sum(each["proved"] for each in proof["hours"]) == 15


def is_wanted(record: bytes) -> bool:
    """Whether the history of the demo's account in us-east-1 has it: no data events."""
    fields = json.loads(record)
    place = (fields["recipientAccountId"], fields["awsRegion"])
    return place == (ACCOUNTS[0], "us-east-1") and fields.get("managementEvent", True)
