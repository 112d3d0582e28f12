"""One run of one shape through the product, between a stub of S3 and a sink, and what that took."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench import load
from bench.corpus import Shape, corpus
from bench.engines import SQLITE, installed
from bench.floor import floor_cpu_s
from bench.measured import children, usages
from bench.product import DAY_S, MODULE, Product, product
from bench.result import HELPERS, PRODUCT, Cost, Result, costs, percentiles_ms, total
from bench.s3_pages import BUCKET
from bench.stage import NotRight, Stage, staged
from trailhook.demo.children import Child

RUN_S_MAX = 300.0
"""`single` over MongoDB at its full size did not end within 90 s; all else takes far less."""
LOOK_S = 0.05


def forward(
    shape: Shape, module: str = MODULE, arguments: Sequence[str] = (), *, engine: str = SQLITE, workers: int = 1
) -> Result:
    """Run a shape. Only the last wave of the same records is timed. Raises `NotRight` if what came out is wrong."""
    files = corpus(shape)
    waves = files.waves if shape.waves > 1 else 1
    floor_s = floor_cpu_s(files) / waves
    with (
        staged(files) as stage,
        installed(engine) as place,
        product(stage, place, settings=_workers(workers), module=module, arguments=arguments) as running,
    ):
        gets_per_s = load.gets_per_s(stage.stub, BUCKET, files.objects[0][0])
        timed = _forward(shape, running, {PRODUCT: running.child.pid, **place.servers, **stage.pids})
        taken = stage.taken()
        delays_s = [] if shape.waves > 1 else stage.listed_to_answered_s()
    return Result(
        shape=shape.name,
        who=engine if workers == 1 else f"{engine} × {workers}",
        idle=shape.one_by_one,
        files=shape.files,
        events=files.events // waves,
        event_bytes=files.inflated_bytes // files.events,
        wall_s=timed.wall_s,
        floor_cpu_s=floor_s,
        cost=timed.costs.pop(PRODUCT),
        beside=timed.costs,
        requests=taken["requests"],
        stub_gets_per_s=gets_per_s,
        listed_to_answered_ms=percentiles_ms(delays_s),
    )


@dataclass(frozen=True, slots=True)
class _Timed:
    wall_s: float
    costs: dict[str, Cost]


def _forward(shape: Shape, running: Product, pids: dict[str, int]) -> _Timed:
    """From the moment that the timed files are there until their last event is answered, or is known to be known."""
    stage, files = running.stage, running.stage.corpus
    before, started_s = usages(pids), time.monotonic()
    interval_s = 1 if shape.one_by_one else DAY_S
    source = running.add_source(shape.name, interval_s=interval_s, delivery=dict(shape.options))
    for wave in range(1, files.waves):
        running.wait(source, files.events * wave // files.waves)
        if shape.waves > 1:
            before, started_s = usages(pids), time.monotonic()
        stage.reveal(wave)
        if not shape.one_by_one:
            running.fetch(source)
    if shape.waves == 1:  # ask the sink, which costs the product nothing
        until_through(running.child, stage, files.distinct)
    running.wait(source, files.events)
    ended_s = time.monotonic() if shape.waves > 1 else stage.taken()["last_at"]
    helpers = {str(pid): pid for pid in children(running.child.pid)}
    spent = costs(before, usages({**pids, **helpers}))
    stage.check(source["signingSecret"])
    if helpers:
        spent[HELPERS] = total(spent.pop(name) for name in helpers)
        spent[PRODUCT] = total((spent[PRODUCT], spent[HELPERS]))
    return _Timed(ended_s - started_s, spent)


def _workers(workers: int) -> dict[str, str]:
    return {} if workers == 1 else {"TRAILHOOK_WORKERS": str(workers)}


def until_through(child: Child, stage: Stage, events: int) -> None:
    """Return once the sink has taken so many events. Raises `NotRight` after a while."""
    until = time.monotonic() + RUN_S_MAX
    while stage.taken()["events"] < events:
        child.check()
        if time.monotonic() > until:
            raise NotRight(f"not through after {RUN_S_MAX:.0f} s. {child.last_words}")
        time.sleep(LOOK_S)
