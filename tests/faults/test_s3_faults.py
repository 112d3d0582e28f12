"""S3 misbehaves: what it gives in the end is sent, once; what it never gives is said to be missing, and why."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.aws import SimulatedAws
from support.product import SECRET_KEY
from support.samples import log_key, record
from support.story import MINUTE_S, Between, Story, is_get, refused, telling

GONE = log_key("20250615T1200Z", "GONEGONEGONEGONE")


@pytest.fixture
async def between(aws: SimulatedAws) -> AsyncIterator[Between]:
    between = Between(aws)
    async with between.server:
        yield between


@pytest.fixture
async def story(tmp_path: Path, aws: SimulatedAws, between: Between) -> AsyncIterator[Story]:
    async with telling(tmp_path, aws, endpoint_url=between.endpoint_url) as story:
        yield story


FAULTS = {
    "slow down": refused(503, "SlowDown"),
    "internal error": refused(500, "InternalError"),
    "broken off": b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf",
    "no answer": b"nothing",
    "a proxy's page": refused(407, ""),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_what_could_not_be_read_at_first_is_read_later_and_sent_once(
    story: Story, between: Between, fault: bytes
) -> None:
    between.refuse = lambda request: fault if is_get(request) else None
    story.put([record(1), record(2)])
    await story.add()
    await story.after(6 * MINUTE_S, step_s=60.0)
    assert story.ids() == []
    between.refuse = lambda _: None
    await story.after(15 * MINUTE_S, step_s=60.0)
    assert sorted(story.ids()) == [record(1)["eventID"], record(2)["eventID"]]
    assert (await story.product.api.get("/quarantine"))["quarantine"] == []
    assert (await story.counts())["sent"] == 2


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_what_could_not_be_listed_at_first_is_listed_later(story: Story, between: Between, fault: bytes) -> None:
    between.refuse = lambda request: None if is_get(request) else fault
    story.put([record(1)])
    await story.add()
    await story.after(6 * MINUTE_S, step_s=60.0)
    assert story.ids() == []
    between.refuse = lambda _: None
    await story.after(15 * MINUTE_S, step_s=60.0)
    assert story.ids() == [record(1)["eventID"]]


async def test_an_object_that_is_gone_after_it_was_listed_costs_no_neighbour(story: Story, between: Between) -> None:
    between.refuse = lambda request: (
        refused(404, "NoSuchKey") if "GONEGONE" in request.path and is_get(request) else None
    )
    story.put([record(1)], unique="GONEGONEGONEGONE")
    story.put([record(2)])
    await story.add()
    assert story.ids() == [record(2)["eventID"]]
    (entry,) = (await story.product.api.get("/quarantine"))["quarantine"]
    assert (entry["name"], entry["reason"]) == (GONE, "gone")


@pytest.mark.parametrize(
    ("code", "state"), [("ExpiredToken", "credentials_expired"), ("InvalidAccessKeyId", "credentials_invalid")]
)
async def test_credentials_that_end_mid_run_are_told_of_once_and_everything_goes_on_with_new_ones(
    story: Story, between: Between, code: str, state: str
) -> None:
    await story.add()
    between.refuse = lambda request: refused(403, code)
    for number in range(30):
        story.put([record(number)], unique=f"{number:016d}")
    await story.after(60 * MINUTE_S, step_s=120.0)
    assert (await story.state(), story.notices()) == (state, [f"source.{state}"])
    between.refuse = lambda _: None
    await story.patch(
        credentials={"accessKeyId": "AKIAIOSFODNN7NEWKEYS", "secretAccessKey": SECRET_KEY, "region": "us-east-1"}
    )
    await story.after(2 * MINUTE_S, step_s=30.0)
    assert len(story.ids()) == len(set(story.ids())) == 30
    assert (await story.state(), story.notices()) == ("active", [f"source.{state}", "source.recovered"])


async def test_credentials_that_end_between_listing_and_reading_stop_the_reading_and_not_the_world(
    story: Story, between: Between
) -> None:
    for number in range(60):
        story.put([record(number)], unique=f"{number:016d}")
    between.refuse = lambda request: refused(403, "ExpiredToken") if is_get(request) else None
    await story.add()
    assert await story.state() == "credentials_expired"
    asked = len(between.requests)
    await story.after(10 * MINUTE_S, step_s=10.0)
    assert len(between.requests) - asked < 150
    between.refuse = lambda _: None
    await story.after(2 * MINUTE_S, step_s=10.0)
    assert len(set(story.ids())) == 60
    assert await story.state() == "active"


async def test_a_denied_listing_is_told_of_once_and_goes_on_by_itself(story: Story, between: Between) -> None:
    await story.add()
    between.refuse = lambda request: None if is_get(request) else refused(403, "AccessDenied")
    story.put([record(1)])
    await story.after(30 * MINUTE_S, step_s=120.0)
    assert (await story.state(), story.notices()) == ("access_denied", ["source.access_denied"])
    between.refuse = lambda _: None
    await story.after(30 * MINUTE_S, step_s=120.0)
    assert story.ids() == [record(1)["eventID"]]
    assert (await story.state(), story.notices()) == ("active", ["source.access_denied", "source.recovered"])


async def test_a_clock_that_aws_does_not_accept_is_not_taken_for_bad_credentials(
    story: Story, between: Between
) -> None:
    between.refuse = lambda _: refused(403, "RequestTimeTooSkewed")
    story.put([record(1)])
    await story.add()
    assert await story.state() == "clock_skewed"
    between.refuse = lambda _: None
    await story.after(20 * MINUTE_S, step_s=120.0)
    assert story.ids() == [record(1)["eventID"]]
