"""`trailhook demo`: a simulated AWS account, a webhook receiver and the whole product, for everybody to see.

The product runs as it would anywhere: as a process of its own that knows nothing of the demo. It is told of the
bucket through its API. At the end the books are compared (see `reckoning`).
"""

import importlib.util
import os
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.status import Status

from trailhook.cli.client import Client
from trailhook.cli.hooks import HookServer
from trailhook.clock import rfc3339
from trailhook.demo import aws
from trailhook.demo.aws import Bucket
from trailhook.demo.children import Child
from trailhook.demo.generator import Generator
from trailhook.demo.receiver import Receiver
from trailhook.demo.reckoning import Written, reckon, summary
from trailhook.errors import TrailhookError

BUCKET = "example-trail-logs"
KEYS = {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": secrets.token_urlsafe(30), "region": "us-east-1"}
START_S = 30.0
DRAIN_S = 30.0
STEP_S = 0.1
LOOK_EVERY_S = 1.0
SAY_EVERY_S = 5.0
LISTENS = "Trailhook listens on "


class DemoNotInstalled(TrailhookError):
    """What only the demo needs is missing."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that plays a part."""

    bucket: Bucket
    receiver: Receiver
    children: tuple[Child, ...]
    client: Client
    source_id: str

    def counts(self) -> Mapping[str, int]:
        """What the product counts, and how many objects it has not read yet. Raises `ChildFailed` if one is gone."""
        for child in self.children:
            child.check()
        status = self.client.call("GET", "sources", self.source_id, "status")
        return {**status["counts"], "unread": status["units"]["waiting"]}


def run(*, seconds: float | None, rate: float, data_dir: Path | None, console: Console) -> bool:
    """Run until Ctrl-C or for `seconds`; whether everything that was written has been received once.

    Every process that it started has ended when it returns or raises.
    """
    generator = Generator()
    with ExitStack() as stack:
        stack.enter_context(_interrupted_by(signal.SIGTERM))
        console.print("Starting a simulated AWS account, a webhook receiver and Trailhook …")
        stage = _set_up(stack, data_dir, console)
        _play(stage, generator, rate, seconds, console)
        counts = _drain(stage, generator, console)
        stack.close()
    written = Written(generator.files, generator.records, generator.manifest)
    reckoning = reckon(generator.manifest, stage.receiver.seen, stage.receiver.tally)
    console.print(summary(written, reckoning, stage.receiver.tally, counts))
    console.print("It adds up." if reckoning.adds_up else "It does NOT add up.")
    if not reckoning.adds_up:
        for child in stage.children:
            console.print(child.last_words, markup=False, soft_wrap=True)
    return reckoning.adds_up


def _set_up(stack: ExitStack, data_dir: Path | None, console: Console) -> Stage:
    if importlib.util.find_spec("moto") is None:
        raise DemoNotInstalled("The demo's simulated AWS account is not installed: pip install 'trailhook[demo]'")
    receiver = Receiver()
    server = stack.enter_context(HookServer(receiver.take))
    cloud = stack.enter_context(Child("simulated AWS account", "trailhook.demo.aws"))
    token = secrets.token_urlsafe(24)
    place = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trailhook-demo-")))
    cloud_address = cloud.wait_for(aws.READY, START_S)
    product = stack.enter_context(
        Child(
            "product",
            "trailhook.demo.product",
            ["serve", "--port", "0", "--data-dir", str(place)],
            _environ(token, server.address, cloud_address),
        )
    )
    bucket = Bucket(cloud_address, BUCKET)
    bucket.create()
    client = Client(product.wait_for(LISTENS, START_S), token)
    source = client.call("POST", "add-source", body=_source(server.address, cloud_address))
    receiver.trust(source["signingSecret"])
    link = client.call("POST", "sign-in-links")["path"]
    console.print(f"Dashboard   {client.url}{link}\n            (signs a browser in once)", soft_wrap=True)
    console.print(f"Trailhook   {client.url}\nAPI token   {token}\nSource      {source['id']}", soft_wrap=True)
    console.print(f"Webhook     http://{server.address}/\nBucket      s3://{BUCKET} at http://{cloud_address}")
    console.print(
        f"Proof       trailhook verify {source['id']} --from {rfc3339(time.time())} --to …\n"
        "            (CloudTrail's digests come every minute here)",
        soft_wrap=True,
    )
    return Stage(bucket, receiver, (cloud, product), client, source["id"])


def _play(stage: Stage, generator: Generator, rate: float, seconds: float | None, console: Console) -> None:
    """Write files at `rate` events a second until the time is over or somebody interrupts: never half a file."""
    start = time.monotonic()
    with _stop_on_signals() as stop, _Progress(stage, generator, console) as progress:
        while not stop.wait(STEP_S):
            elapsed_s = time.monotonic() - start
            if seconds is not None and elapsed_s >= seconds:
                return
            while generator.records < rate * elapsed_s and not stop.is_set():
                file = generator.next_file(time.time())
                stage.bucket.put(file.key, file.body_gz)
            progress.show("writing")


def _drain(stage: Stage, generator: Generator, console: Console) -> Mapping[str, int]:
    """Wait until everything is through, at most for DRAIN_S; the product's last counts."""
    stage.receiver.calm()
    until = time.monotonic() + DRAIN_S
    with _Progress(stage, generator, console) as progress:
        while True:
            counts = progress.show("waiting for the rest")
            through = counts["read"] >= generator.records and not counts["waiting"] and not counts["unread"]
            if through or time.monotonic() > until:
                return stage.counts()
            time.sleep(STEP_S)


class _Progress:
    """One line that lives on a terminal; elsewhere a line every few seconds."""

    def __init__(self, stage: Stage, generator: Generator, console: Console) -> None:
        self._stage = stage
        self._generator = generator
        self._console = console
        self._status = Status("…", console=console)
        self._counts: Mapping[str, int] = {}
        self._looked_at = self._said_at = float("-inf")

    def __enter__(self) -> "_Progress":
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def show(self, doing: str) -> Mapping[str, int]:
        """Say how it goes, look at the product once a second; its latest counts."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at, self._counts = now, self._stage.counts()
        if self._console.is_terminal:
            self._status.update(self._line(doing))
        elif now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            self._console.print(self._line(doing))
        return self._counts

    def _line(self, doing: str) -> str:
        tally = self._stage.receiver.tally
        return (
            f"{doing}: {self._generator.records:,} events in, {len(self._generator.manifest):,} distinct · "
            f"sent {self._counts.get('sent', 0):,} · received {tally.events:,} in {tally.batches:,} batches · "
            f"repeats dropped {self._counts.get('duplicate', 0):,} · errors on purpose {tally.misbehaved}"
        )


def _source(callback: str, cloud: str) -> dict[str, object]:
    return {
        "sourceType": "aws_cloudtrail",
        "name": "demo",
        "credentials": KEYS,
        "logFetchInterval": 1,
        "callbackUrl": f"http://{callback}/",
        "s3Bucket": BUCKET,
        "s3Prefix": "AWSLogs/",
        "endpointUrl": f"http://{cloud}",
        "startFrom": "beginning",
        "verifyIntegrity": True,
    }


def _environ(token: str, callback: str, cloud: str) -> dict[str, str]:
    """The surroundings of the product: nobody's settings but the demo's."""
    own = {
        "TRAILHOOK_API_TOKEN": token,
        "TRAILHOOK_ALLOW_HTTP_CALLBACKS": "true",
        "TRAILHOOK_ALLOW_CALLBACK_HOSTS": callback,
        "TRAILHOOK_ALLOW_AWS_ENDPOINTS": cloud,
        "TRAILHOOK_CONFIG": os.devnull,
    }
    return {**{name: value for name, value in os.environ.items() if not name.startswith("TRAILHOOK_")}, **own}


@contextmanager
def _interrupted_by(number: signal.Signals) -> Iterator[None]:
    """This signal interrupts as Ctrl-C does."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """Signals set an event instead of interrupting wherever they meet us."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
