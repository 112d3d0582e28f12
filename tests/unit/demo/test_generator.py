"""The made-up logs have the shape of real ones, and the manifest tells of every byte."""

import gzip
import hashlib
import json
import statistics
from typing import Any

import pytest

from trailhook.clock import from_rfc3339
from trailhook.cloudtrail.keys import Ignored, LogKey, classify
from trailhook.demo.generator import GeneratedFile, Generator, event_key

START_AT = 1_770_000_000.0


def made(count: int = 400, *, seed: int = 7) -> tuple[Generator, list[GeneratedFile]]:
    generator = Generator(seed)
    return generator, [generator.next_file(START_AT + number) for number in range(count)]


@pytest.fixture(scope="module")
def files() -> list[GeneratedFile]:
    return made()[1]


@pytest.fixture(scope="module")
def events(files: list[GeneratedFile]) -> list[dict[str, Any]]:
    return [json.loads(record) for file in files for record in file.records]


def test_the_same_seed_gives_the_same_files() -> None:
    assert made(20)[1] == made(20)[1]
    assert made(20)[1] != made(20, seed=8)[1]


def test_a_file_holds_exactly_its_records(files: list[GeneratedFile]) -> None:
    for file in files:
        body = gzip.decompress(file.body_gz)
        assert file.records
        assert body == b'{"Records":[' + b",".join(file.records) + b"]}"


def test_every_key_is_one_that_cloudtrail_writes(files: list[GeneratedFile]) -> None:
    kinds = [classify(file.key) for file in files]
    assert [each for each in kinds if isinstance(each, Ignored)] == []
    assert {each.insight for each in kinds if isinstance(each, LogKey)} == {False, True}
    assert len({file.key for file in files}) == len(files)


def test_the_manifest_has_the_hash_of_every_distinct_record() -> None:
    generator, files = made(100)
    expected = {event_key(record): hashlib.sha256(record).digest() for file in files for record in file.records}
    assert dict(generator.manifest) == expected
    assert generator.records == sum(len(file.records) for file in files)
    assert generator.records - generator.repeats == len(expected)


def test_a_fifth_are_repeats_with_the_same_bytes_in_files_of_nothing_else(files: list[GeneratedFile]) -> None:
    seen: dict[tuple[str, str], bytes] = {}
    repeats = total = 0
    for file in files:
        known = [record for record in file.records if event_key(record) in seen]
        assert not known or len(known) == len(file.records)
        assert all(seen[event_key(record)] == record for record in known)
        seen.update((event_key(record), record) for record in file.records)
        repeats, total = repeats + len(known), total + len(file.records)
    assert 0.18 < repeats / total < 0.24


def test_the_mix_is_that_of_real_accounts(events: list[dict[str, Any]]) -> None:
    def share(count: int) -> float:
        return count / len(events)

    assert share(sum("errorCode" in each for each in events)) == pytest.approx(0.25, abs=0.03)
    assert share(sum(each.get("readOnly") is True for each in events)) == pytest.approx(0.75, abs=0.03)
    assert share(sum(each.get("responseElements") is None for each in events)) == pytest.approx(0.89, abs=0.03)
    assert {each["userIdentity"]["type"] for each in events if "userIdentity" in each} == {
        "AssumedRole", "IAMUser", "AWSService",
    }  # fmt: skip
    assert len({each["recipientAccountId"] for each in events}) == 3
    assert len({each["awsRegion"] for each in events}) == 3


def test_the_sizes_are_those_of_real_accounts(files: list[GeneratedFile]) -> None:
    lengths = [len(record) for file in files for record in file.records]
    assert 1_200 < statistics.median(lengths) < 1_800
    assert max(lengths) > 1.3 * statistics.median(lengths)
    counts = [len(file.records) for file in files if isinstance(classify(file.key), LogKey)]
    assert 8 < statistics.median(counts) < 30


def test_files_are_late_out_of_order_and_share_their_minute(files: list[GeneratedFile]) -> None:
    labels = [classify(file.key).labelled_at for file in files]
    assert labels != sorted(labels)
    assert len(set(labels)) < len(labels) / 4
    delays = [
        label - from_rfc3339(json.loads(record)["eventTime"])
        for label, file in zip(labels, files, strict=True)
        for record in file.records
    ]
    assert min(delays) >= 0
    assert 150 < statistics.median(delays) < 300
    assert max(delays) < 1_200
