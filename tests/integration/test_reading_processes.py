"""Reading in other processes: the same batches as without them, and no harm when they die."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec
import pytest

from support.clock import FakeClock
from support.samples import log_file, record
from support.stepping import StepQueue
from trailhook import body
from trailhook.body import LaidOut
from trailhook.clock import SystemClock
from trailhook.errors import Invalid, ReaderLost
from trailhook.intake.harvest import Terms
from trailhook.intake.intake import Intake
from trailhook.intake.readers import Group, InThreads, Reader
from trailhook.intake.reading import Bounds, Fetched
from trailhook.intake.reading_processes import InProcesses
from trailhook.model import Batch, Credentials, DeliveryOptions, Filter, FoundUnit, NewBatch, Source, Unit, Watermark
from trailhook.settings import Settings
from trailhook.sources.base import Access, Check, Page
from trailhook.store.base import Limits, Store
from trailhook.store.sqlite import SqliteStore
from trailhook.telemetry import Metrics

SETTINGS = Settings(workers=2, group_units_max=4, small_unit_bytes_max=64 * 1024, slice_records_max=50)
FILTER = Filter(exclude={"eventName": ("Put*",)}, redact=("sourceIPAddress",))


class Shelf:
    """A way in whose files are at hand."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    async def poll(self, access: Access, marks: Mapping[tuple[str, str], Watermark]) -> AsyncIterator[Page]:
        yield Page()

    async def check(self, access: Access) -> AsyncIterator[Check]:
        yield Check(name="get", ok=True, detail="")

    async def read(self, access: Access, unit: Unit) -> bytes:
        if unit.name == "gone":
            raise Invalid("gone", "it is no longer there")
        return self._files[unit.name]


class Rig:
    """One source over a shelf."""

    def __init__(self, store: Store, clock: FakeClock, reader: Reader, files: Mapping[str, bytes]) -> None:
        self.store = store
        self.clock = clock
        self.intake = Intake(
            store=store,
            queue=StepQueue(),
            ways={"s3": Shelf(files)},
            access=lambda source: Access(source=source, credentials=Credentials()),
            tell=lambda _: asyncio.sleep(0),
            settings=SETTINGS,
            clock=clock,
            metrics=Metrics(),
            rng=Random(1),
            reader=reader,
        )

    async def batches(self) -> Sequence[Batch]:
        """In the order frozen."""
        return await self.store.lease_batches("s1", limit=10_000, lease_s=60)


@asynccontextmanager
async def rig(path: Path, reader: Reader, files: Mapping[str, bytes]) -> AsyncIterator[Rig]:
    clock = FakeClock()
    async with SqliteStore.open(path, clock=clock, limits=Limits()) as store:
        source = Source(
            id="s1",
            name="s1",
            created_at=0.0,
            intakes=("s3",),
            region="us-east-1",
            callback_url="https://example.com",
            lane="lane",
            filter=FILTER,
            verify_integrity=True,
            delivery=DeliveryOptions(max_events=7),
        )
        await store.add_source(source)
        await store.add_units("s1", [FoundUnit(intake="s3", place="b", name=name) for name in files])
        yield Rig(store, clock, reader, files)


@pytest.fixture
async def processes() -> AsyncIterator[InProcesses]:
    async with InProcesses(SETTINGS, LaidOut(10**6), SystemClock()) as reader:
        yield reader


def small_files(count: int = 12) -> dict[str, bytes]:
    """Each shares two of its five records with the next."""
    return {f"{number:03}": log_file([record(3 * number + each) for each in range(5)]) for number in range(count)}


def event_ids(batches: Sequence[NewBatch]) -> list[str]:
    bodies = [msgspec.json.decode(body.inflated(batch)) for batch in batches]
    return [event["eventID"] for each in bodies for event in each["data"]["events"]]


def all_ids(count: int = 12) -> list[str]:
    return [record(number)["eventID"] for number in range(3 * (count - 1) + 5)]


async def test_batches_are_the_same_to_the_byte_whoever_reads(tmp_path: Path, processes: InProcesses) -> None:
    odd = [record(900, eventName="PutObject"), record(901)]
    files = small_files(20) | {
        "gone": b"",
        "050-torn": log_file(odd)[:-9],
        "051-bad-record": b'{"Records":[%b,{"eventID":nonsense}]}' % msgspec.json.encode(record(902)),
        "052-large": log_file([record(number) for number in range(10, 400)]),
        "053-filtered": log_file(odd),
    }
    threads = InThreads(Bounds.of(SETTINGS))
    (by_threads, told), (by_processes, told_too) = [
        await outcome(tmp_path / name, reader, files) for name, reader in (("t", threads), ("p", processes))
    ]
    assert by_threads == by_processes
    assert told == told_too
    assert len(by_threads) > 50
    assert len(processes.pids) == 2


async def outcome(path: Path, reader: Reader, files: Mapping[str, bytes]) -> tuple[list[Batch], list[object]]:
    """The batches, but for what is random, and all else that can be told."""
    async with rig(path, reader, files) as made:
        await made.intake.run("s1")
        units = await made.store.units_named("s1", "b", list(files))
        quarantine = [each.but(id="") for each in await made.store.quarantine("s1")]
        batches = [batch.but(id="", token=0) for batch in await made.batches()]
        return batches, [await made.store.totals("s1"), sorted(quarantine, key=str), sorted(units, key=str)]


STEPS = ("before reading", "while reading", "after reading", "after freezing")


class Deadly:
    """Kills the processes of the reader that it wraps, once, at a step."""

    def __init__(self, reader: InProcesses, step: str) -> None:
        self.groups = reader.groups
        self._reader = reader
        self._step: str | None = step

    @asynccontextmanager
    async def read(self, terms: Terms, fetched: Sequence[Fetched]) -> AsyncIterator[Group]:
        self.come("before reading")
        if self._step == "while reading" and self._reader.pids:
            self.signal(signal.SIGSTOP)  # so that they are asked and do not answer
            asyncio.get_running_loop().call_later(0.1, self.come, "while reading")
        async with self._reader.read(terms, fetched) as group:
            self.come("after reading")
            yield _Frozen(group, lambda: self.come("after freezing"))

    def come(self, step: str) -> None:
        if step == self._step and self._reader.pids:
            self._step = None
            self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        for pid in self._reader.pids:
            os.kill(pid, number)


class _Frozen:
    """A group, with something done once it has been frozen."""

    def __init__(self, group: Group, then: Callable[[], None]) -> None:
        self.found = group.found
        self._group = group
        self._then = then

    async def freeze(self, known: Collection[bytes]) -> Sequence[NewBatch]:
        batches = await self._group.freeze(known)
        self._then()
        return batches


@pytest.mark.parametrize("step", STEPS)
async def test_readers_that_die_at_any_step_cost_nothing(step: str, tmp_path: Path, processes: InProcesses) -> None:
    async with processes.read(Terms.of(a_source()), []):
        before = processes.pids
    async with rig(tmp_path / "store", Deadly(processes, step), small_files()) as made:
        await made.intake.run("s1")
        assert sorted(event_ids(await made.batches())) == all_ids()
        totals = await made.store.totals("s1")
    assert totals.units == {"done": 12}
    assert processes.pids
    assert set(processes.pids).isdisjoint(before)


async def test_a_reader_that_does_not_answer_is_killed_before_its_lease_ends() -> None:
    files = [Fetched(unit_id=1, name="one", data=small_files(1)["000"])]
    async with InProcesses(replace(SETTINGS, unit_lease_s=4.0), LaidOut(0), SystemClock()) as reader:
        async with reader.read(Terms.of(a_source()), files):
            pass
        (pid,) = reader.pids
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ReaderLost, match="did not answer for 4 s"):
            await reader.read(Terms.of(a_source()), files).__aenter__()
        async with reader.read(Terms.of(a_source()), files) as group:
            assert len(group.found.keys) == 5
        assert pid not in reader.pids


def a_source() -> Source:
    return Source(
        id="s0", name="s0", created_at=0.0, intakes=("s3",), region="us-east-1", callback_url="https://x", lane="l"
    )


class Poisoned:
    """Reads in threads, but for one unit that no reader survives."""

    groups = 3

    def __init__(self, name: str) -> None:
        self._name = name
        self._reader = InThreads(Bounds.of(SETTINGS))

    @asynccontextmanager
    async def read(self, terms: Terms, fetched: Sequence[Fetched]) -> AsyncIterator[Group]:
        if self._name in [each.name for each in fetched]:
            raise ReaderLost("the process that read it ended with status -9")
        async with self._reader.read(terms, fetched) as group:
            yield group


async def test_a_unit_that_no_reader_survives_costs_its_neighbours_nothing_and_ends_in_quarantine(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path / "store", Poisoned("005"), small_files()) as made:
        await made.intake.run("s1")
        totals = await made.store.totals("s1")
        assert (totals.units["done"], totals.units["waiting"]) == (11, 1)
        for _ in range(SETTINGS.unit_refusals_max):
            made.clock.advance(SETTINGS.backoff_s_max)
            await made.intake.run("s1")
        (entry,) = await made.store.quarantine("s1")
    assert (entry.name, entry.reason) == ("005", "reader_lost")
