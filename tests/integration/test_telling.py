"""What goes wrong is told: in the status, as one signed notice, and in one line of the log for each change."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.aws import SimulatedAws
from support.clock import FakeClock
from support.product import Product, running
from support.receiver import Receiver, receiving
from support.samples import log_key

NOBODY = "127.0.0.1:9"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running_receiver:
        yield running_receiver


@pytest.fixture
def bucket(aws: SimulatedAws, tmp_path: Path) -> str:
    """A bucket of the test's own."""
    name = tmp_path.name.replace("_", "-")[:60].strip("-")
    aws.create_bucket(name)
    return name


@pytest.fixture
async def product(tmp_path: Path, aws: SimulatedAws, receiver: Receiver) -> AsyncIterator[Product]:
    hosts, endpoints = (receiver.host,), (aws.host, NOBODY)
    async with running(tmp_path, hosts=hosts, endpoints=endpoints, clock=FakeClock()) as product:
        yield product


async def minutes(product: Product, count: int) -> None:
    """Let time go by, doing whatever falls due."""
    assert isinstance(product.clock, FakeClock)
    for _ in range(count):
        product.clock.advance(60.0)
        await product.work()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a log at the usual level holds of the product's own words."""
    return [
        each.message for each in caplog.records if each.name.startswith("trailhook") and each.levelno >= logging.INFO
    ]


async def test_an_aws_that_never_answers_is_told_once_and_so_is_its_return(
    product: Product, bucket: str, receiver: Receiver, aws: SimulatedAws, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source = await product.add_source(s3Bucket=bucket, endpointUrl=f"http://{NOBODY}", callbackUrl=receiver.url)
    await product.work()
    await minutes(product, 5)
    assert (await product.status(source))["status"] == "active"
    await minutes(product, 20)
    status = await product.status(source)
    assert status["status"] == "needs_attention"
    assert "connecting failed" in status["lastError"]
    assert "endpointUrl" in status["fetch"]["remedy"]
    await product.api.call("PATCH", f"/sources/{source}", {"endpointUrl": aws.endpoint_url})
    await minutes(product, 2)
    assert (await product.status(source))["status"] == "active"
    assert [each.type for each in receiver.of_type("source.")] == ["source.needs_attention", "source.recovered"]
    told = lines(caplog)
    assert [each.partition(":")[0].partition(".")[0] for each in told] == [
        "poll failed, trying again",
        "fetching is needs_attention now",
        "fetching is active now",
    ]


async def test_a_source_that_stays_broken_is_logged_once(
    product: Product, receiver: Receiver, aws: SimulatedAws, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await product.add_source(s3Bucket="absent", endpointUrl=aws.endpoint_url, callbackUrl=receiver.url)
    await product.work()
    await minutes(product, 10)
    [line] = lines(caplog)
    assert line.startswith("fetching is misconfigured now. There is no such bucket")


async def test_a_source_that_works_logs_nothing_and_what_it_cannot_read_is_one_line(
    product: Product, bucket: str, receiver: Receiver, aws: SimulatedAws, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source = await product.add_source(s3Bucket=bucket, endpointUrl=aws.endpoint_url, callbackUrl=receiver.url)
    await product.work()
    await minutes(product, 3)
    assert lines(caplog) == []
    for unique in ("AAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBB"):
        aws.put(bucket, log_key("20250615T1200Z", unique), b"no gzip")
    await product.poll(source)
    assert lines(caplog) == ["unreadable, now in quarantine: 2"]
    status: Any = await product.status(source)
    assert status["units"]["quarantined"] == 2
