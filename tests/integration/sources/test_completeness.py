"""Completeness over the whole product and a simulated account: what the AWS CLI finds in logs is found, and more.

The cases are those of its `cloudtrail validate-logs`, by name; signatures are made with real RSA keys.
"""

import gzip
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from support.aws import SimulatedAws
from support.clock import FakeClock
from support.digests import (
    ACCOUNT,
    FIRST_AT,
    HOUR_S,
    REGION,
    Trail,
    altered,
    hour_at,
    sha256_of,
    simulated_aws_with_digests,
    times,
)
from support.product import Product, running
from support.receiver import Receiver, receiving
from trailhook.api.context import cursor_of
from trailhook.demo.digests import PublicKeys, SigningKey

Spoil = Callable[[Trail, int], None]


@dataclass(frozen=True)
class Account:
    """What all tests share: a server, the keys it tells of, and one that it signs with."""

    aws: SimulatedAws
    keys: PublicKeys
    signer: SigningKey


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with simulated_aws_with_digests() as (aws, keys):
        signer = SigningKey()
        keys.add(REGION, signer, from_at=FIRST_AT - HOUR_S, to_at=FIRST_AT + 48 * HOUR_S)
        yield Account(aws, keys, signer)


@dataclass
class World:
    """A product and a trail whose bucket it forwards."""

    product: Product
    receiver: Receiver
    account: Account
    trail: Trail
    sources: list[str] = field(default_factory=list)

    async def add_source(self, **fields: Any) -> str:
        given: dict[str, Any] = {"s3Bucket": self.trail.bucket, "verifyIntegrity": True, **fields}
        source_id = await self.product.add_source(
            endpointUrl=self.account.aws.endpoint_url, callbackUrl=self.receiver.url, **given
        )
        self.sources.append(source_id)
        return source_id

    async def forwarded(self, **fields: Any) -> str:
        """A source that has forwarded all there is."""
        source_id = await self.add_source(**fields)
        await self.product.poll(source_id)
        return source_id

    async def page(self, source_id: str, first: int = 0, beyond: int = 3, **query: Any) -> Any:
        asked = urlencode({**times(first, beyond), **query})
        return await self.product.api.get(f"/sources/{source_id}/completeness?{asked}")

    async def hours(self, source_id: str, first: int = 0, beyond: int = 3) -> list[dict[str, Any]]:
        answer = await self.page(source_id, first, beyond)
        assert answer["next"] is None
        found: list[dict[str, Any]] = answer["hours"]
        return found

    async def joined(self, source_id: str, first: int, beyond: int, *, limit: int) -> list[dict[str, Any]]:
        """The same, in pages."""
        hours: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": limit}
        while True:
            answer = await self.page(source_id, first, beyond, **query)
            assert 0 < len(answer["hours"]) <= limit
            hours += answer["hours"]
            if answer["next"] is None:
                return hours
            query["cursor"] = answer["next"]

    def gets(self) -> float:
        """How many objects were read so far."""
        counted = self.product.parts.metrics.registry.get_sample_value(
            "trailhook_aws_requests_total", {"operation": "GetObject", "class": "ok"}
        )
        return counted or 0.0

    def received(self) -> int:
        return sum(len(each.events) for each in self.receiver.of_type("cloudtrail.events"))


@asynccontextmanager
async def world_of(account: Account, data_dir: Path, **settings: Any) -> AsyncIterator[World]:
    trail = Trail(account.aws, account.aws.new_bucket(), account.signer)
    async with (
        receiving() as receiver,
        running(
            data_dir, hosts=(receiver.host,), endpoints=(account.aws.host,), clock=FakeClock(), **settings
        ) as product,
    ):
        yield World(product, receiver, account, trail)


@pytest.fixture
async def world(account: Account, tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(account, tmp_path) as world:
        yield world


def states(hours: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["state"], each["reason"]) for each in hours]


PROVED = ("proved", "")


# ------------------------------------------------------------------------------------------------------- log files


async def test_an_hour_is_proved_when_all_that_its_digest_lists_was_forwarded_and_nothing_is_read_again(
    world: World,
) -> None:
    for number in range(3):
        world.trail.hour(number, files=2 * number)
    source = await world.forwarded()
    before = world.gets()
    hours = await world.hours(source)
    assert states(hours) == [PROVED] * 3
    assert [(each["objects"], each["proved"]) for each in hours] == [(0, 0), (2, 2), (4, 4)]
    assert world.gets() - before == 3, "the three digests"
    assert {(each["account"], each["region"], each["trail"]) for each in hours} == {
        (ACCOUNT, REGION, f"management-events_{REGION}")
    }
    assert (hours[0]["to"], hours[1]["from"]) == (hours[1]["from"], hours[0]["to"])


async def test_without_kept_hashes_the_log_files_are_read_again(world: World) -> None:
    world.trail.hour(0)
    source = await world.forwarded(verifyIntegrity=False)
    before = world.gets()
    assert states(await world.hours(source, 0, 1)) == [PROVED]
    assert world.gets() - before == 3, "a digest and two log files"


async def test_filters_and_sizes_change_nothing_of_the_proof(account: Account, tmp_path: Path) -> None:
    async with world_of(account, tmp_path, small_unit_bytes_max=1_024) as world:
        big = gzip.compress(b'{"Records":[' + b",".join(b'{"eventID":"e%d"}' % each for each in range(200)) + b"]}")
        world.trail.aws.put(world.trail.bucket, world.trail.key(0), big)
        world.trail.digest(0, {world.trail.key(0): big})
        source = await world.forwarded(filter={"exclude": {"eventID": ["*"]}})
        assert states(await world.hours(source, 0, 1)) == [PROVED]


@pytest.mark.parametrize("kept", [True, False])
async def test_a_modified_log_is_found_with_both_hashes(world: World, kept: bool) -> None:
    world.trail.hour(0)
    good, bad = world.trail.key(0), world.trail.body()
    source = await world.add_source(verifyIntegrity=kept)
    listed = sha256_of(world.trail.aws.s3.get_object(Bucket=world.trail.bucket, Key=good)["Body"].read())
    world.trail.aws.put(world.trail.bucket, good, bad)
    await world.product.poll(source)
    (hour,) = await world.hours(source, 0, 1)
    assert (hour["state"], hour["alteredCount"], hour["proved"]) == ("altered", 1, 1)
    assert hour["altered"] == [{"object": good, "expected": listed, "found": sha256_of(bad), "alsoExpected": False}]


async def test_a_log_that_is_modified_after_it_was_forwarded_is_found_once_that_is_forwarded_too(world: World) -> None:
    world.trail.hour(0)
    source = await world.forwarded()
    world.trail.aws.put(world.trail.bucket, world.trail.key(0), world.trail.body())
    assert states(await world.hours(source, 0, 1)) == [PROVED], "what was forwarded is what CloudTrail delivered"
    await world.product.poll(source)
    (hour,) = await world.hours(source, 0, 1)
    assert hour["state"] == "altered"
    assert hour["altered"][0]["alsoExpected"]


async def test_a_deleted_log_that_was_never_taken_in_is_missing(world: World) -> None:
    world.trail.hour(0, put=lambda unique: unique == 1)
    source = await world.forwarded()
    (hour,) = await world.hours(source, 0, 1)
    assert (hour["state"], hour["missingCount"], hour["proved"]) == ("missing", 1, 1)
    assert hour["missing"] == [{"object": world.trail.key(0, 0), "why": "gone"}]


async def test_a_log_that_is_deleted_after_it_was_forwarded_is_proved_by_its_kept_hash_alone(world: World) -> None:
    world.trail.hour(0)
    kept = await world.forwarded()
    unkept = await world.forwarded(verifyIntegrity=False)
    world.trail.aws.delete(world.trail.bucket, world.trail.key(0))
    assert states(await world.hours(kept, 0, 1)) == [PROVED]
    (hour,) = await world.hours(unkept, 0, 1)
    assert (hour["state"], [each["why"] for each in hour["missing"]]) == ("missing", ["unproved"])


async def test_a_missed_log_that_is_still_there_is_fetched_again_and_forwarded_once(world: World) -> None:
    world.trail.hour(0, files=3)
    source = await world.add_source()
    (hour,) = await world.hours(source, 0, 1)
    assert {each["why"] for each in hour["missing"]} == {"refetched"}
    (hour,) = await world.hours(source, 0, 1)
    assert {each["why"] for each in hour["missing"]} == {"waiting"}
    await world.product.work()
    assert states(await world.hours(source, 0, 1)) == [PROVED]
    await world.product.poll(source)
    assert world.received() == 3


async def test_a_log_in_quarantine_is_missing(world: World) -> None:
    world.trail.hour(0, files=1)
    world.trail.aws.put(world.trail.bucket, world.trail.key(0), b"no log")
    source = await world.forwarded()
    (hour,) = await world.hours(source, 0, 1)
    assert [each["why"] for each in hour["missing"]] == ["quarantined"]


async def test_what_is_too_old_to_be_remembered_is_not_fetched_again(world: World) -> None:
    world.trail.hour(0, files=1)
    source = await world.add_source()
    clock = world.product.clock
    assert isinstance(clock, FakeClock)
    clock.advance(31 * 24 * HOUR_S)
    (hour,) = await world.hours(source, 0, 1)
    assert [each["why"] for each in hour["missing"]] == ["forgotten"]


async def test_details_are_bounded_and_everything_is_counted(account: Account, tmp_path: Path) -> None:
    async with world_of(account, tmp_path, completeness_details_max=2) as world:
        world.trail.hour(0, files=5, put=lambda _: False)
        source = await world.forwarded()
        (hour,) = await world.hours(source, 0, 1)
        assert (len(hour["missing"]), hour["missingCount"], hour["objects"]) == (2, 5, 5)


# --------------------------------------------------------------------------------------------------------- digests


async def test_a_deleted_digest_leaves_its_hour_without_proof(world: World) -> None:
    for number in range(3):
        world.trail.hour(number)
    world.trail.delete(1)
    source = await world.forwarded()
    hours = await world.hours(source)
    assert states(hours) == [PROVED, ("no_digest", "gone"), PROVED]
    assert world.trail.digests[1].key in hours[1]["detail"]


async def test_two_consecutive_digests_gone_are_found(world: World) -> None:
    for number in range(4):
        world.trail.hour(number)
    world.trail.delete(1, 2)
    source = await world.forwarded()
    hours = await world.hours(source, 0, 4)
    assert states(hours) == [PROVED, ("no_digest", "gone"), PROVED]
    assert (hours[1]["from"], hours[1]["to"]) == (times(1, 3)["from"], times(1, 3)["to"])


async def test_the_digest_before_the_range_is_held_against_the_first_in_it(world: World) -> None:
    world.trail.hour(0)
    other = replace(world.trail.chain)
    world.trail.hour(1)
    another = other.write({}, hour_at(0), hour_at(1))
    world.trail.put(replace(another, key=world.trail.digests[0].key))
    source = await world.forwarded()
    assert states(await world.hours(source, 1, 2)) == [("bad_digest", "chain")]


def _modified(trail: Trail, number: int) -> None:
    file = trail.digests[number]
    trail.put(replace(file, body_gz=altered(file, logFiles=[])))


def _moved(trail: Trail, number: int) -> None:
    before = trail.digests[number - 1]
    trail.put(replace(trail.digests[number], body_gz=before.body_gz, metadata=before.metadata))


def _of_another_bucket(trail: Trail, number: int) -> None:
    chain = replace(trail.chain, bucket="another-bucket")
    trail.put(chain.write({}, hour_at(number), hour_at(number + 1)))


def _missing_public_key(trail: Trail, number: int) -> None:
    chain = replace(trail.chain, signer=SigningKey())
    trail.put(chain.write({}, hour_at(number), hour_at(number + 1)))


def _bad_signature(trail: Trail, number: int) -> None:
    trail.put(trail.digests[number], signature=trail.digests[number - 1].metadata["signature"])


def _no_signature(trail: Trail, number: int) -> None:
    trail.put(trail.digests[number], signature=None)


def _trailing_bytes(trail: Trail, number: int) -> None:
    file = trail.digests[number]
    trail.put(replace(file, body_gz=file.body_gz + gzip.compress(b'{"logFiles":[]}')))


def _invalid_json(trail: Trail, number: int) -> None:
    trail.put(replace(trail.digests[number], body_gz=gzip.compress(b"{")))


def _not_gzip(trail: Trail, number: int) -> None:
    trail.put(replace(trail.digests[number], body_gz=b"{}"))


def _missing_field(trail: Trail, number: int) -> None:
    file = trail.digests[number]
    trail.put(replace(file, body_gz=altered(file, digestS3Bucket=...)))


SPOILT: Mapping[str, tuple[Spoil, str]] = {
    "modified digest": (_modified, "bad_signature"),
    "moved digest": (_moved, "moved"),
    "different bucket": (_of_another_bucket, "moved"),
    "missing public key": (_missing_public_key, "no_public_key"),
    "bad signature": (_bad_signature, "bad_signature"),
    "missing signature": (_no_signature, "no_signature"),
    "trailing bytes": (_trailing_bytes, "trailing_bytes"),
    "invalid JSON": (_invalid_json, "not_json"),
    "not gzip": (_not_gzip, "not_gzip"),
    "missing field": (_missing_field, "bad_format"),
}


async def test_a_digest_that_is_not_as_cloudtrail_left_it_proves_nothing_and_its_neighbours_do(world: World) -> None:
    whole = 2 * len(SPOILT) + 1
    for number in range(whole):
        world.trail.hour(number, files=number % 2)
    for at, (spoil, _) in enumerate(SPOILT.values()):
        spoil(world.trail, 2 * at + 1)
    source = await world.forwarded()
    hours = await world.hours(source, 0, whole)
    assert states(hours[::2]) == [PROVED] * (len(SPOILT) + 1)
    found = {name: (each["state"], each["reason"]) for name, each in zip(SPOILT, hours[1::2], strict=True)}
    assert found == {name: ("bad_digest", reason) for name, (_, reason) in SPOILT.items()}
    assert [each["digest"] for each in hours] == [world.trail.digests[number].key for number in range(whole)]


async def test_a_gap_in_which_validation_was_off_is_told(world: World) -> None:
    world.trail.hour(0)
    world.trail.begin_anew()
    world.trail.hour(2)
    source = await world.forwarded()
    assert states(await world.hours(source)) == [PROVED, ("no_digest", "began"), PROVED]


async def test_a_bucket_without_digests_has_no_digest_for_any_hour(world: World) -> None:
    world.trail.aws.put(world.trail.bucket, world.trail.key(0), world.trail.body())
    source = await world.forwarded()
    (hour,) = await world.hours(source)
    assert (hour["state"], hour["region"], hour["trail"], hour["digest"]) == ("no_digest", REGION, "", None)
    assert (hour["from"], hour["to"]) == (times(0, 3)["from"], times(0, 3)["to"])


# ------------------------------------------------------------------------------------------------- where they are


async def test_digests_are_found_beside_the_logs_wherever_the_prefix_ends(world: World) -> None:
    world.trail.hour(0)
    inside = ("", f"AWSLogs/{ACCOUNT}", f"AWSLogs/{ACCOUNT}/CloudTrail/", f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/")
    for prefix in inside:
        source = await world.forwarded(s3Prefix=prefix)
        assert states(await world.hours(source, 0, 1)) == [PROVED], prefix


async def test_organizations_accounts_regions_and_trails_are_told_apart(world: World) -> None:
    bucket, signer = world.trail.bucket, world.account.signer
    world.account.keys.add("eu-west-1", signer, from_at=FIRST_AT, to_at=FIRST_AT + 48 * HOUR_S)
    member = partial(Trail, world.trail.aws, bucket, signer, organization="o-abcdef1234/", above="logs/")
    trails = [
        member(account="111111111111"),
        member(account="111111111111", region="eu-west-1"),
        member(account="222222222222"),
        member(account="222222222222", name="second"),
    ]
    for trail in trails[:3]:
        trail.hour(0, files=1)
    trails[3].digest(0, {})
    trails[3].digest(1, {})
    source = await world.forwarded()
    hours = await world.hours(source, 0, 2)
    found = [(each["account"], each["region"], each["trail"].partition("_")[0], each["state"]) for each in hours]
    assert found == [
        ("111111111111", "eu-west-1", "management-events", "proved"),
        ("111111111111", "eu-west-1", "management-events", "no_digest"),
        ("111111111111", "us-east-1", "management-events", "proved"),
        ("111111111111", "us-east-1", "management-events", "no_digest"),
        ("222222222222", "us-east-1", "management-events", "proved"),
        ("222222222222", "us-east-1", "management-events", "no_digest"),
        ("222222222222", "us-east-1", "second", "proved"),
        ("222222222222", "us-east-1", "second", "proved"),
    ]
    assert await world.joined(source, 0, 2, limit=3) == hours


async def test_what_lies_outside_the_prefix_is_not_this_sources_to_forward(world: World) -> None:
    elsewhere = world.trail.key(0).replace("/CloudTrail/", "/CloudTrail-Insight/").replace("_CloudTrail_", "_x_")
    world.trail.aws.put(world.trail.bucket, world.trail.key(0), body := world.trail.body())
    world.trail.digest(0, {world.trail.key(0): body, elsewhere: world.trail.body()})
    source = await world.forwarded(s3Prefix=f"AWSLogs/{ACCOUNT}/CloudTrail/")
    (hour,) = await world.hours(source, 0, 1)
    assert (hour["state"], hour["objects"], hour["proved"], hour["outside"]) == ("proved", 2, 1, 1)


# ---------------------------------------------------------------------------------------------------- asking for it


async def test_pages_join_to_the_whole_whatever_their_size(world: World) -> None:
    for number in range(14):
        if number != 7:
            world.trail.hour(number, files=number % 2)
    source = await world.forwarded()
    whole = await world.hours(source, 0, 14)
    assert len(whole) == 14
    for limit in (3, 9):
        assert await world.joined(source, 0, 14, limit=limit) == whole


async def test_public_keys_come_in_pages(world: World) -> None:
    for _ in range(2):
        world.account.keys.add(REGION, SigningKey(), from_at=FIRST_AT, to_at=FIRST_AT + HOUR_S)
    world.account.keys.page_keys_max = 1
    try:
        world.trail.hour(0)
        source = await world.forwarded()
        assert states(await world.hours(source, 0, 1)) == [PROVED]
    finally:
        world.account.keys.page_keys_max = 10


async def test_a_denied_call_is_told_with_its_permission(world: World) -> None:
    world.trail.hour(0)
    source = await world.forwarded()
    world.account.keys.denied = True
    try:
        reply = await world.product.api.call("GET", f"/sources/{source}/completeness?{urlencode(times(0, 1))}")
    finally:
        world.account.keys.denied = False
    assert reply.status == 409
    assert "cloudtrail:ListPublicKeys" in reply.json["detail"]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"from": "2025-06-15T00:00:00Z"}, ["to"]),
        ({"from": "yesterday", "to": "2025-06-15T00:00:00Z"}, ["from"]),
        ({"from": "2025-06-15T00:00:00Z", "to": "2025-06-15T00:00:00Z"}, ["to"]),
        ({"from": "2025-01-01T00:00:00Z", "to": "2025-06-15T00:00:00Z"}, ["to"]),
        ({**times(0, 1), "cursor": "AAAA"}, ["cursor"]),
        ({**times(0, 1), "cursor": cursor_of(("", 1e300, 0))}, ["cursor"]),
        ({**times(0, 1), "cursor": cursor_of(("", -1e300, 0))}, ["cursor"]),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    world: World, query: dict[str, str], fields: list[str]
) -> None:
    source = await world.add_source()
    reply = await world.product.api.call("GET", f"/sources/{source}/completeness?{urlencode(query)}")
    assert reply.status == 422
    assert [each["field"] for each in reply.json["errors"]] == fields


async def test_a_source_without_a_bucket_has_nothing_to_be_held_against(world: World) -> None:
    source = await world.add_source(s3Bucket=None)
    reply = await world.product.api.call("GET", f"/sources/{source}/completeness?{urlencode(times(0, 1))}")
    assert reply.status == 409


async def test_keeping_hashes_is_off_until_it_is_asked_for_and_null_turns_it_off(world: World) -> None:
    source = await world.add_source(verifyIntegrity=None)
    told = []
    for change in (True, None, True, False):
        told.append((await world.product.api.get(f"/sources/{source}"))["verifyIntegrity"])
        reply = await world.product.api.call("PATCH", f"/sources/{source}", {"verifyIntegrity": change})
        assert reply.status == 200
    assert [*told, reply.json["verifyIntegrity"]] == [False, True, False, True, False]
