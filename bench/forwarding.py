"""One run of one shape: the product as a process between a stub of S3 and a sink, and what that took."""

import contextlib
import hashlib
import http.client
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from isal import isal_zlib

from bench import http_server, load, s3_stub
from bench.corpus import Corpus, Shape, corpus
from bench.measured import Usage, on_core, usage
from trailhook.cli.client import Client
from trailhook.demo.children import Child

START_S = 30.0
RUN_S_MAX = 90.0
LOOK_S = 0.05
ASK_S = 0.2
GROUP_RECORDS = 1_000
KEYS = {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": secrets.token_urlsafe(30), "region": "us-east-1"}
LISTENS = "Trailhook listens on "


class NotRight(Exception):
    """What came out is not what went in: figures of such a run mean nothing."""


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one shape."""

    shape: str
    who: str
    files: int
    events: int
    event_bytes: int
    wall_s: float
    cpu_s: float
    floor_cpu_s: float
    """Inflate, split and join the same files, on the same core, just before."""
    peak_mib: float
    written_mib: float
    requests: int
    stub_gets_per_s: float = 0.0
    """What the stub gives at most, asked by a client that does nothing else: the ceiling of every figure here."""
    listed_to_answered_ms: dict[str, float] = field(default_factory=dict)

    @property
    def events_per_s(self) -> float:
        return self.events / self.wall_s

    @property
    def objects_per_s(self) -> float:
        return self.files / self.wall_s

    @property
    def cpu_s_per_million(self) -> float:
        return self.cpu_s / self.events * 1e6

    @property
    def times_floor(self) -> float:
        return self.cpu_s / self.floor_cpu_s

    def document(self) -> dict[str, Any]:
        """As it is kept."""
        derived = ("events_per_s", "objects_per_s", "cpu_s_per_million", "times_floor")
        values = {**asdict(self), **{name: getattr(self, name) for name in derived}}
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Stage:
    """The two ends, in processes of their own."""

    corpus: Corpus
    stub: str
    sink: str

    def ask(self, address: str, path: str) -> Any:
        """The JSON that a stub or sink tells of itself."""
        connection = http.client.HTTPConnection(address, timeout=120)
        with contextlib.closing(connection):
            connection.request("GET", path)
            text = connection.getresponse().read()
        return json.loads(text) if text else None

    def reveal(self, wave: int) -> None:
        self.ask(self.stub, f"/-/reveal/{wave}")

    def taken(self) -> Mapping[str, Any]:
        """What the sink has been sent."""
        taken: Mapping[str, Any] = self.ask(self.sink, "/-/taken")
        return taken

    def check(self, secret: str = "") -> None:
        """Raise `NotRight` unless every distinct event has come exactly once, byte for byte, well signed."""
        wrong = {name: number for name, number in self.ask(self.sink, f"/-/verify?{secret}").items() if number}
        if wrong:
            raise NotRight(f"{self.corpus.path.name}: {wrong}")

    def listed_to_answered_s(self) -> list[float]:
        """For each file that made a batch of its own: from the listing that had it to the sink's answer."""
        listed = self.ask(self.stub, "/-/listed")
        arrivals = self.ask(self.sink, "/-/arrivals")
        firsts = {
            hashlib.sha256(_records(body)[0]).hexdigest(): key
            for (key, _, _), body in zip(self.corpus.objects, self.corpus.bodies(), strict=True)
        }
        return [at - listed[firsts[hashed]] for hashed, at in arrivals.items() if hashed in firsts]


class _File(msgspec.Struct):
    Records: list[msgspec.Raw]


_DECODER = msgspec.json.Decoder(_File)


def _records(body: bytes) -> list[msgspec.Raw]:
    return _DECODER.decode(isal_zlib.decompress(body, 31)).Records


def floor_cpu_s(files: Corpus) -> float:
    """The least that any forwarder must do with these files: inflate, find the records, join them."""
    total_s = 0.0
    held: list[msgspec.Raw] = []
    with on_core(first=True):
        for body in files.bodies():
            started_s = time.process_time()
            held += _records(body)
            while len(held) >= GROUP_RECORDS:
                b",".join(held[:GROUP_RECORDS])
                del held[:GROUP_RECORDS]
            total_s += time.process_time() - started_s
    return total_s


@contextlib.contextmanager
def staged(files: Corpus) -> Iterator[Stage]:
    """The ends for a corpus, its first wave revealed."""
    with on_core(first=False), contextlib.ExitStack() as stack:
        stub = stack.enter_context(Child("S3 stub", "bench.s3_stub", [str(files.path)], os.environ))
        sink = stack.enter_context(Child("sink", "bench.sink", [str(files.path)], os.environ))
        stage = Stage(files, *(each.wait_for(http_server.READY, START_S) for each in (stub, sink)))
        stage.reveal(0)
        yield stage


@dataclass(frozen=True, slots=True)
class Product:
    """`trailhook serve`, with one source."""

    child: Child
    client: Client
    source: Mapping[str, Any]

    def counts(self) -> Mapping[str, int]:
        """What it has counted so far."""
        self.child.check()
        status = self.client.call("GET", "sources", self.source["id"], "status")
        return {**status["counts"], "unread": status["units"]["waiting"]}

    def fetch(self) -> None:
        self.client.call("POST", "sources", self.source["id"], "fetch")

    def wait(self, events: int) -> None:
        """Return once so many events have been read and nothing waits."""
        until = time.monotonic() + RUN_S_MAX
        while True:
            counts = self.counts()
            if counts["read"] >= events and not counts["waiting"] and not counts["unread"]:
                return
            if time.monotonic() > until:
                raise NotRight(f"not through after {RUN_S_MAX:.0f} s: {dict(counts)}")
            time.sleep(ASK_S)


@contextlib.contextmanager
def product(module: str, arguments: list[str], stage: Stage) -> Iterator[tuple[Child, Client]]:
    """The product on an empty data directory, on a core of its own."""
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="trailhook-bench-") as place:
        settings = Path(place) / "nobody's-settings.toml"
        settings.touch()
        own = {
            "TRAILHOOK_API_TOKEN": token,
            "TRAILHOOK_ALLOW_HTTP_CALLBACKS": "true",
            "TRAILHOOK_ALLOW_CALLBACK_HOSTS": stage.sink,
            "TRAILHOOK_ALLOW_AWS_ENDPOINTS": stage.stub,
            "TRAILHOOK_CONFIG": str(settings),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOOK_")}
        serve = [*arguments, "serve", "--port", "0", "--data-dir", place, "--log-level", "WARNING"]
        with on_core(first=True):
            child = Child("product", module, serve, {**kept, **own})
        with child:
            yield child, Client(child.wait_for(LISTENS, START_S), token)


def add_source(client: Client, stage: Stage, shape: Shape) -> Mapping[str, Any]:
    """Register the bucket: it is polled at once."""
    document = {
        "sourceType": "aws_cloudtrail",
        "name": shape.name,
        "credentials": KEYS,
        "logFetchInterval": 1 if shape.one_by_one else 86_400,
        "callbackUrl": f"http://{stage.sink}/",
        "s3Bucket": s3_stub.BUCKET,
        "s3Prefix": "AWSLogs/",
        "endpointUrl": f"http://{stage.stub}",
        "startFrom": "beginning",
        "delivery": dict(shape.options),
    }
    source: Mapping[str, Any] = client.call("POST", "add-source", body=document)
    return source


def forward(shape: Shape, module: str = "trailhook.demo.product", arguments: tuple[str, ...] = ()) -> Result:
    """Run a shape through the product. Only the last wave of the same records is timed."""
    files = corpus(shape)
    floor_s = floor_cpu_s(files) / (1 if shape.one_by_one else files.waves)
    events = files.events if shape.one_by_one else files.events // files.waves
    with staged(files) as stage, product(module, list(arguments), stage) as (child, client):
        gets_per_s = load.gets_per_s(stage.stub, s3_stub.BUCKET, files.objects[0][0])
        before, started_s = usage(child.pid), time.monotonic()
        running = Product(child, client, add_source(client, stage, shape))
        for wave in range(1, files.waves):
            running.wait(events * wave // (files.waves if shape.one_by_one else 1))
            before, started_s = usage(child.pid), time.monotonic()
            stage.reveal(wave)
            if not shape.one_by_one:
                running.fetch()
        if shape.waves == 1:  # ask the sink, which costs the product nothing
            _until_through(child, stage, files.distinct)
        running.wait(files.events)
        wall_s = _wall_s(stage, started_s, replayed=shape.waves > 1)
        after, taken = usage(child.pid), stage.taken()
        stage.check(running.source["signingSecret"])
        delays_s = stage.listed_to_answered_s() if shape.one_by_one else []
    return Result(
        shape=shape.name,
        who="trailhook",
        files=len(files.objects) if shape.one_by_one else shape.files,
        events=events,
        event_bytes=files.inflated_bytes // files.events,
        wall_s=wall_s,
        cpu_s=after.cpu_s - before.cpu_s,
        floor_cpu_s=floor_s,
        peak_mib=after.peak_bytes / 2**20,
        written_mib=(after.written_bytes - before.written_bytes) / 2**20,
        requests=taken["requests"],
        stub_gets_per_s=gets_per_s,
        listed_to_answered_ms=_percentiles_ms(delays_s),
    )


def _wall_s(stage: Stage, started_s: float, *, replayed: bool) -> float:
    """Until the last answer of the sink; where nothing is to be sent, until the product said that it is through."""
    return (time.monotonic() if replayed else stage.taken()["last_at"]) - started_s


def _percentiles_ms(delays_s: list[float]) -> dict[str, float]:
    if len(delays_s) < 2:
        return {}
    cuts = statistics.quantiles(delays_s, n=100, method="inclusive")
    return {"p50": round(cuts[49] * 1e3, 1), "p95": round(cuts[94] * 1e3, 1), "files": len(delays_s)}


def naive(shape: Shape) -> Result:
    """The same shape through the program that one writes on a first afternoon: see `bench.peer`."""
    files = corpus(shape)
    floor_s = floor_cpu_s(files)
    with staged(files) as stage:
        with on_core(first=True):
            child = Child("peer", "bench.peer", [f"http://{stage.stub}", f"http://{stage.sink}/"], os.environ)
        with child:
            child.wait_for("started", START_S)
            before, started_s = usage(child.pid), time.monotonic()
            child_done = _until_through(child, stage, files.distinct)
        stage.check()
        taken = stage.taken()
    return Result(
        shape=shape.name,
        who="naive",
        files=len(files.objects),
        events=files.events,
        event_bytes=files.inflated_bytes // files.events,
        wall_s=taken["last_at"] - started_s,
        cpu_s=child_done.cpu_s - before.cpu_s,
        floor_cpu_s=floor_s,
        peak_mib=child_done.peak_bytes / 2**20,
        written_mib=0.0,
        requests=taken["requests"],
    )


def _until_through(child: Child, stage: Stage, events: int) -> Usage:
    until = time.monotonic() + RUN_S_MAX
    while stage.taken()["events"] < events:
        child.check()
        if time.monotonic() > until:
            raise NotRight(f"not through after {RUN_S_MAX:.0f} s")
        time.sleep(LOOK_S)
    return usage(child.pid)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    with Path("/proc/cpuinfo").open(encoding="ascii") as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else "unknown",
        "cores": str(len(os.sched_getaffinity(0))),
        "python": sys.version.split()[0],
        "load_before": f"{os.getloadavg()[0]:.1f}",
    }
