"""How `trailhook doctor` judges what it finds: what fails, what is only doubtful, and that each comes with a remedy."""

from pathlib import Path
from typing import Any

import pytest

from trailhook.doctor import (
    DISK_FAILED_BYTES,
    DISK_WARN_BYTES,
    Check,
    judge_disk,
    judge_guard,
    judge_mongodb,
    judge_notices,
    judge_redis,
    judge_skew,
    judge_sqlite,
    judge_transactions,
)
from trailhook.queue.look import Look as QueueLook
from trailhook.settings import Settings
from trailhook.store.mongo.look import Look as MongoLook
from trailhook.store.moving import Mark
from trailhook.store.sqlite.look import Look as SqliteLook

FILE = Path("trailhook.sqlite")
MOVING = Mark(id="1", phase="copying", home="mongodb://there:27017/trailhook")


def mongodb(**fields: Any) -> Check:
    found = MongoLook(version="8.0.12", transactions=True, primary=True, ahead_s=0.0, round_trip_s=0.0)
    return judge_mongodb(found.but(**fields))


def sqlite(owned_by: int | None = None, **fields: Any) -> Check:
    found = SqliteLook(
        sqlite_version="3.50", schema=1, file_bytes=2**20, problems=(), whole=True, key_check=None, mark=None
    )
    return judge_sqlite(FILE, found.but(**fields), owned_by)


def redis(**fields: Any) -> Check:
    return judge_redis(QueueLook(name="valkey", version="8.1.3", eviction="noeviction").but(**fields))


def test_what_is_well_is_ok_and_wants_nothing_done() -> None:
    for check in (mongodb(), sqlite(), redis(), judge_skew(0.5, 0.01), judge_disk(Path(), DISK_WARN_BYTES)):
        assert (check.verdict, check.remedy) == ("ok", "")


@pytest.mark.parametrize(
    ("check", "finding", "remedy"),
    [
        (mongodb(transactions=False), "no transactions", "rs.initiate"),
        (mongodb(primary=False), "without a primary", "rs.status"),
        (mongodb(version="5.0.9"), "too old", "6.0"),
        (mongodb(mark=MOVING), "unfinished copy", "--rollback"),
        (sqlite(problems=("row 3 missing from index x",)), "row 3 missing", "backup"),
        (sqlite(mark=MOVING), "copying to mongodb://there", "--rollback"),
        (sqlite(mark=MOVING.but(phase="moved")), "moved to mongodb://there", "TRAILHOOK_MONGODB_URL"),
        (redis(version="6.0.9"), "too old", "6.2"),
        (judge_skew(-70.0, 0.1), "70.0 s behind", "NTP"),
        (judge_disk(Path("data"), DISK_FAILED_BYTES - 1), "0.2 GiB free for data", "room"),
    ],
)
def test_what_cannot_work_fails_with_a_remedy(check: Check, finding: str, remedy: str) -> None:
    assert check.verdict == "failed"
    assert finding in check.finding
    assert remedy in check.remedy


@pytest.mark.parametrize(
    ("check", "finding", "remedy"),
    [
        (redis(eviction="allkeys-lru"), "allkeys-lru", "noeviction"),
        (judge_notices(["json://a", "json://b"], ["2", "3"])[0], "number 2 of TRAILHOOK_NOTIFY_URLS", "reachable"),
        (judge_skew(3.0, 0.1), "3.0 s ahead of", "NTP"),
        (judge_disk(Path("data"), DISK_WARN_BYTES - 1), "GiB free", "RETENTION_DAYS"),
    ],
)
def test_what_works_but_not_for_long_is_a_warning(check: Check, finding: str, remedy: str) -> None:
    assert check.verdict == "warn"
    assert finding in check.finding
    assert remedy in check.remedy


def test_a_slow_answer_is_not_taken_for_a_wrong_clock() -> None:
    assert judge_skew(3.0, 5.0).verdict == "ok"


def test_an_integrity_check_that_ran_out_of_time_does_not_claim_more_than_it_saw() -> None:
    assert "whole" in sqlite(whole=True).finding
    assert "nothing wrong found in" in sqlite(whole=False).finding


def test_the_process_that_uses_the_file_is_named() -> None:
    assert "in use by process 42" in sqlite(owned_by=42).finding


def test_a_newer_redis_by_its_second_number_is_new_enough() -> None:
    assert redis(version="6.10.0").verdict == "ok"


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        (Settings(allow_http_callbacks=True), "in the clear"),
        (Settings(allow_callback_hosts=("hooks.example.com", "169.254.169.254")), "metadata at 169.254.169.254"),
        (Settings(allow_callback_hosts=("127.0.0.1:9000",)), "at 127.0.0.1:9000"),
        (Settings(allow_callback_hosts=("[::1]:9000",)), "at [::1]:9000"),
        (Settings(allow_callback_cidrs=("10.1.0.0/16", "0.0.0.0/0")), "(0.0.0.0/0)"),
    ],
)
def test_a_guard_that_was_opened_wide_is_a_warning(settings: Settings, finding: str) -> None:
    (check,) = judge_guard(settings)
    assert check.verdict == "warn"
    assert finding in check.finding


def test_a_guard_that_lists_what_it_means_is_fine() -> None:
    listed = Settings(allow_callback_hosts=("hooks.internal:8443", "10.0.0.7"), allow_callback_cidrs=("10.1.0.0/16",))
    assert judge_guard(listed) == []


@pytest.mark.parametrize(("limit_s", "states"), [(None, []), (15, ["ok"]), (60, ["warn"])])
def test_a_mongodb_that_keeps_a_dead_workers_rows_for_long_is_doubtful(limit_s: int | None, states: list[str]) -> None:
    assert [check.verdict for check in judge_transactions(limit_s)] == states


def test_notices_are_judged_only_where_there_are_notify_urls() -> None:
    assert judge_notices([], ["1"]) == ()
    assert [check.verdict for check in judge_notices(["json://a"], [])] == ["ok"]
