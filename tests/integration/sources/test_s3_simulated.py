"""S3 polling over real HTTP against a simulated AWS that is not of our making."""

from collections.abc import AsyncIterator, Mapping

import pytest

from support.aws import CREDENTIALS, SimulatedAws, access, log_key
from trailhook.clock import SystemClock
from trailhook.errors import Invalid, Misconfigured, ObjectGone
from trailhook.model import FoundUnit, Unit, Watermark
from trailhook.net.guard import Guard
from trailhook.net.transport import HttpTransport
from trailhook.settings import Settings
from trailhook.sources.aws_identity import Identities
from trailhook.sources.base import Access
from trailhook.sources.s3 import S3Polling

AWKWARD = ["plain/", "a//b/", "with space/", "plus+and&=?#%41/", "jürgen/😀/", "dots/.././"]


@pytest.fixture
async def transport(aws: SimulatedAws) -> AsyncIterator[HttpTransport]:
    async with HttpTransport(Guard.for_aws(aws.settings), aws.settings) as opened:
        yield opened


@pytest.fixture
def way(transport: HttpTransport) -> S3Polling:
    return polling(transport, Settings())


def polling(transport: HttpTransport, settings: Settings) -> S3Polling:
    clock = SystemClock()
    return S3Polling(transport, Identities(transport, settings, clock), settings, clock)


async def units(way: S3Polling, asker: Access, marks: Mapping[tuple[str, str], Watermark]) -> list[FoundUnit]:
    return [unit async for page in way.poll(asker, marks) for unit in page.units]


def kept(found: FoundUnit) -> Unit:
    return Unit(id=1, source_id="s", **{name: getattr(found, name) for name in found.__struct_fields__})


async def test_every_awkward_key_is_listed_and_read_byte_for_byte(aws: SimulatedAws, way: S3Polling) -> None:
    bucket = aws.new_bucket()
    bodies = {log_key("20250615T1200", prefix=prefix): prefix.encode() for prefix in AWKWARD}
    for key, body in bodies.items():
        aws.put(bucket, key, body)
    asker = access(bucket, endpoint_url=aws.endpoint_url)
    found = await units(way, asker, {})
    assert {unit.name: await way.read(asker, kept(unit)) for unit in found} == bodies


async def test_a_listing_of_many_pages_is_complete(aws: SimulatedAws, way: S3Polling) -> None:
    bucket = aws.new_bucket()
    keys = [log_key("20250615T1200", number) for number in range(2_100)]
    aws.put_many(bucket, dict.fromkeys(keys, b""))
    asker = access(bucket, endpoint_url=aws.endpoint_url)
    assert [unit.name for unit in await units(way, asker, {})] == keys


async def test_a_version_is_the_etag_and_a_newer_one_is_not_read_in_its_place(
    aws: SimulatedAws, way: S3Polling
) -> None:
    bucket = aws.new_bucket()
    key = log_key("20250615T1200")
    etag = aws.put(bucket, key, b"first")
    asker = access(bucket, endpoint_url=aws.endpoint_url)
    (unit,) = await units(way, asker, {})
    assert unit.version == etag
    aws.put(bucket, key, b"second")
    with pytest.raises(ObjectGone) as raised:
        await way.read(asker, kept(unit))
    assert raised.value.reason == "replaced"


async def test_a_bucket_with_dots_and_one_that_does_not_exist(aws: SimulatedAws, way: S3Polling) -> None:
    aws.create_bucket("trail.with.dots")
    aws.put("trail.with.dots", log_key("20250615T1200"))
    assert len(await units(way, access("trail.with.dots", endpoint_url=aws.endpoint_url), {})) == 1
    with pytest.raises(Misconfigured, match="NoSuchBucket"):
        await units(way, access("no-such-bucket", endpoint_url=aws.endpoint_url), {})


async def test_an_object_over_the_limit_is_never_taken_into_memory(aws: SimulatedAws, transport: HttpTransport) -> None:
    bucket = aws.new_bucket()
    aws.put(bucket, log_key("20250615T1200"), b"x" * 101)
    asker = access(bucket, endpoint_url=aws.endpoint_url)
    small = polling(transport, Settings(object_bytes_max=100))
    (unit,) = await units(small, asker, {})
    with pytest.raises(Invalid) as raised:
        await small.read(asker, kept(unit))
    assert raised.value.reason == "too_large"


async def test_a_role_is_assumed_and_signs_the_listing(aws: SimulatedAws, way: S3Polling) -> None:
    bucket = aws.new_bucket()
    aws.put(bucket, log_key("20250615T1200"))
    credentials = CREDENTIALS.but(role_arn="arn:aws:iam::123456789012:role/reader", external_id="external")
    asker = access(bucket, endpoint_url=aws.endpoint_url, credentials=credentials)
    assert len(await units(way, asker, {})) == 1


async def test_an_endpoint_that_is_not_allowed_is_never_connected_to(aws: SimulatedAws) -> None:
    async with HttpTransport(Guard.for_aws(Settings()), Settings()) as guarded:
        asker = access(aws.new_bucket(), endpoint_url=aws.endpoint_url)
        with pytest.raises(Misconfigured) as raised:
            await units(polling(guarded, Settings()), asker, {})
        assert "TRAILHOOK_ALLOW_AWS_ENDPOINTS" in raised.value.remedy
