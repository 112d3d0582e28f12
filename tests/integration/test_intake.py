"""Intake over a real store, with a way in that fails as the test says, reading in threads and in other processes."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from random import Random

import msgspec
import pytest

from support.clock import FakeClock
from support.samples import log_file, record
from support.stepping import StepQueue
from trailhook.body import LaidOut, inflated
from trailhook.clock import SystemClock
from trailhook.cloudtrail.columns import unpack
from trailhook.errors import (
    AccessDenied,
    CredentialsExpired,
    CredentialsInvalid,
    FetchState,
    Misconfigured,
    Throttled,
    TrailhookError,
    Transient,
    Unexplained,
)
from trailhook.intake.intake import Intake
from trailhook.intake.readers import InThreads, Reader
from trailhook.intake.reading import Bounds
from trailhook.intake.reading_processes import InProcesses
from trailhook.model import Credentials, FoundUnit, Job, Source, Unit, Watermark
from trailhook.settings import Settings
from trailhook.sources.base import Access, Check, Page
from trailhook.store.base import Limits, Store
from trailhook.store.sqlite import SqliteStore
from trailhook.telemetry import Metrics


class ScriptedWay:
    """Reads one record a unit, or raises what the test says."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.failing: dict[str, TrailhookError] = {}
        self.read_names: list[str] = []
        self.read_takes_s = 0.0

    async def poll(self, access: Access, marks: Mapping[tuple[str, str], Watermark]) -> AsyncIterator[Page]:
        yield Page()

    async def check(self, access: Access) -> AsyncIterator[Check]:
        yield Check(name="get", ok=True, detail="")

    async def read(self, access: Access, unit: Unit) -> bytes:
        self.read_names.append(unit.name)
        if self.read_takes_s:
            await self.clock.sleep(self.read_takes_s)
        if error := self.failing.get(unit.name) or self.failing.get("*"):
            raise error
        return log_file([record(int(number)) for number in unit.name.split("+")])


class Bench:
    """One source with units to read."""

    def __init__(self, store: Store, clock: FakeClock, reader: Reader) -> None:
        self.store = store
        self.clock = clock
        self.way = ScriptedWay(clock)
        self.queue = StepQueue()
        self.sealed_with_another_key = False
        self.intake = Intake(
            store=store,
            queue=self.queue,
            ways={"s3": self.way},
            access=self._access,
            tell=self._tell,
            settings=Settings(),
            clock=clock,
            metrics=Metrics(),
            rng=Random(1),
            reader=reader,
        )
        self.told = 0

    def _access(self, source: Source) -> Access:
        if self.sealed_with_another_key:
            raise CredentialsInvalid("cannot be opened", "bring back the key")
        return Access(source=source, credentials=Credentials())

    async def _tell(self, _: str) -> None:
        self.told += 1

    async def add(self, number: int) -> None:
        await self.store.add_units("s1", [FoundUnit(intake="s3", place="b", name=str(name)) for name in range(number)])

    async def come(self, *names: str) -> tuple[int, int]:
        """Files of records by their numbers (`1+2`), read. How many were new, and how many known, with all before."""
        await self.store.add_units("s1", [FoundUnit(intake="s3", place="b", name=name) for name in names])
        await self.intake.run("s1")
        counts = (await self.store.totals("s1")).counts
        assert counts.read == counts.waiting + counts.duplicate
        return counts.waiting, counts.duplicate

    async def state(self) -> str:
        return (await self.store.source("s1")).reading.state


@pytest.fixture(scope="module")
def processes() -> Iterator[InProcesses]:
    """One process that reads, started by the first test that needs it."""
    reader = InProcesses(Settings(workers=2), LaidOut(0), SystemClock())
    yield reader
    asyncio.run(reader.end())


@pytest.fixture(params=["threads", "processes"])
def reader(request: pytest.FixtureRequest) -> Reader:
    """Who reads."""
    if request.param == "threads":
        return InThreads(Bounds.of(Settings()))
    processes: InProcesses = request.getfixturevalue("processes")
    return processes


@pytest.fixture
async def bench(tmp_path: Path, reader: Reader) -> AsyncIterator[Bench]:
    clock = FakeClock()
    async with SqliteStore.open(tmp_path / "store", clock=clock, limits=Limits()) as store:
        await store.add_source(
            Source(
                id="s1",
                name="s1",
                created_at=0.0,
                intakes=("s3",),
                region="us-east-1",
                callback_url="https://example.com",
                lane="lane",
            )
        )
        yield Bench(store, clock, reader)


async def test_a_source_with_expired_credentials_asks_for_one_object_a_run_and_goes_on_by_itself(
    bench: Bench,
) -> None:
    await bench.add(50)
    bench.way.failing["*"] = CredentialsExpired("expired", "renew them")
    await bench.intake.run("s1")
    assert await bench.state() == FetchState.CREDENTIALS_EXPIRED
    assert bench.told == 1
    bench.way.read_names.clear()
    bench.clock.advance(60)
    await bench.intake.run("s1")
    assert len(bench.way.read_names) == 1
    del bench.way.failing["*"]
    bench.clock.advance(60)
    await bench.intake.run("s1")
    assert await bench.state() == FetchState.ACTIVE
    assert (await bench.store.totals("s1")).counts.waiting == 50


async def test_denied_on_one_object_is_that_objects_affair(bench: Bench) -> None:
    await bench.add(5)
    bench.way.failing["3"] = AccessDenied("no", "allow s3:GetObject", action="s3:GetObject")
    await bench.intake.run("s1")
    totals = await bench.store.totals("s1")
    assert (totals.counts.waiting, totals.units["waiting"]) == (4, 1)
    assert (await bench.state(), bench.told) == (FetchState.ACTIVE, 0)


async def test_denied_on_all_objects_is_the_sources_affair(bench: Bench) -> None:
    await bench.add(5)
    bench.way.failing["*"] = AccessDenied("no", "allow s3:GetObject", action="s3:GetObject")
    await bench.intake.run("s1")
    assert (await bench.state(), bench.told) == (FetchState.ACCESS_DENIED, 1)


async def test_denied_objects_do_not_keep_those_behind_them_from_being_read(bench: Bench) -> None:
    await bench.add(500)
    for name in sorted(map(str, range(500)))[:450]:
        bench.way.failing[name] = AccessDenied("no", "allow kms:Decrypt", action="kms:Decrypt")
    await bench.intake.run("s1")
    assert (await bench.store.totals("s1")).counts.waiting == 50
    assert await bench.state() == FetchState.ACTIVE


async def test_a_bucket_that_is_gone_is_the_affair_of_its_own_objects(bench: Bench) -> None:
    await bench.add(5)
    bench.way.failing["3"] = Misconfigured("no such bucket", "correct s3Bucket")
    await bench.intake.run("s1")
    assert (await bench.state(), bench.told) == (FetchState.ACTIVE, 0)
    tries = []
    for _ in range(20):
        bench.way.read_names.clear()
        bench.clock.advance(60)
        await bench.intake.run("s1")
        tries += bench.way.read_names
    assert 1 < len(tries) <= 12, "as seldom as its source is looked at, once nothing else is left to read"


async def test_an_object_that_is_always_refused_ends_in_quarantine(bench: Bench) -> None:
    await bench.add(2)
    bench.way.failing["1"] = Unexplained("GetObject: AWS answered 400.")
    for _ in range(40):
        await bench.intake.run("s1")
        bench.clock.advance(900)
    (entry,) = await bench.store.quarantine("s1")
    assert (entry.name, entry.reason, entry.kind) == ("1", "refused", "unit")
    assert bench.way.read_names.count("1") == Settings().unit_refusals_max
    del bench.way.failing["1"]
    await bench.store.requeue_unit(entry.id)
    await bench.intake.run("s1")
    assert (await bench.store.totals("s1")).counts.waiting == 2


async def test_an_outage_of_s3_puts_nothing_in_quarantine_however_long(bench: Bench) -> None:
    await bench.add(1)
    bench.way.failing["*"] = Transient("503")
    for _ in range(200):
        await bench.intake.run("s1")
        bench.clock.advance(900)
    assert await bench.store.quarantine("s1") == []
    bench.way.failing.clear()
    await bench.intake.run("s1")
    assert (await bench.store.totals("s1")).counts.waiting == 1


@pytest.mark.parametrize("asked_s", [3_600.0, 1e12])
async def test_no_object_is_put_off_for_longer_than_the_longest_backoff(bench: Bench, asked_s: float) -> None:
    await bench.add(1)
    bench.way.failing["*"] = Throttled("slow down", retry_after_s=asked_s)
    await bench.intake.run("s1")
    assert len(bench.way.read_names) == 1
    bench.clock.advance(901)
    await bench.intake.run("s1")
    assert len(bench.way.read_names) == 2


async def test_a_source_with_much_to_read_lets_others_have_their_turn(bench: Bench) -> None:
    await bench.add(1_000)
    bench.way.read_takes_s = 1.0
    await bench.intake.run("s1")
    read = (await bench.store.totals("s1")).counts.read
    assert 0 < read < 1_000
    assert Job(kind="intake", source_id="s1") in bench.queue.hinted


async def test_credentials_that_cannot_be_opened_are_said_to_be_so(bench: Bench) -> None:
    await bench.add(1)
    bench.sealed_with_another_key = True
    await bench.intake.run("s1")
    assert (await bench.state(), bench.told) == (FetchState.CREDENTIALS_INVALID, 1)


async def test_what_comes_again_is_known_whatever_came_before_it(bench: Bench) -> None:
    assert await bench.come("1+2+3", "4") == (4, 0)
    assert await bench.come("2+5") == (5, 1)  # frozen as if nothing were known, and then again
    assert await bench.come("5+4+3+2+1") == (5, 6)  # asked first
    assert await bench.come("1+1+2+6+3", "4+6") == (6, 12)  # keys first, for most was known
    assert await bench.come("7+8+7+9") == (9, 13)
    assert await bench.come("9+10") == (10, 14)
    batches = await bench.store.lease_batches("s1", limit=99, lease_s=60.0)
    sent = [each["eventID"] for batch in batches for each in msgspec.json.decode(inflated(batch))["data"]["events"]]
    assert sent == [record(number)["eventID"] for number in range(1, 11)]
    columns = [unpack(batch.columns) for batch in batches]
    assert {text for each in columns for text in each.texts["name"].values} == {"DescribeInstances"}
