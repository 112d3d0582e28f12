"""Each way in over the same account, alone and all at once on one source: every event once, byte for byte."""

import gzip
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from support.aws import log_key, s3_message
from support.clock import START_AT
from support.history import POLL_S, World, opened
from support.lookup import record

EVENTS = 180
FILE_EVENTS = 12
LASTS_S = 600
"""How long things happen; the last look of LookupEvents is 35 minutes after that."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path, sqs_wait_s=0) as world:
        yield world


@dataclass
class Account:
    """Events in an account's history, and in files that come late, out of order, and some of them twice."""

    world: World
    bucket: str
    queue: str
    made: set[bytes] = field(default_factory=set)
    _files: list[tuple[float, tuple[bytes, ...]]] = field(default_factory=list)
    _written: int = 0
    _chance: Random = field(default_factory=lambda: Random(11))

    def happen(self) -> None:
        """Let everything happen: events are in the history and in files some minutes after."""
        chance = self._chance
        times = sorted(START_AT + chance.uniform(-900, LASTS_S) for _ in range(EVENTS))
        records = [record(number, at) for number, at in enumerate(times)]
        for raw, at in zip(records, times, strict=True):
            self.world.history.add(raw, appears_at=at + min(1_800.0, chance.expovariate(1 / 300)))
        for start in range(0, EVENTS, FILE_EVENTS):
            group = tuple(records[start : start + FILE_EVENTS])
            comes_at = times[start + len(group) - 1] + chance.uniform(120, 900)
            self._files.append((comes_at, group))
            if chance.random() < 0.3:
                again = tuple(chance.sample(group, len(group) // 2))
                self._files.append((comes_at + chance.uniform(0, 600), again))
        self.made = set(records)

    def deliver(self) -> None:
        """Write the files whose time has come, and announce each, some twice."""
        now = self.world.clock.now()
        due = [each for each in self._files if each[0] <= now]
        self._files = [each for each in self._files if each[0] > now]
        for _, group in due:
            self._written += 1
            key = log_key("20250615T1500", self._written)
            etag = self.world.aws.put(self.bucket, key, gzip.compress(b'{"Records":[%b]}' % b",".join(group)))
            for _ in range(2 if self._chance.random() < 0.3 else 1):
                self.world.aws.send(self.queue, s3_message(self.bucket, (key, etag)))


@pytest.mark.parametrize("intake", [["s3"], ["sqs"], ["lookup"], ["s3", "sqs", "lookup"]], ids="+".join)
async def test_every_event_of_an_account_arrives_once_by_whichever_ways(intake: list[str], world: World) -> None:
    account = Account(world, world.aws.new_bucket(), world.aws.new_queue())
    account.happen()
    source = await world.add_source(intake=intake, s3Bucket=account.bucket, sqsQueueUrl=account.queue)
    for _ in range((LASTS_S + 3_000) // POLL_S):
        account.deliver()
        await world.run(source, for_s=POLL_S)
    assert world.received() == {source: Counter(account.made)}
    status = await world.product.status(source)
    assert (status["status"], status["units"]["waiting"], status["units"]["quarantined"]) == ("active", 0, 0)
    assert status["counts"]["duplicate"] > 0
    assert "sqs" not in intake or world.aws.queued(account.queue) == 0
    assert world.history.busiest() <= 2
