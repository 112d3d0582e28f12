"""Which keys are logs, and where in CloudTrail's layout a directory lies."""

from datetime import UTC, datetime

import pytest

from support.aws import log_key
from support.real_data import real_data
from trailhook.cloudtrail.keys import Directory, Ignored, Level, LogKey, classify, day_directory, digest_key, locate

LABEL = "20240229T2355"
LABELLED_AT = datetime(2024, 2, 29, 23, 55, tzinfo=UTC).timestamp()
REGION_DIRECTORY = "AWSLogs/123456789012/CloudTrail/us-east-1/"


def test_a_log_file_is_known_by_its_account_region_and_minute() -> None:
    assert classify(log_key(LABEL)) == LogKey(account="123456789012", region="us-east-1", labelled_at=LABELLED_AT)


def test_an_organization_trail_puts_its_id_before_the_account() -> None:
    key = classify(log_key(LABEL, organization="o-exampleorgid/"))
    assert isinstance(key, LogKey)
    assert key.organization == "o-exampleorgid"


def test_insight_files_are_logs_too() -> None:
    key = classify(log_key(LABEL, trail="CloudTrail-Insight"))
    assert isinstance(key, LogKey)
    assert key.insight


@pytest.mark.parametrize(
    "region", ["us-gov-west-1", "cn-northsouth-2r", "us-west-2r", "ap-isob-east-1r", "mx-central-1"]
)
def test_regions_of_every_partition_are_regions(region: str) -> None:
    key = classify(log_key(LABEL, region=region))
    assert isinstance(key, LogKey)
    assert key.region == region


@pytest.mark.parametrize("prefix", ["logs/", "/", "a//b/", "with space+plus/", "jürgen/", "two\nlines/", "AWSLogs/"])
def test_anything_may_stand_before_awslogs(prefix: str) -> None:
    assert isinstance(classify(log_key(LABEL, prefix=prefix)), LogKey)


def test_a_file_named_for_another_account_than_its_folder_is_read_all_the_same() -> None:
    key = log_key(LABEL).replace("/123456789012_", "/999999999999_")
    assert classify(key) == LogKey(account="123456789012", region="us-east-1", labelled_at=LABELLED_AT)


@pytest.mark.parametrize(
    "key",
    [
        log_key("20240230T0000"),
        log_key("20240229T2460"),
        log_key(LABEL) + ".tmp",
        log_key(LABEL) + "\n",
        log_key(LABEL).replace(".json.gz", ".json"),
        log_key(LABEL).replace("Z_0", "Z_"),
        log_key(LABEL, account="12345678901"),
        log_key(LABEL, account="１２３４５６７８９０１２"),
        log_key(LABEL, trail="CloudTrail-Digest"),
        log_key(LABEL, trail="CloudTrail-Aggregated"),
        log_key(LABEL).removeprefix("AWSLogs/"),
        "x" + log_key(LABEL),
        "AWSLogs/123456789012/vpcflowlogs/us-east-1/2024/02/29/123456789012_vpcflowlogs_us-east-1.log.gz",
        "",
    ],
)
def test_what_does_not_match_in_full_is_unknown(key: str) -> None:
    assert classify(key) == Ignored(kind="unknown")


def test_digests_are_told_from_the_unknown_and_keep_their_time() -> None:
    key = (
        "AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/17/"
        "111122223333_CloudTrail-Digest_us-east-2_your_trail-name_us-east-2_20150817T150131Z.json.gz"
    )
    at = datetime(2015, 8, 17, 15, 1, tzinfo=UTC).timestamp()
    assert classify(key) == Ignored(kind="digest", labelled_at=at)


def test_a_placeholder_of_a_folder_is_a_folder() -> None:
    assert classify(REGION_DIRECTORY) == Ignored(kind="folder")


def test_a_digest_written_later_for_an_hour_is_told_from_the_hours_own() -> None:
    name = "123456789012_CloudTrail-Digest_us-east-1_t_us-east-1_20260131T120131Z"
    path = f"AWSLogs/123456789012/CloudTrail-Digest/us-east-1/2026/01/31/{name}"
    own, later = digest_key(f"{path}.json.gz"), digest_key(f"{path}_backfill.json.gz")
    assert own is not None
    assert later == own.but(key=f"{path}_backfill.json.gz", backfill=True)
    assert classify(later.key) == classify(own.key)


@pytest.mark.real_data
def test_every_published_key_is_a_log_or_a_digest() -> None:
    buckets = real_data() / "buckets"
    keys = ["/".join(path.relative_to(buckets).parts[1:]) for path in buckets.rglob("*.gz")]
    assert len(keys) > 2_500
    for key in keys:
        found = classify(key)
        if "/CloudTrail-Digest/" in key:
            assert isinstance(found, Ignored), key
            assert found.kind == "digest", key
        else:
            assert isinstance(found, LogKey), key
            assert found.insight is ("/CloudTrail-Insight/" in key)


@pytest.mark.parametrize(
    ("prefix", "level"),
    [
        ("", Level.ABOVE),
        ("/", Level.ABOVE),
        ("team/logs/", Level.ABOVE),
        ("AWSLogs/", Level.BRANCH),
        ("team//AWSLogs/", Level.BRANCH),
        ("AWSLogs/AWSLogs/", Level.BRANCH),
        ("AWSLogs/o-exampleorgid/", Level.BRANCH),
        ("AWSLogs/o-exampleorgid/123456789012/", Level.BRANCH),
        ("AWSLogs/123456789012/CloudTrail/", Level.BRANCH),
        ("AWSLogs/123456789012/vpcflowlogs/", Level.FOREIGN),
        ("AWSLogs/aws-account-id=123456789012/", Level.FOREIGN),
    ],
)
def test_directories_above_the_regions_have_a_level(prefix: str, level: Level) -> None:
    assert locate(prefix) == Directory(level=level)


@pytest.mark.parametrize("inside", ["", "2024/", "2024/02/2", "2024/02/29/123456789012_CloudTrail_"])
def test_any_prefix_inside_a_region_knows_its_regions_directory(inside: str) -> None:
    assert locate(REGION_DIRECTORY + inside) == Directory(level=Level.REGION, root=REGION_DIRECTORY)


@pytest.mark.parametrize("trail", ["CloudTrail-Digest", "CloudTrail-Aggregated"])
def test_siblings_of_the_logs_hold_no_logs(trail: str) -> None:
    directory = f"AWSLogs/123456789012/{trail}/"
    assert not locate(directory).logs
    assert not locate(f"{directory}us-east-1/").logs
    assert locate("AWSLogs/123456789012/CloudTrail-Insight/us-east-1/").logs


def test_every_key_of_a_day_sorts_behind_its_days_directory() -> None:
    start = day_directory(REGION_DIRECTORY, LABELLED_AT)
    assert start == REGION_DIRECTORY + "2024/02/29/"
    assert log_key("20240228T2355", "z" * 16) < start < log_key("20240229T0000")
