"""The dashboard with 1,000 sources and 100,000 deliveries, on both engines: what the server takes for its large pages,
and when a browser lets somebody do something there.

The store is filled directly, and moved to MongoDB as it is. MongoDB and the browser's harness are the tests' own, whose
folder has to be on the path: `make bench-pages`.
"""

import argparse
import asyncio
import contextlib
import hashlib
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from playwright.async_api import Browser

from bench.measured import machine
from support.asgi import Client
from support.browsing import browsing, chromium_path, somebody
from support.mongod import own_mongod
from trailhook import app
from trailhook.app import Parts
from trailhook.clock import SystemClock
from trailhook.migrate import move
from trailhook.model import Attempt, BatchState, Condition, Counts, NewBatch, Source
from trailhook.security.vault import new_key
from trailhook.settings import Settings
from trailhook.store.base import Commit, Settlement
from trailhook.web.server import create_site

SOURCES = 1_000
DELIVERIES = 100_000
ROUNDS = 15
AT_ONCE = 64
EVENTS = 40
TOKEN = "th_" + "bench" * 10
RESULTS = Path(__file__).parent / "results" / "pages.md"
PAGES = {
    "overview": "/",
    "overview, searched by name": "/?q=source-77",
    "overview, the last page": "/?page=20",
    "what the overview asks for every 4 s": "/ui/overview",
    "deliveries": "/ui/deliveries",
    "deliveries of one source": "/ui/deliveries?source=source-777",
    "deliveries that wait": "/ui/deliveries?state=waiting",
    "dead letters": "/ui/dead-letters",
    "dead letters of one source": "/ui/dead-letters?source=source-777",
}
INTERACTIVE = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
"""Every script has run by then, and what is drawn answers."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One page; times in milliseconds."""

    median: float
    slowest: float
    kilobytes: float
    interactive: float | None = None


async def fill(parts: Parts, sources: int, deliveries: int) -> None:
    """So many of them: of ten deliveries eight are delivered, one waits after a failure, one is a dead letter."""
    each = deliveries // sources
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with limit:
            await _fill_source(parts, f"source-{number}", each)

    await asyncio.gather(*(one(number) for number in range(sources)))
    await parts.store.sample()


async def _fill_source(parts: Parts, source_id: str, number: int) -> None:
    store, chance = parts.store, random.Random(source_id)
    await store.add_source(_source(source_id, parts.clock.now() - 86_400))
    batches = [_batch(f"msg_{source_id}_{index}", parts.clock.now()) for index in range(number)]
    counts = Counts(read=EVENTS * number)
    await store.commit(Commit(source_id=source_id, token=0, batches=batches, counts=counts))
    for batch in await store.lease_batches(source_id, limit=number, lease_s=600):
        await store.settle(batch, _settlement(chance, parts.clock.now()))
    if chance.random() < 0.1:
        denied = Condition(state="access_denied", reason="AWS answered AccessDenied.", remedy="Allow s3:ListBucket.")
        await store.change_source(source_id, lambda source: (source.but(fetch=denied), ()))


def _source(source_id: str, at: float) -> Source:
    return Source(
        id=source_id,
        name=source_id,
        created_at=at,
        intakes=("s3",),
        region="us-east-1",
        bucket=f"{source_id}-trail",
        callback_url=f"https://{source_id}.example.com/webhook",
        lane=source_id,
    )


def _batch(batch_id: str, at: float) -> NewBatch:
    body = f"the body of {batch_id}".encode() * 20
    return NewBatch(
        id=batch_id,
        body=body,
        sha256=hashlib.sha256(body).digest(),
        wire_bytes=len(body),
        content_type="application/json",
        count=EVENTS,
        columns=b"",
        first_event_at=at - 60,
        last_event_at=at,
    )


def _settlement(chance: random.Random, at: float) -> Settlement:
    kind = chance.random()
    if kind < 0.8:
        return Settlement(state=BatchState.DELIVERED, attempt=_attempt("delivered", 200, at))
    if kind < 0.9:
        failed = _attempt("transient", 503, at)
        return Settlement(state=BatchState.WAITING, attempt=failed, due_at=at + 3_600)
    return Settlement(state=BatchState.DEAD, attempt=_attempt("refused", chance.choice((400, 413, 422)), at))


def _attempt(outcome: str, status: int, at: float) -> Attempt:
    error = "" if outcome == "delivered" else f"The receiver answered {status}."
    return Attempt(number=1, started_at=at, took_s=0.1, outcome=outcome, status=status, error=error)


async def served(site: FastAPI, path: str) -> Figures:
    """What the server takes for a page, from the request to its last byte, without the network."""
    client, times, size = Client(site, TOKEN), [], 0
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        reply = await client.call("GET", path, headers={"accept": "text/html"})
        times.append((time.perf_counter() - started) * 1_000)
        size = len(reply.body)
        assert reply.status == 200, reply.body
    return Figures(statistics.median(times[1:]), max(times[1:]), size / 1_000)


async def interactive(browser: Browser, origin: str, paths: Sequence[str]) -> dict[str, float]:
    """Milliseconds from following a link to a page that answers, by its path."""
    async with somebody(browser, origin) as person:
        await person.sign_in(TOKEN)
        found = {}
        for path in paths:
            times = []
            for _ in range(5):
                await person.open(path)
                times.append(float(await person.page.evaluate(INTERACTIVE)))
            found[path] = statistics.median(times)
    return found


@asynccontextmanager
async def listening(site: FastAPI) -> AsyncIterator[str]:
    """The site on a free port."""
    server = uvicorn.Server(uvicorn.Config(site, port=0, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def measure(settings: Settings, browser: Browser | None) -> dict[str, Figures]:
    """Every page of one engine."""
    async with app.build(settings, clock=SystemClock(), announce=print) as parts:
        site = create_site(parts)
        figures = {name: await served(site, path) for name, path in PAGES.items()}
        whole = {name: path for name, path in PAGES.items() if not path.startswith("/ui/overview")}
        if browser is not None:
            async with listening(site) as origin:
                times = await interactive(browser, origin, list(whole.values()))
            for name, path in whole.items():
                one = figures[name]
                figures[name] = Figures(one.median, one.slowest, one.kilobytes, times[path])
    for name, each in figures.items():
        print(name, each, flush=True)
    return figures


def table(name: str, figures: dict[str, Figures]) -> list[str]:
    """The figures of one engine."""
    rows = [
        f"| {page} | {each.median:,.0f} | {each.slowest:,.0f} | {each.kilobytes:,.0f} | "
        f"{'–' if each.interactive is None else f'{each.interactive:,.0f}'} |"
        for page, each in figures.items()
    ]
    head = "| page | server, median ms | slowest | kB | to interactive, ms |"
    return [f"## {name}", "", head, "|---|---|---|---|---|", *rows, ""]


async def run(options: argparse.Namespace) -> None:
    """Fill both engines, measure, and write the tables."""
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trailhook-bench-")))
        path = chromium_path()
        browser = await stack.enter_async_context(browsing(path)) if path else None
        about = ", ".join(f"{name} {value}" for name, value in machine().items())
        embedded = Settings(data_dir=place / "data", api_token=TOKEN, master_keys=new_key())
        async with app.build(embedded, clock=SystemClock(), announce=print) as parts:
            await fill(parts, options.sources, options.deliveries)
        lines = table("SQLite", await measure(embedded, browser))
        url = stack.enter_context(own_mongod(place)).url("pages")
        await move(embedded, url, clock=SystemClock(), told=lambda *_: None)
        lines += table("MongoDB", await measure(replace(embedded, mongodb_url=url), browser))
    head = f"""# The dashboard's pages

{options.sources:,} sources, {options.deliveries:,} deliveries, a tenth of them dead letters. {about}.
Server: from the request to the last byte of the page, {ROUNDS} rounds, in the process. To interactive: in Chromium over
loopback, from following a link until every script has run, median of 5; server and browser share the machine.
"""
    RESULTS.write_text("\n".join([head, *lines]))


def main() -> None:
    """Run it; `--sources` and `--deliveries` take fewer."""
    options = argparse.ArgumentParser()
    options.add_argument("--sources", type=int, default=SOURCES)
    options.add_argument("--deliveries", type=int, default=DELIVERIES)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(options.parse_args()))


if __name__ == "__main__":
    main()
