"""What finding new log files costs, in requests, memory and dollars: `make bench-listing`.

The bucket is made up page by page (`tests/support/big_bucket.py`), so the tests' folder has to be on the path. Requests
are counted, not estimated. Memory is the most that Python allocates at a time in one poll, the made-up pages included.
"""

import asyncio
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

from bench.measured import machine
from support.big_bucket import BigKeys, BigStory, Polled
from trailhook.settings import DAY_S, MIB, Settings

REGIONS = 17
DOLLARS_A_REQUEST = 0.005 / 1_000
"""Of a LIST request, in us-east-1."""
ACCOUNTS, SAMPLE_ACCOUNTS = 500, 4
LOGS_A_DAY = (24, 288)
"""For each account and region: quiet ones an hour, busy ones every five minutes."""
INTERVALS_S = (300, 900, 3_600, 21_600)
RESULTS = Path(__file__).parent / "results" / "listing.md"


@dataclass(frozen=True)
class Measured:
    """One poll."""

    polled: Polled
    peak_bytes: int
    took_s: float


async def measured(story: BigStory, *, memory: bool = True) -> Measured:
    """The next poll of a story."""
    if memory:
        tracemalloc.start()
    started_s = time.process_time()
    polled = await story.poll()
    took_s = time.process_time() - started_s
    peak_bytes = tracemalloc.get_traced_memory()[1] if memory else 0
    tracemalloc.stop()
    return Measured(polled, peak_bytes, took_s)


async def by_size() -> list[str]:
    """Buckets of 10,000 to 1,000,000 log files, in as many days as they need, and the smallest spread over 400 days."""
    rows = []
    for keys in (
        BigKeys(1, REGIONS, 4, 147),
        BigKeys(1, REGIONS, 400, 1),
        BigKeys(1, REGIONS, 40, 147),
        BigKeys(1, REGIONS, 400, 147),
    ):
        story = BigStory(keys)
        await story.poll()
        usual = await measured(story)
        story.let_reconcile_be_due()
        slow = await measured(story)
        cells = [f"{each.polled.requests:,} | {each.peak_bytes / MIB:.1f} MiB" for each in (usual, slow)]
        rows.append(f"| {keys.logs:,} in {keys.days} days | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return rows


async def by_density() -> list[str]:
    """500 accounts, in proportion to a part of them."""
    rows = []
    for logs_a_day in LOGS_A_DAY:
        story = BigStory(BigKeys(SAMPLE_ACCOUNTS, REGIONS, 1, 1))
        await story.poll()
        story.become(BigKeys(SAMPLE_ACCOUNTS, REGIONS, 400, logs_a_day))
        usual = _of_all((await measured(story, memory=False)).polled)
        story.let_reconcile_be_due()
        slow = _of_all((await measured(story, memory=False)).polled)
        days = [_dollars_a_day(usual, slow, each) for each in INTERVALS_S]
        rows.append(f"| {logs_a_day} | {usual:,} | {slow:,} | {' | '.join(days)} |")
        print(rows[-1], flush=True)
    return rows


def _of_all(polled: Polled) -> int:
    """The requests that all accounts take: one finds them, the others are alike for each."""
    return 1 + (polled.requests - 1) * ACCOUNTS // SAMPLE_ACCOUNTS


async def whole() -> Measured:
    """The usual poll of all 500 accounts, the quiet ones."""
    story = BigStory(BigKeys(ACCOUNTS, REGIONS, 1, 1, digests=False))
    await story.poll()
    story.become(BigKeys(ACCOUNTS, REGIONS, 400, LOGS_A_DAY[0]))
    return await measured(story, memory=False)


def _dollars_a_day(usual: int, slow: int, interval_s: int) -> str:
    slow_polls = DAY_S / max(Settings().reconcile_every_s, interval_s)
    requests = usual * (DAY_S / interval_s - slow_polls) + slow * slow_polls
    return f"{requests:,.0f}, ${requests * DOLLARS_A_REQUEST:.2f}"


def main() -> None:
    """Measure, tell, keep."""
    sizes, densities, checked = asyncio.run(_all())
    about = ", ".join(f"{name} {value}" for name, value in machine().items())
    text = TEXT.format(
        about=about,
        sizes="\n".join(sizes),
        densities="\n".join(densities),
        intervals=" | ".join(f"every {each:,} s" for each in INTERVALS_S),
        rule="|---" * (3 + len(INTERVALS_S)) + "|",
        accounts=ACCOUNTS,
        regions=REGIONS,
        sample=SAMPLE_ACCOUNTS,
        checked=f"{checked.polled.requests:,} requests, {checked.polled.units:,} log files, {checked.took_s:.0f} s",
    )
    RESULTS.write_text(text)
    print(f"Kept in {RESULTS}")


async def _all() -> tuple[list[str], list[str], Measured]:
    return await by_size(), await by_density(), await whole()


TEXT = """\
# What listing costs

Counted by `make bench-listing` over a made-up bucket. {about}.

## It does not grow with the bucket

One account, {regions} regions, its digests beside its logs. A poll is *usual*, or *slow*, when it reconciles the last
30 days. Requests, and the most memory that is allocated at a time.

| log files | usual | | slow | |
|---|---|---|---|---|
{sizes}

The slow pass grows until a bucket is 30 days old, and the usual poll until it is two.

## {accounts} accounts in {regions} regions

Requests and dollars a day (LIST at $0.005 per 1,000), by `logFetchInterval`. The slow pass runs every six hours, or
at every look where those are further apart. Measured on {sample} accounts and in proportion, for all accounts are
alike; the usual poll of all {accounts} at the lower rate, measured whole: {checked} of processor time, of which the
made-up answers take about half.

| logs a day, each account and region | usual | slow | {intervals} |
{rule}
{densities}

A usual poll is 1 request for `AWSLogs/`, 2 for each account (what is in it, and its regions) and 1 for each region
that has at most 1,000 logs in two days. Nothing that S3 offers lists many directories from a date on, so this is the
least that looking at each of them at every poll can cost.

What keeps it low is not to look so often. With `sqsQueueUrl` beside the bucket, events are known seconds after they
are written, and listing only has to find what was never announced: `logFetchInterval` may be hours. Without a queue,
an organization's accounts may be split among sources by `s3Prefix`, the quiet ones looked at less often.

Looking less often at those regions that have been quiet, by itself, would save most of the rest and was not built:
events in a region that nobody uses are the ones that somebody waits for, and those would come latest.
"""

if __name__ == "__main__":
    main()
