"""What every way in promises (`sources.base.WayIn`), proved for each of them over a simulated AWS.

A way in joins by a `Bench`: something that makes units appear at AWS, and the way in that should find them.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

import pytest

from support.aws import SimulatedAws, access, log_key, s3_message
from support.clock import FakeClock
from support.lookup import Direct, DocumentsInMemory, record, sts
from trailhook.clock import SystemClock
from trailhook.demo.lookup_events import INVALID, LookupEvents
from trailhook.errors import NeedsAttention, ObjectGone, Transient
from trailhook.model import FoundUnit, Unit, Watermark
from trailhook.net.guard import Guard
from trailhook.net.transport import HttpTransport
from trailhook.settings import Settings
from trailhook.sources.aws_identity import Identities
from trailhook.sources.base import Access, WayIn
from trailhook.sources.lookup import LookupEvents as LookupWay
from trailhook.sources.s3 import S3Polling
from trailhook.sources.sqs import SqsNotifications


@dataclass(kw_only=True)
class Bench:
    """One way in with an account of its own. `write` makes a unit of these bytes, `ago` old, and names it."""

    way: WayIn
    access: Access
    broken: Access
    """An access that AWS refuses or cannot serve."""
    write: Callable[[timedelta, bytes], str]
    delete: Callable[[str], None]
    again: Callable[[], None] = lambda: None
    """Makes AWS tell again of what it told once, where it does not offer that by itself."""
    marks: dict[tuple[str, str], Watermark] = field(default_factory=dict)

    async def poll(self) -> list[FoundUnit]:
        """Poll to the end, keeping the marks as `jobs.poll` does."""
        found: list[FoundUnit] = []
        async for page in self.way.poll(self.access, dict(self.marks)):
            found.extend(page.units)
            self.marks.update({(mark.place, mark.prefix): mark for mark in page.marks})
        return found

    async def names(self) -> set[str]:
        return {each.name for each in await self.poll()}


@asynccontextmanager
async def s3_bench(aws: SimulatedAws) -> AsyncIterator[Bench]:
    bucket, clock, settings = aws.new_bucket(), SystemClock(), Settings()

    def write(ago: timedelta, body: bytes) -> str:
        written = len(aws.s3.list_objects_v2(Bucket=bucket).get("Contents", ()))
        key = log_key((datetime.now(UTC) - ago).strftime("%Y%m%dT%H%M"), written)
        aws.put(bucket, key, body)
        return key

    async with HttpTransport(Guard.for_aws(aws.settings), aws.settings) as transport:
        yield Bench(
            way=S3Polling(transport, Identities(transport, settings, clock), settings, clock),
            access=access(bucket, endpoint_url=aws.endpoint_url),
            broken=access("no-such-bucket", endpoint_url=aws.endpoint_url),
            write=write,
            delete=lambda key: aws.delete(bucket, key),
        )


@asynccontextmanager
async def sqs_bench(aws: SimulatedAws) -> AsyncIterator[Bench]:
    bucket, queue, clock, settings = aws.new_bucket(), aws.new_queue(), SystemClock(), Settings(sqs_wait_s=0)
    messages: list[str] = []

    def write(ago: timedelta, body: bytes) -> str:
        key = log_key((datetime.now(UTC) - ago).strftime("%Y%m%dT%H%M"), len(messages))
        event = json.loads(s3_message(bucket, (key, aws.put(bucket, key, body))))
        event["Records"][0]["s3"]["object"]["size"] = len(body)
        messages.append(json.dumps(event))
        aws.send(queue, messages[-1])
        return key

    told_by = access(bucket, endpoint_url=aws.endpoint_url, intakes=("sqs",), sqs_queue_url=queue)
    async with HttpTransport(Guard.for_aws(aws.settings), aws.settings) as transport:
        yield Bench(
            way=SqsNotifications(transport, Identities(transport, settings, clock), settings, clock),
            access=told_by,
            broken=told_by.but(source=told_by.source.but(sqs_queue_url=f"{queue}-that-is-not")),
            write=write,
            delete=lambda key: aws.delete(bucket, key),
            again=lambda: aws.send(queue, *messages),
        )


@asynccontextmanager
async def lookup_bench(_: SimulatedAws) -> AsyncIterator[Bench]:
    """Its units are windows of time: what is written is a record in one of them."""
    clock, settings = FakeClock(int(time.time())), Settings()
    history = LookupEvents(app=sts(), now=clock.now, refused_keys={"AKIA0000000000000000": INVALID})
    transport = Direct(history)
    written = count()

    def write(ago: timedelta, _body: bytes) -> str:
        history.add(record(next(written), clock.now() - ago.total_seconds()))
        return ""

    told_by = access("", intakes=("lookup",), start_from_at=clock.now() - 7_200)
    nobody = told_by.credentials.but(access_key_id="AKIA0000000000000000")
    identities = Identities(transport, settings, clock)
    yield Bench(
        way=LookupWay(transport, identities, settings, clock, documents=DocumentsInMemory(), rng=Random(1)),
        access=told_by,
        broken=told_by.but(credentials=nobody),
        write=write,
        delete=lambda _: None,
    )


OBJECTS: Mapping[str, Callable[[SimulatedAws], AbstractAsyncContextManager[Bench]]] = {"s3": s3_bench, "sqs": sqs_bench}
"""Ways in whose units are objects, each with the bytes that were written."""
BENCHES = {**OBJECTS, "lookup": lookup_bench}


@pytest.fixture(params=OBJECTS)
async def bench(request: pytest.FixtureRequest, aws: SimulatedAws) -> AsyncIterator[Bench]:
    async with OBJECTS[request.param](aws) as opened:
        yield opened


@pytest.fixture(params=BENCHES)
async def any_bench(request: pytest.FixtureRequest, aws: SimulatedAws) -> AsyncIterator[Bench]:
    async with BENCHES[request.param](aws) as opened:
        yield opened


def kept(found: FoundUnit) -> Unit:
    """The unit as a store hands it out again."""
    return Unit(id=1, source_id="s", **{name: getattr(found, name) for name in found.__struct_fields__})


async def test_nothing_there_is_nothing_found_and_no_error(bench: Bench) -> None:
    assert await bench.poll() == []


async def test_every_unit_is_found_with_its_bytes(bench: Bench) -> None:
    bodies = {bench.write(timedelta(minutes=minutes), bytes([minutes])): bytes([minutes]) for minutes in (5, 15, 60)}
    found = await bench.poll()
    assert {each.name: await bench.way.read(bench.access, kept(each)) for each in found} == bodies


async def test_a_unit_is_itself_however_often_it_is_found(any_bench: Bench) -> None:
    any_bench.write(timedelta(minutes=5), b"body")
    any_bench.marks = {}
    first = await any_bench.poll()
    any_bench.marks = {}
    any_bench.again()
    again = await any_bench.poll()
    assert [(each.intake, each.place, each.name, each.version) for each in first] == [
        (each.intake, each.place, each.name, each.version) for each in again
    ]


async def test_a_unit_that_appears_behind_the_newest_is_found(bench: Bench) -> None:
    bench.write(timedelta(minutes=5), b"newest")
    await bench.poll()
    late = bench.write(timedelta(hours=12), b"late")
    assert late in await bench.names()


async def test_units_are_found_by_a_way_in_that_starts_again_from_its_marks(bench: Bench) -> None:
    bench.write(timedelta(minutes=10), b"before")
    await bench.poll()
    new = bench.write(timedelta(minutes=1), b"after")
    assert new in await bench.names()


async def test_marks_hold_for_what_was_yielded_before_them(bench: Bench) -> None:
    name = bench.write(timedelta(minutes=5), b"body")
    seen: set[str] = set()
    async for page in bench.way.poll(bench.access, {}):
        seen.update(each.name for each in page.units)
        if any(mark.mark_at > datetime.now(UTC).timestamp() - 3_600 for mark in page.marks):
            assert name in seen
    assert name in seen


async def test_a_unit_has_its_place_in_time_and_its_size(bench: Bench) -> None:
    bench.write(timedelta(minutes=90), b"12345")
    (unit,) = await bench.poll()
    age_s = datetime.now(UTC).timestamp() - unit.labelled_at
    assert 89 * 60 < age_s < 92 * 60
    assert unit.size_bytes == 5


async def test_a_unit_that_is_gone_says_so_for_good(bench: Bench) -> None:
    name = bench.write(timedelta(minutes=5), b"body")
    (unit,) = await bench.poll()
    bench.delete(name)
    with pytest.raises(ObjectGone):
        await bench.way.read(bench.access, kept(unit))


async def test_what_cannot_be_polled_raises_rather_than_finding_nothing(any_bench: Bench) -> None:
    async def poll_broken() -> None:
        async for _ in any_bench.way.poll(any_bench.broken, {}):
            pass

    with pytest.raises((NeedsAttention, Transient)):
        await poll_broken()
