"""Every published bucket, put into S3 as it is, comes out once, byte for byte and signed."""

import json
from collections import Counter
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from support.aws import SimulatedAws
from support.product import Product, running
from support.real_data import real_data
from support.real_records import expected, put_bucket, raw_events
from support.receiver import Receiver, receiving
from trailhook.clock import SystemClock

pytestmark = pytest.mark.real_data

ORIGINS = (
    "aws-docs",
    "flaws-org-trail",
    "invictus-ir",
    "panther-analysis",
    "sans504-s3-ransomware",
    "stratus-red-team",
    "streamalert",
    "traildiscover",
    "trailscraper",
)


def received(receiver: Receiver) -> Counter[tuple[tuple[str, str], bytes]]:
    """Every record received, by identity and bytes."""
    return Counter(event for delivery in receiver.taken for event in raw_events(delivery))


async def forward(product: Product, aws: SimulatedAws, bucket: Path, callback_url: str) -> str:
    """Put a bucket into S3 with its own keys, register it, and forward it."""
    source = await product.add_source(
        s3Bucket=put_bucket(aws, bucket), s3Prefix="", endpointUrl=aws.endpoint_url, callbackUrl=callback_url
    )
    await product.work()
    return source


@pytest.mark.parametrize(("origin", "workers"), [*((origin, 1) for origin in ORIGINS), ("invictus-ir", 2)])
async def test_each_distinct_record_of_a_real_bucket_arrives_once_byte_for_byte_and_signed(
    origin: str, workers: int, tmp_path: Path, aws: SimulatedAws
) -> None:
    bucket = real_data() / "buckets" / origin
    figures = json.loads((real_data() / "EXPECTED.json").read_text())["by_bucket"][origin]
    wanted = expected(bucket)
    async with (
        receiving() as receiver,
        running(
            tmp_path, hosts=(receiver.host,), endpoints=(aws.host,), clock=SystemClock(), workers=workers
        ) as product,
    ):
        source = await forward(product, aws, bucket, receiver.url)
        got = received(receiver)
        assert {key for key, _ in got} == set(wanted)
        assert max(got.values()) == 1
        assert len(got) == len(wanted)
        assert all(raw in wanted[key] for key, raw in got)
        assert sum(1 for (account, _), _ in got if account != "bytes") == figures["distinct_account_event_ids"]
        webhook = Webhook(product.secrets[source])
        for delivery in receiver.taken:
            webhook.verify(delivery.body, delivery.headers)
        status = await product.status(source)
        assert status["counts"]["read"] == figures["records"]
        assert status["units"]["ignored"].get("digest", 0) == figures["digest_files"]
        before = len(receiver.deliveries)
        for _ in range(2):
            await product.poll(source)
        assert len(receiver.deliveries) == before
