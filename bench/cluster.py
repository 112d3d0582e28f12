"""The same number of events from 1, 2 and 4 sources through 1 and 2 workers, over MongoDB and Valkey: a table.

The servers are those of the test dependencies, so the tests' folder has to be on the path: `make bench-cluster`.
Everything shares this machine's cores, MongoDB too: on a small machine more workers cannot give more.
"""

import contextlib
import itertools
import secrets
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.corpus import Shape, corpus
from bench.measured import machine
from bench.product import LISTENS, RUN_S_MAX, add_source, environment
from bench.stage import START_S, NotRight, Stage, staged
from support.mongod import own_mongod
from support.valkey import own_valkey
from trailhook.cli.client import Client
from trailhook.demo.children import Child
from trailhook.security.vault import new_key

FILES = 400
RECORDS = 53
SOURCES, WORKERS = (1, 2, 4), (1, 2)
RESULTS = Path(__file__).parent / "results" / "cluster.md"


def events_per_s(sources: int, workers: int, servers: Mapping[str, str]) -> float:
    """One run. Raises `NotRight` unless each source's sink had every distinct event once."""
    shapes = [Shape(f"cluster-{number}-of-{sources}", FILES // sources, RECORDS) for number in range(sources)]
    with contextlib.ExitStack() as stack:
        stages = [stack.enter_context(staged(corpus(shape))) for shape in shapes]
        token = secrets.token_urlsafe(24)
        own = {"TRAILHOOK_API_TOKEN": token, "TRAILHOOK_MASTER_KEYS": new_key(), "TRAILHOOK_WORKER_PORT": "0"}
        env = environment(stages, {**own, **servers})
        started = [Child(role, "trailhook", [role], env) for role in ("api", *["worker"] * workers)]
        for child in started:
            stack.enter_context(child)
        api, *_ = [child.wait_for(LISTENS, START_S) for child in started]
        client = Client(api, token)
        started_s = time.monotonic()
        added = [add_source(client, stage, shape.name) for stage, shape in zip(stages, shapes, strict=True)]
        _wait(stages, started)
        wall_s = max(float(stage.taken()["last_at"]) for stage in stages) - started_s
        for stage, source in zip(stages, added, strict=True):
            stage.check(source["signingSecret"])
    return sum(stage.corpus.events for stage in stages) / wall_s


def _wait(stages: list[Stage], children: list[Child]) -> None:
    until = time.monotonic() + RUN_S_MAX
    while any(stage.taken()["events"] < stage.corpus.distinct for stage in stages):
        for child in children:
            child.check()
        if time.monotonic() > until:
            raise NotRight(f"not through after {RUN_S_MAX:.0f} s")
        time.sleep(0.05)


def main() -> None:
    """Run every combination and write the table."""
    figures = {}
    with tempfile.TemporaryDirectory(prefix="trailhook-bench-") as place, own_mongod(Path(place)) as mongod:
        for number, (sources, workers) in enumerate(itertools.product(SOURCES, WORKERS)):
            with own_valkey() as valkey:
                servers = {
                    "TRAILHOOK_MONGODB_URL": mongod.url(f"bench{number}"),
                    "TRAILHOOK_REDIS_URL": valkey.url,
                }
                figures[sources, workers] = events_per_s(sources, workers, servers)
            print(f"{sources} sources, {workers} workers: {figures[sources, workers]:,.0f} events/s", flush=True)
    RESULTS.write_text(_table(figures))


def _table(figures: Mapping[tuple[int, int], float]) -> str:
    about = ", ".join(f"{name} {value}" for name, value in machine().items())
    head = "| sources | " + " | ".join(f"{workers} worker{'s' * (workers > 1)}" for workers in WORKERS) + " |"
    rows = [
        f"| {sources} | " + " | ".join(f"{figures[sources, workers]:,.0f}" for workers in WORKERS) + " |"
        for sources in SOURCES
    ]
    lines = [
        "# MongoDB and Valkey: events a second, end to end",
        "",
        f"{FILES * RECORDS:,} events of {FILES} files in all, however many sources share them. {about}.",
        "MongoDB, Valkey, the stubs, the sinks, the api and the workers share those cores.",
        "",
        head,
        "|---" * (len(WORKERS) + 1) + "|",
        *rows,
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
