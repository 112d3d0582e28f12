"""A poll finds every file, wherever and however late it turns up, with a bounded number of requests and units."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.aws import access, log_key
from support.bucket import BucketInMemory, refusal
from support.clock import FakeClock
from trailhook.errors import (
    AccessDenied,
    CredentialsExpired,
    Misconfigured,
    ObjectGone,
    Throttled,
    TrailhookError,
    Transient,
)
from trailhook.model import FoundUnit, Unit, Watermark
from trailhook.net.base import Answer
from trailhook.settings import Settings
from trailhook.sources.aws_identity import Identities
from trailhook.sources.base import Access, Page
from trailhook.sources.s3 import S3Polling

NOW = datetime(2025, 6, 15, 12, 0, tzinfo=UTC)
DIGEST = (
    "AWSLogs/123456789012/CloudTrail-Digest/us-east-1/2025/06/15/"
    "123456789012_CloudTrail-Digest_us-east-1_trail_us-east-1_20250615T105000Z.json.gz"
)
REGION_DIRECTORY = "AWSLogs/123456789012/CloudTrail/us-east-1/"


def label(**ago: float) -> str:
    return (NOW - timedelta(**ago)).strftime("%Y%m%dT%H%M")


def at(**ago: float) -> float:
    return (NOW - timedelta(**ago)).timestamp()


class Story:
    """A bucket, a source that polls it, and what its polls found; marks are kept as a store would."""

    def __init__(self, *, settings: Settings | None = None, **fields: Any) -> None:
        self.bucket = BucketInMemory()
        self.clock = FakeClock(NOW.timestamp())
        self.access: Access = access("trail", **{"start_from_at": at(days=1), **fields})
        self.settings = settings or Settings()
        self.marks: dict[tuple[str, str], Watermark] = {}
        self.pages: list[Page] = []
        self.way = S3Polling(self.bucket, Identities(self.bucket, self.settings, self.clock), self.settings, self.clock)

    def put(self, key: str, **modified_ago: float) -> str:
        self.bucket.put(key, modified_at=at(**modified_ago))
        return key

    async def poll(self) -> list[str]:
        """The keys of the logs found, in the order found."""
        return [each.name for each in await self.units() if each.ignored is None]

    async def units(self) -> list[FoundUnit]:
        self.pages = []
        self.bucket.requests.clear()
        async for page in self.way.poll(self.access, dict(self.marks)):
            self.pages.append(page)
            self.marks.update({(mark.place, mark.prefix): mark for mark in page.marks})
        return [unit for page in self.pages for unit in page.units]

    async def fail(self) -> TrailhookError:
        with pytest.raises(TrailhookError) as raised:
            await self.units()
        return raised.value


async def test_a_unit_says_all_that_reading_it_will_take() -> None:
    story = Story(region="eu-west-1")
    story.bucket.put(log_key("20250615T1155"), b"12345", modified_at=at(minutes=1))
    assert await story.units() == [
        FoundUnit(
            intake="s3",
            place="trail",
            name=log_key("20250615T1155"),
            version="827ccb0eea8a706c4c34a16891f84e7b",
            region="eu-west-1",
            size_bytes=5,
            labelled_at=at(minutes=5),
            modified_at=at(minutes=1),
        )
    ]


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "team/",
        "team/lo",
        "team/logs/",
        "team/logs/AWSLogs",
        "team/logs/AWSLogs/o-exampleorgid/",
        "team/logs/AWSLogs/o-exampleorgid/1234",
        "team/logs/AWSLogs/o-exampleorgid/123456789012/CloudTrail",
        "team/logs/AWSLogs/o-exampleorgid/123456789012/CloudTrail/us-",
        "team/logs/AWSLogs/o-exampleorgid/123456789012/CloudTrail/us-east-1",
        "team/logs/AWSLogs/o-exampleorgid/123456789012/CloudTrail/us-east-1/",
        "team/logs/AWSLogs/o-exampleorgid/123456789012/CloudTrail/us-east-1/2025/06/1",
        "team/logs/AWSLogs/o-exampleorgid/123456789012/CloudTrail/us-east-1/2025/06/15/123456789012_",
    ],
)
async def test_the_prefix_may_point_anywhere_and_end_inside_a_name(prefix: str) -> None:
    story = Story(prefix=prefix)
    key = story.put(log_key(label(minutes=5), prefix="team/logs/", organization="o-exampleorgid/"))
    assert await story.poll() == [key]
    assert await story.poll() == [key]


@pytest.mark.parametrize("before", ["/", "//", "a//b/", "with space+plus/", "jürgen😀/", "100%/", "a&b=c?#/", "~/"])
async def test_no_spelling_of_a_directory_is_lost(before: str) -> None:
    story = Story()
    key = story.put(log_key(label(minutes=5), prefix=before))
    story.access = access("trail", prefix=before)
    assert await story.poll() == [key]
    story.access = access("trail")
    assert await story.poll() == [key]


async def test_files_of_one_minute_are_all_found_whatever_their_order() -> None:
    story = Story()
    first = story.put(log_key(label(minutes=5), "M"))
    assert await story.poll() == [first]
    story.put(log_key(label(minutes=5), "A"))
    story.put(log_key(label(minutes=10), "Z"))
    assert len(await story.poll()) == 3


async def test_a_label_from_within_the_look_back_is_found_at_the_next_poll() -> None:
    story = Story()
    story.put(log_key(label(minutes=5)))
    await story.poll()
    late = story.put(log_key(label(hours=23), "late"))
    assert late in await story.poll()


async def test_a_label_twenty_days_old_is_found_when_the_prefix_is_reconciled() -> None:
    story = Story()
    story.put(log_key(label(minutes=5)))
    await story.poll()
    story.clock.advance(60.0)
    late = story.put(log_key(label(days=20), "late"))
    assert late not in await story.poll()
    story.clock.advance(story.settings.reconcile_every_s)
    assert late in await story.poll()
    assert late not in await story.poll()


async def test_what_the_look_back_does_not_reach_is_not_found_again() -> None:
    story = Story()
    same_day = story.put(log_key(label(hours=25)), hours=1)
    newest = story.put(log_key(label(minutes=5)))
    assert await story.poll() == [same_day, newest]
    assert await story.poll() == [newest]


async def test_a_mark_ahead_of_the_clock_is_taken_for_now() -> None:
    story = Story()
    mark = Watermark(
        intake="s3", place="trail", prefix=REGION_DIRECTORY, mark_at=at(days=-9), reconciled_at=at(minutes=1)
    )
    story.marks["trail", REGION_DIRECTORY] = mark
    key = story.put(log_key(label(hours=23)))
    assert await story.poll() == [key]


async def test_a_slow_pass_dated_ahead_of_the_clock_is_made_again() -> None:
    story = Story()
    mark = Watermark(
        intake="s3", place="trail", prefix=REGION_DIRECTORY, mark_at=at(hours=1), reconciled_at=at(days=-9)
    )
    story.marks["trail", REGION_DIRECTORY] = mark
    key = story.put(log_key(label(days=20)))
    assert await story.poll() == [key]


async def test_the_mark_is_the_newest_label_of_all_pages() -> None:
    story = Story()
    story.bucket.fill([log_key(label(hours=1), number) for number in range(1_000)], modified_at=at(hours=1))
    story.put(f"{REGION_DIRECTORY}zzz")
    await story.poll()
    assert story.marks["trail", REGION_DIRECTORY].mark_at == at(hours=1)


async def test_after_a_long_stop_everything_since_is_found() -> None:
    story = Story(start_from_at=at(days=100))
    story.put(log_key(label(days=99)))
    story.clock.advance(-98 * 86_400.0)
    await story.poll()
    missed = story.put(log_key(label(days=60)))
    story.clock.advance(98 * 86_400.0)
    assert missed in await story.poll()


async def test_an_account_and_a_region_that_appear_later_are_found_from_the_start() -> None:
    story = Story()
    story.put(log_key(label(minutes=5)))
    await story.poll()
    others = [
        story.put(log_key(label(hours=20), region="eu-west-1")),
        story.put(log_key(label(hours=20), account="999999999999")),
        story.put(log_key(label(hours=20), trail="CloudTrail-Insight")),
    ]
    assert set(others) < set(await story.poll())


@pytest.mark.parametrize(
    ("labelled", "modified", "found"),
    [
        ({"hours": 1}, {"hours": 1}, True),
        ({"hours": 48}, {"hours": 48}, False),
        ({"days": 29}, {"minutes": 1}, True),
        ({"hours": 1}, {"hours": 48}, True),
    ],
)
async def test_start_from_admits_a_file_by_its_label_or_by_when_it_was_written(
    labelled: Mapping[str, float], modified: Mapping[str, float], found: bool
) -> None:
    story = Story(start_from_at=at(hours=24))
    story.put(log_key(label(**labelled)), **modified)
    assert bool(await story.poll()) is found


async def test_from_the_beginning_means_all_of_it_once() -> None:
    story = Story(start_from_at=0.0)
    old = story.put(log_key("20140101T0000"), days=4_000)
    new = story.put(log_key(label(minutes=5)))
    assert await story.poll() == [old, new]
    assert await story.poll() == [new]


async def test_an_earlier_start_brings_what_lies_before_it_and_nothing_that_was_found_long_ago() -> None:
    """What was found more than the ledger's memory ago would be sent again: units are forgotten sooner than that."""
    story = Story(start_from_at=at(days=100))
    long_before, before = log_key(label(days=300), 1), log_key(label(days=110), 2)
    found, recent = log_key(label(days=90), 3), log_key(label(days=10), 4)
    for key, ago in ((long_before, 300), (before, 110), (found, 90), (recent, 10)):
        story.put(key, days=ago)
    assert await story.poll() == [found, recent]
    story.access = access("trail", start_from_at=0.0)
    assert await story.poll() == [long_before, before, recent]
    assert await story.poll() == [recent]


async def test_a_start_in_the_future_finds_nothing_yet_and_misses_nothing_then() -> None:
    story = Story(start_from_at=at(hours=-2))
    story.put(log_key(label(minutes=5)))
    assert await story.poll() == []
    story.clock.advance(4 * 3_600)
    key = story.put(log_key(label(hours=-3)), hours=-3)
    assert await story.poll() == [key]


async def test_a_label_in_the_future_holds_back_nothing() -> None:
    story = Story()
    future = story.put(log_key("20990101T0000"))
    assert await story.poll() == [future]
    story.clock.advance(60.0)
    key = story.put(log_key(label(hours=20)))
    assert key in await story.poll()
    assert story.marks["trail", REGION_DIRECTORY].mark_at <= story.clock.now()


async def test_a_mark_is_never_lowered_and_comes_with_the_last_page_only() -> None:
    story = Story()
    story.bucket.fill([log_key(label(hours=1), number) for number in range(2_500)], modified_at=at(hours=1))
    await story.poll()
    pages = [page for page in story.pages if page.units]
    assert [len(page.units) for page in pages] == [1_000, 1_000, 500]
    assert [[mark.mark_at for mark in page.marks] for page in pages] == [[], [], [at(hours=1)]]
    mark = story.marks["trail", REGION_DIRECTORY]
    story.clock.advance(-3 * 86_400.0)
    await story.poll()
    assert story.marks["trail", REGION_DIRECTORY].mark_at == mark.mark_at


async def test_a_quiet_prefix_is_not_listed_from_further_back_than_aws_redelivers() -> None:
    story = Story(start_from_at=0.0)
    old = story.put(log_key(label(days=90)), days=90)
    assert await story.poll() == [old]
    assert await story.poll() == []
    story.clock.advance(40 * 86_400.0)
    late = story.put(log_key(label(days=-11)), days=-40)
    assert await story.poll() == [late]


async def test_what_is_no_log_is_counted_by_kind_at_the_slow_polls_only() -> None:
    story = Story()
    story.put(log_key(label(minutes=5)))
    story.put(DIGEST)
    story.put("readme.txt")
    story.put("AWSLogs/123456789012/")
    story.put("AWSLogs/123456789012/CloudTrail-Aggregated/us-east-1/2025/06/15/strange.json.gz")
    story.put("AWSLogs/123456789012/vpcflowlogs/us-east-1/2025/06/15/other.log.gz")

    async def kinds() -> list[str]:
        return sorted(unit.ignored for unit in await story.units() if unit.ignored)

    assert await kinds() == ["digest", "folder", "unknown", "unknown"]
    assert await kinds() == []
    story.clock.advance(story.settings.reconcile_every_s)
    assert await kinds() == ["digest", "folder", "unknown", "unknown"]
    assert not any("vpcflowlogs/us-east-1" in prefix for prefix in story.bucket.listed_prefixes())


async def test_unknown_directories_are_searched_three_levels_deep_and_other_services_never() -> None:
    story = Story()
    near = story.put(log_key(label(minutes=5), prefix="a/b/c/"))
    story.put(log_key(label(minutes=5), prefix="a/b/c/d/"))
    story.put(log_key(label(minutes=5), prefix="AWSLogs/elsewhere/deep/"))
    assert await story.poll() == [near]


async def test_too_many_directories_ask_for_a_narrower_prefix() -> None:
    story = Story(settings=Settings(discovery_prefixes_max=50))
    story.bucket.fill([f"data/{number}/x" for number in range(60)])
    error = await story.fail()
    assert isinstance(error, Misconfigured)
    assert "s3Prefix" in error.remedy
    assert "TRAILHOOK_DISCOVERY_PREFIXES_MAX" in error.remedy


async def test_a_steady_poll_asks_once_for_each_directory_and_finds_its_last_day_only() -> None:
    story = Story()
    accounts, regions = [f"{number:012}" for number in range(10)], ["us-east-1", "eu-west-1", "ap-southeast-2"]
    for account in accounts:
        for region in regions:
            story.put(log_key(label(minutes=5), account=account, region=region))
    await story.poll()
    assert len(await story.poll()) == 30
    assert len(story.bucket.requests) == 1 + 1 + 10 * (1 + 1 + 3)
    assert all(not page.marks for page in story.pages)


async def test_a_hundred_thousand_keys_come_as_bounded_pages_and_cost_no_more_once_seen() -> None:
    story = Story(start_from_at=0.0)
    days = [NOW - timedelta(days=day + 2) for day in range(100)]
    keys = [log_key(day.strftime("%Y%m%dT0000"), number) for day in days for number in range(1_000)]
    story.bucket.fill(keys, modified_at=at(days=2))
    found = 0
    async for page in story.way.poll(story.access, {}):
        assert len(page.units) <= 1_000
        found += len(page.units)
        story.marks.update({(mark.place, mark.prefix): mark for mark in page.marks})
    assert found == 100_000
    assert len(await story.poll()) == 2_000
    assert len(story.bucket.requests) <= 8


async def test_the_bucket_is_asked_in_its_right_region_once_that_is_known() -> None:
    story = Story()
    key = story.put(log_key(label(minutes=5)))
    story.bucket.refuse = lambda request: (
        None
        if ".eu-central-1." in request.url
        else refusal(301, "PermanentRedirect", x_amz_bucket_region="eu-central-1")
    )
    (unit,) = await story.units()
    assert (unit.name, unit.region) == (key, "eu-central-1")
    assert [".us-east-1." in request.url for request in story.bucket.requests].count(True) == 1
    assert "/eu-central-1/s3/" in dict(story.bucket.requests[-1].headers)["Authorization"]
    assert await story.way.read(story.access, kept(unit)) == b""


async def test_a_bucket_that_is_in_no_region_does_not_go_in_circles() -> None:
    story = Story()
    story.bucket.refuse = lambda _: refusal(301, "PermanentRedirect", x_amz_bucket_region="us-east-1")
    assert isinstance(await story.fail(), Misconfigured)
    assert len(story.bucket.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(503, "SlowDown"), Throttled),
        (refusal(500, "InternalError"), Transient),
        (refusal(400, "ExpiredToken"), CredentialsExpired),
        (refusal(403, "AccessDenied"), AccessDenied),
        (refusal(404, "NoSuchBucket"), Misconfigured),
        (Answer(status=200, body=b"<html>Please sign in</html>"), Misconfigured),
    ],
)
async def test_a_poll_that_fails_midway_says_why_keeps_what_it_found_and_loses_nothing(
    answer: Answer, kind: type[TrailhookError]
) -> None:
    story = Story(settings=Settings(aws_concurrency=1))
    story.bucket.fill([log_key(label(hours=1), number) for number in range(1_500)], modified_at=at(hours=1))
    story.bucket.refuse = lambda request: answer if "continuation-token" in request.url else None
    assert type(await story.fail()) is kind
    assert sum(len(page.units) for page in story.pages) == 1_000
    assert ("trail", REGION_DIRECTORY) not in story.marks
    story.bucket.refuse = lambda _: None
    assert len(await story.poll()) == 1_500


async def test_one_denied_account_does_not_keep_the_others_from_being_read() -> None:
    story = Story(settings=Settings(aws_concurrency=1))
    keys = [story.put(log_key(label(minutes=5), account=account)) for account in ("111111111111", "333333333333")]
    story.put(log_key(label(minutes=5), account="222222222222"))
    story.bucket.refuse = lambda request: refusal(403, "AccessDenied") if "222222222222" in request.url else None
    error = await story.fail()
    assert isinstance(error, AccessDenied)
    assert "222222222222" in error.reason
    assert sorted(unit.name for page in story.pages for unit in page.units) == keys


async def test_a_listing_that_goes_in_circles_ends() -> None:
    story = Story()
    body = (
        b"<ListBucketResult><IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>again</NextContinuationToken></ListBucketResult>"
    )
    story.bucket.refuse = lambda _: Answer(status=200, body=body)
    assert isinstance(await story.fail(), Misconfigured)
    assert len(story.bucket.requests) == 2


async def test_a_poll_left_early_leaves_nothing_running() -> None:
    story = Story(settings=Settings(aws_concurrency=4))
    for number in range(30):
        story.put(log_key(label(minutes=5), account=f"{number:012}"))
    pages = story.way.poll(story.access, {})
    story.bucket.refuse = lambda request: story.bucket.gate.clear() if "us-east-1%2F" in request.url else None

    async def look() -> None:
        async for _ in pages:
            pass

    found = asyncio.ensure_future(look())
    while story.bucket.gate.is_set():
        await asyncio.sleep(0)
    found.cancel()
    await asyncio.gather(found, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def kept(found: FoundUnit) -> Unit:
    fields = {name: getattr(found, name) for name in found.__struct_fields__}
    return Unit(id=1, source_id="s", **fields)


async def test_a_unit_is_read_where_it_was_found_whatever_became_of_its_source() -> None:
    story = Story()
    story.bucket.put(log_key(label(minutes=5)), b"body")
    (unit,) = await story.units()
    story.access = access("another-bucket", region="ap-south-1", endpoint_url="http://127.0.0.1:1")
    assert await story.way.read(story.access, kept(unit)) == b"body"
    request = story.bucket.requests[-1]
    assert request.url.startswith("https://trail.s3.us-east-1.amazonaws.com/AWSLogs/")
    assert dict(request.headers)["if-match"] == f'"{unit.version}"'


async def test_an_object_written_again_since_is_another_unit() -> None:
    story = Story()
    key = log_key(label(minutes=5))
    story.bucket.put(key, b"first")
    (unit,) = await story.units()
    story.bucket.put(key, b"second")
    with pytest.raises(ObjectGone) as raised:
        await story.way.read(story.access, kept(unit))
    assert raised.value.reason == "replaced"
    (again,) = await story.units()
    assert await story.way.read(story.access, kept(again)) == b"second"
