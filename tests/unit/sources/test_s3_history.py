"""A span of the past in a bucket: found whole, in pages that can be gone on with, and judged by few requests."""

from datetime import UTC, datetime, timedelta

import pytest

from support.aws import access, log_key
from support.bucket import BucketInMemory, refusal
from support.clock import FakeClock
from trailhook.errors import AccessDenied, Misconfigured
from trailhook.model import FoundUnit
from trailhook.settings import Settings
from trailhook.sources.aws_identity import Identities
from trailhook.sources.base import Access, Span, Step
from trailhook.sources.lookup_history import LookupHistory
from trailhook.sources.s3 import S3Polling
from trailhook.sources.s3_history import S3History

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)
DAYS = 30
SPAN = Span(id="b", from_at=BEGIN.timestamp(), to_at=(BEGIN + timedelta(days=DAYS)).timestamp())
REGIONS = ("ap-southeast-2", "eu-west-1", "us-east-1")


@pytest.fixture
def bucket() -> BucketInMemory:
    return BucketInMemory()


@pytest.fixture
def history(bucket: BucketInMemory) -> S3History:
    settings, clock = Settings(), FakeClock()
    return S3History(bucket, Identities(bucket, settings, clock), settings, clock)


def keys(a_day: int, *, days: int = DAYS, region: str = "us-east-1", **more: str) -> list[str]:
    """Spread over each day, from the beginning of the span on."""
    labels = [
        BEGIN + timedelta(days=day, minutes=number * 1_440 // a_day) for day in range(days) for number in range(a_day)
    ]
    return [log_key(f"{at:%Y%m%dT%H%M}", n, region=region, **more) for n, at in enumerate(labels)]


async def walked(history: S3History, of: Access, span: Span = SPAN) -> list[FoundUnit]:
    """Everything, as a backfill walks."""
    found: list[FoundUnit] = []
    for stretch in await history.stretches(of, span):
        step = Step(after="", reached_at=0.0, over=False)
        while not step.over:
            before = step.reached_at
            step = await history.step(of, span, stretch, step.after)
            assert span.from_at <= step.reached_at <= span.to_at
            assert step.reached_at >= before
            found += step.units
    return found


async def test_the_files_of_a_span_are_found_in_every_region_and_no_others(
    history: S3History, bucket: BucketInMemory
) -> None:
    wanted = [key for region in REGIONS for key in keys(50, region=region)]
    wanted += keys(1, region="us-east-1", trail="CloudTrail-Insight")
    outside = [log_key(label, 7) for label in ("20240229T2359", "20240331T0100", "20240401T0000", "20250301T0000")]
    late = log_key("20240331T0059", 7)  # it holds what happened up to an hour before
    digest = (
        "AWSLogs/123456789012/CloudTrail-Digest/us-east-1/2024/03/15/"
        "123456789012_CloudTrail-Digest_us-east-1_trail_us-east-1_20240315T105000Z.json.gz"
    )
    foreign = "AWSLogs/123456789012/Config/us-east-1/2024/3/15/file.json.gz"
    bucket.fill([*wanted, *outside, late, digest, foreign])
    found = await walked(history, access("b"))
    assert sorted(unit.name for unit in found) == sorted([*wanted, late])
    assert all(unit.backfill and unit.intake == "s3" for unit in found)


async def test_a_unit_is_the_same_as_a_poll_finds(history: S3History, bucket: BucketInMemory) -> None:
    bucket.put(log_key("20240315T1200"), b"content", modified_at=SPAN.to_at)
    (unit,) = await walked(history, access("b"))
    settings, clock = Settings(), FakeClock(SPAN.to_at)
    polling = S3Polling(bucket, Identities(bucket, settings, clock), settings, clock)
    (polled,) = [unit async for page in polling.poll(access("b"), {}) for unit in page.units]
    assert unit.but(backfill=False) == polled


@pytest.mark.parametrize(
    ("prefix", "count"),
    [
        ("AWSLogs/123456789012/CloudTrail/eu-west-1/", 30),
        ("AWSLogs/123456789012/CloudTrail/eu-west-1/2024/03/1", 10),
        ("AWSLogs/123456789012/CloudTrail-Digest/eu-west-1/", 0),
        ("AWSLogs/", 90),
        ("elsewhere/", 0),
    ],
)
async def test_the_sources_prefix_bounds_it(
    history: S3History, bucket: BucketInMemory, prefix: str, count: int
) -> None:
    bucket.fill([key for region in REGIONS for key in keys(1, region=region)])
    assert len(await walked(history, access("b", prefix=prefix))) == count


async def test_walking_takes_one_request_for_each_thousand_files(history: S3History, bucket: BucketInMemory) -> None:
    bucket.fill(keys(100))
    (stretch,) = await history.stretches(access("b"), SPAN)
    bucket.requests.clear()
    step = Step(after="", reached_at=0.0, over=False)
    while not step.over:
        step = await history.step(access("b"), SPAN, stretch, step.after)
    assert len(bucket.requests) == 3


@pytest.mark.parametrize("a_day", [1, 30, 33, 34, 100, 700])
async def test_a_survey_is_close_to_what_then_happens(history: S3History, bucket: BucketInMemory, a_day: int) -> None:
    bucket.fill([*keys(a_day), *keys(1, region="eu-west-1")])
    stretches = await history.stretches(access("b"), SPAN)
    bucket.requests.clear()
    survey = await history.survey(access("b"), SPAN, stretches)
    asked = len(bucket.requests)
    found = await walked(history, access("b"))
    assert survey.objects == pytest.approx(len(found), rel=0.1)
    assert survey.list_requests == pytest.approx(len(bucket.requests) - asked - 4, abs=2, rel=0.1)
    assert asked <= 1 + 7


async def test_a_survey_is_not_misled_by_a_trail_that_ended(history: S3History, bucket: BucketInMemory) -> None:
    bucket.fill(keys(700, days=5))
    survey = await history.survey(access("b"), SPAN, await history.stretches(access("b"), SPAN))
    assert survey.objects == pytest.approx(3_500, rel=0.3)


async def test_a_survey_of_many_directories_asks_few_of_them(history: S3History, bucket: BucketInMemory) -> None:
    accounts = [f"{number:012}" for number in range(200)]
    bucket.fill([key for account in accounts for key in keys(1, days=5, account=account)])
    stretches = await history.stretches(access("b"), SPAN)
    bucket.requests.clear()
    survey = await history.survey(access("b"), SPAN, stretches)
    assert (survey.objects, survey.list_requests) == (1_000, 200)
    assert len(bucket.requests) == 32
    assert "32 of 200 directories were counted, 0 sampled at 7 days, 168 taken to be like those." in survey.basis


async def test_a_refusal_is_told(history: S3History, bucket: BucketInMemory) -> None:
    bucket.refuse = lambda _: refusal(403, "AccessDenied")
    with pytest.raises(AccessDenied):
        await history.stretches(access("b"), SPAN)


async def test_a_listing_that_repeats_itself_is_no_listing(history: S3History, bucket: BucketInMemory) -> None:
    bucket.fill(keys(100))
    (stretch,) = await history.stretches(access("b"), SPAN)
    first = await history.step(access("b"), SPAN, stretch, "")
    page = bucket._list({"prefix": stretch.name, "max-keys": "1000"})
    bucket.refuse = lambda _: page
    with pytest.raises(Misconfigured):
        await history.step(access("b"), SPAN, stretch, first.after)


# ------------------------------------------------------------------------------------------------- LookupEvents


async def test_windows_of_lookup_events_cover_the_span_and_not_what_is_forgotten() -> None:
    clock = FakeClock(SPAN.to_at)
    history = LookupHistory(Settings(), clock)
    span = SPAN.but(from_at=SPAN.to_at - 200 * 86_400)
    of = access("", regions=("eu-west-1", "us-east-1"))
    stretches = await history.stretches(of, span)
    assert [stretch.name for stretch in stretches] == [
        f"{region}/{category}" for region in ("eu-west-1", "us-east-1") for category in ("management", "insight")
    ]
    units: list[FoundUnit] = []
    step = Step(after="", reached_at=0.0, over=False)
    while not step.over:
        step = await history.step(of, span, stretches[0], step.after)
        assert len(step.units) <= 500
        units += step.units
    assert len(units) == len({unit.name for unit in units}) == 8_640
    assert SPAN.to_at - 90 * 86_400 <= units[0].labelled_at <= SPAN.to_at - 90 * 86_400 + 900
    assert {unit.version for unit in units} == {"b"}
    survey = await history.survey(of, span, stretches)
    assert survey.lookup_requests == 4 * 8_640
    assert "older than 90 days is forgotten" in survey.basis


async def test_nothing_is_cut_of_a_span_that_is_forgotten_as_a_whole() -> None:
    history = LookupHistory(Settings(), FakeClock(SPAN.to_at + 100 * 86_400))
    assert await history.stretches(access("b"), SPAN) == []
