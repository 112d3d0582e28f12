"""Searching a million stored events on both engines: every query of docs/searching.md, as a table.

The events are the demo's, frozen and committed as intake does it, so that batches look like a month of a busy
account's. MongoDB is that of the test dependencies, so the tests' folder has to be on the path: `make bench-search`.
"""

import argparse
import asyncio
import gzip
import os
import random
import re
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.measured import machine
from support.mongod import own_mongod
from trailhook import app, body
from trailhook.api.events import LIMIT, event_json
from trailhook.app import Parts, event_search
from trailhook.clock import SystemClock, rfc3339
from trailhook.cloudtrail.records import Judge
from trailhook.demo import events
from trailhook.intake.cut import cut
from trailhook.model import Counts, DeliveryOptions, NewBatch, Source
from trailhook.search.base import Asked
from trailhook.search.grammar import parse
from trailhook.security.vault import new_key
from trailhook.settings import Settings
from trailhook.store.base import Commit

EVENTS = 1_000_000
DAYS = 30
POOL = 4_000
GROUP = 2_600
"""Records of an intake transaction: some four batches, which overlap in time."""
LATE_S = 600.0
ROUNDS = 15
SOURCE = "bench"
JUDGE = Judge(scope=SOURCE.encode(), depth_max=200, record_bytes_max=2**21)
END_AT = 1_780_000_000
DOCUMENT = Path(__file__).parents[1] / "docs" / "searching.md"
RESULTS = Path(__file__).parent / "results" / "search.md"
_ID = re.compile(rb'"(?:requestID|eventID)":"([0-9a-f-]{36})"')
_TIME = re.compile(rb'"eventTime":"([^"]{20})"')


@dataclass(frozen=True, slots=True)
class Figures:
    """One query on one engine; times in milliseconds."""

    found: int
    median: float
    p95: float
    whole: float
    """Until all is searched, or the first page is full."""
    answers: int


def queries() -> list[str]:
    """The examples of the document."""
    return re.findall(r"^\| `(.+?)` \| ", DOCUMENT.read_text().partition("## Fields")[0], re.MULTILINE)


def raws(number: int) -> Iterator[bytes]:
    """That many events, oldest first but for being late."""
    chance = random.Random(1)
    pool = [
        events.api_call(chance, account=chance.choice(events.ACCOUNTS), region=chance.choice(events.REGIONS), at=END_AT)
        for _ in range(POOL)
    ] + list(_published())
    for index in range(number):
        at = END_AT - DAYS * 86_400 * (1 - index / number) - chance.uniform(0, LATE_S)
        raw = _TIME.sub(b'"eventTime":"%b"' % (rfc3339(int(at))[:19] + "Z").encode(), chance.choice(pool))
        event_id = str(uuid.UUID(int=chance.getrandbits(128), version=4)).encode()
        yield _ID.sub(partial(_renamed, event_id), raw)


def _renamed(new: bytes, found: re.Match[bytes]) -> bytes:
    return found[0].replace(found[1], new)


def _published() -> Iterator[bytes]:
    """Records of published logs, where there are any."""
    place = os.environ.get("TRAILHOOK_REAL_DATA")
    for path in sorted(Path(place).rglob("*_CloudTrail_*.json.gz"))[:500] if place else ():
        for stretch in JUDGE.whole(gzip.decompress(path.read_bytes())).stretches:
            yield from (raw for raw in stretch.raws() if not stretch.alone and _TIME.search(raw))


def batches(number: int) -> Iterator[tuple[Sequence[NewBatch], int]]:
    """The batches of each intake transaction, and how many records they hold."""
    source = iter(raws(number))
    while group := [raw for raw, _ in zip(source, range(GROUP), strict=False)]:
        found = JUDGE.whole(b'{"Records":[%b]}' % b",".join(group))
        frozen = [
            body.freeze(part, source_id=SOURCE, options=DeliveryOptions(), batch_id=body.new_batch_id())
            for part in cut(found.stretches, DeliveryOptions(), source_id=SOURCE)
        ]
        yield frozen, found.kept


async def fill(stores: Sequence[Parts], number: int) -> None:
    """Put the same events into all of them."""
    for parts in stores:
        await parts.store.add_source(_source())
    done = 0
    for frozen, count in batches(number):
        commit = Commit(source_id=SOURCE, token=0, batches=frozen, counts=Counts(read=count))
        for parts in stores:
            await parts.store.commit(commit)
        done += count
        if done % (GROUP * 50) < GROUP:
            print(f"\r{done:,} events", end="", flush=True)
    print()


def _source() -> Source:
    return Source(
        id=SOURCE,
        name=SOURCE,
        created_at=END_AT,
        intakes=("s3",),
        region="us-east-1",
        callback_url="https://example.com",
        lane="bench",
    )


async def measure(parts: Parts, query: str) -> Figures:
    """The first answer, several times, and then the way to a full page or the end."""
    search, asked = event_search(parts), Asked(query=parse(query))
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        page = await search.page(asked, limit=LIMIT)
        encoded = [event_json(each) for each in page.found]
        times.append((time.perf_counter() - started) * 1_000)
    started, answers, found, after = time.perf_counter(), 0, 0, None
    while answers == 0 or (after is not None and found < LIMIT):
        page = await search.page(asked, limit=LIMIT - found, after=after)
        answers, found, after = answers + 1, found + len(page.found), page.next
    whole = (time.perf_counter() - started) * 1_000
    return Figures(len(encoded), statistics.median(times), sorted(times)[-(len(times) // 20 + 1)], whole, answers)


def table(name: str, results: dict[str, Figures]) -> list[str]:
    """The figures of one engine."""
    rows = [
        f"| `{query}` | {each.found} | {each.median:,.0f} | {each.p95:,.0f} | {each.whole:,.0f} | {each.answers} |"
        for query, each in results.items()
    ]
    head = "| query | events in the first answer | first answer, median ms | p95 | full page or the end, ms | answers |"
    return [f"## {name}", "", head, "|---|---|---|---|---|---|", *rows, ""]


async def run(number: int) -> None:
    """Fill both engines, measure, and write the tables."""
    with tempfile.TemporaryDirectory(prefix="trailhook-bench-") as place, ExitStack() as stack:
        mongod = stack.enter_context(own_mongod(Path(place)))
        embedded = Settings(data_dir=Path(place) / "data", api_token="x" * 32)
        shared = Settings(mongodb_url=mongod.url("search"), api_token="x" * 32, master_keys=new_key())
        clock = SystemClock()
        async with (
            app.build(embedded, clock=clock, announce=print) as sqlite,
            app.build(shared, clock=clock, announce=print) as mongo,
        ):
            await fill([sqlite, mongo], number)
            about = ", ".join(f"{name} {value}" for name, value in machine().items())
            lines = [
                "# Searching",
                "",
                f"{number:,} stored events of {DAYS} days; pages of {LIMIT}; {ROUNDS} rounds. {about}.",
                "An answer is the page with its records as JSON, without the HTTP around it. A search that has found",
                f"nothing answers after {embedded.search_turn_s} s how far back it has looked, and goes on when asked.",
                "",
            ]
            for name, parts in (("SQLite", sqlite), ("MongoDB", mongo)):
                results = {}
                for query in queries():
                    results[query] = await measure(parts, query)
                    print(name, query, results[query], flush=True)
                lines += table(name, results)
    RESULTS.write_text("\n".join(lines))


def main() -> None:
    """Run it; `--events` takes fewer."""
    options = argparse.ArgumentParser()
    options.add_argument("--events", type=int, default=EVENTS)
    asyncio.run(run(options.parse_args().events))


if __name__ == "__main__":
    main()
