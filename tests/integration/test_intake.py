"""Intake over a real store, with a way in that fails as the test says."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random

import pytest

from support.clock import FakeClock
from support.samples import log_file, record
from support.stepping import StepQueue
from trailhook.errors import AccessDenied, CredentialsExpired, FetchState, TrailhookError
from trailhook.intake.intake import Intake
from trailhook.model import Credentials, FoundUnit, Source, Unit, Watermark
from trailhook.settings import Settings
from trailhook.sources.base import Access, Page
from trailhook.store.base import Limits, Store
from trailhook.store.sqlite import SqliteStore
from trailhook.telemetry import Metrics


class ScriptedWay:
    """Reads one record a unit, or raises what the test says."""

    def __init__(self) -> None:
        self.failing: dict[str, TrailhookError] = {}
        self.read_names: list[str] = []

    async def poll(self, access: Access, marks: Mapping[tuple[str, str], Watermark]) -> AsyncIterator[Page]:
        yield Page()

    async def read(self, access: Access, unit: Unit) -> bytes:
        self.read_names.append(unit.name)
        if error := self.failing.get(unit.name) or self.failing.get("*"):
            raise error
        return log_file([record(int(unit.name))])


class Bench:
    """One source with units to read."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.way = ScriptedWay()
        self.intake = Intake(
            store=store,
            queue=StepQueue(),
            ways={"s3": self.way},
            access=lambda source: Access(source=source, credentials=Credentials()),
            tell=self._tell,
            settings=Settings(),
            clock=clock,
            metrics=Metrics(),
            rng=Random(1),
        )
        self.told = 0

    async def _tell(self, _: str) -> None:
        self.told += 1

    async def add(self, number: int) -> None:
        await self.store.add_units("s1", [FoundUnit(intake="s3", place="b", name=str(name)) for name in range(number)])

    async def state(self) -> str:
        return (await self.store.source("s1")).reading.state


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
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
        yield Bench(store, clock)


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
