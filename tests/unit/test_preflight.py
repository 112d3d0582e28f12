"""Trying a source out as a whole: every way in and the callback, at the same time and within bounds."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.aws import CREDENTIALS, access
from support.clock import FakeClock
from trailhook import body
from trailhook.delivery.outcome import Outcome, Verdict
from trailhook.errors import CredentialsInvalid, KeyUnavailable, TrailhookError
from trailhook.model import BatchKind, NewBatch, Source
from trailhook.preflight import Preflight, Report
from trailhook.sources.base import Access, Check

IDENTITY = Check(name="identity", ok=True, detail="There are keys to sign with.")
GET = Check(name="get", ok=True, detail="Read a log.")


class Bench:
    """A source with two ways in that say what the test says."""

    def __init__(self) -> None:
        self.checks: dict[str, list[Check]] = {"s3": [IDENTITY, GET], "sqs": [IDENTITY]}
        self.hanging = ""
        self.sealed_with_another_key = False
        self.verdict = Verdict(outcome=Outcome.DELIVERED, status=200)
        self.failing: TrailhookError | None = None
        self.sent: list[NewBatch] = []

    async def run(self) -> Report:
        ways: Any = {name: Way(self, name) for name in self.checks}
        preflight = Preflight(ways=ways, access=self._access, ping=self._ping, within_s=0.05, clock=FakeClock())
        return await preflight.run(access("logs", intakes=("s3", "sqs")).source)

    def _access(self, source: Source) -> Access:
        if self.sealed_with_another_key:
            raise CredentialsInvalid("cannot be opened", "bring back the key")
        return Access(source=source, credentials=CREDENTIALS)

    async def _ping(self, _: Source, notice: NewBatch) -> Verdict:
        self.sent.append(notice)
        if self.failing is not None:
            raise self.failing
        return self.verdict


class Way:
    def __init__(self, bench: Bench, name: str) -> None:
        self.bench = bench
        self.name = name

    async def check(self, _: Access) -> AsyncIterator[Check]:
        for each in self.bench.checks[self.name]:
            yield each
        if self.bench.hanging == self.name:
            await asyncio.Event().wait()


def names(report: Report) -> list[tuple[str, bool]]:
    return [(each.name, each.ok) for each in report.checks]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_every_way_in_and_the_callback_are_tried_and_a_shared_identity_is_told_of_once(bench: Bench) -> None:
    report = await bench.run()
    assert names(report) == [("identity", True), ("get", True), ("callback", True)]
    assert report.ok


async def test_one_failure_fails_the_whole(bench: Bench) -> None:
    bench.checks["sqs"] = [IDENTITY, Check(name="queue", ok=False, detail="There is no such queue.")]
    assert not (await bench.run()).ok


async def test_a_way_in_that_hangs_fails_in_time_and_keeps_what_it_has_shown(bench: Bench) -> None:
    bench.hanging = "s3"
    assert names(await bench.run()) == [("identity", True), ("get", True), ("s3", False), ("callback", True)]


async def test_credentials_that_cannot_be_opened_are_told_and_the_callback_is_still_tried(bench: Bench) -> None:
    bench.sealed_with_another_key = True
    report = await bench.run()
    assert names(report) == [("identity", False), ("callback", True)]
    assert report.checks[0].remedy == "bring back the key"


async def test_a_signing_secret_that_cannot_be_opened_is_told(bench: Bench) -> None:
    bench.failing = KeyUnavailable("sealed with another key")
    assert names(await bench.run())[-1] == ("callback", False)


async def test_what_the_receiver_said_is_told_with_its_remedy(bench: Bench) -> None:
    bench.verdict = Verdict(outcome=Outcome.CONFIGURATION, status=404, error="It answered 404.", remedy="Correct it.")
    callback = (await bench.run()).checks[-1]
    assert (callback.ok, callback.detail, callback.remedy) == (False, "It answered 404.", "Correct it.")


async def test_what_is_sent_is_a_notice_of_its_own_kind(bench: Bench) -> None:
    await bench.run()
    (notice,) = bench.sent
    assert (notice.kind, notice.type) == (BatchKind.NOTICE, "source.test")
    assert b'"sourceName":"test"' in body.inflated(notice)
