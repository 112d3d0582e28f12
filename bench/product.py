"""The product as its users run it: `trailhook serve`, in a process and on a core of its own."""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.engines import Installation
from bench.measured import on_core, on_every_core
from bench.s3_pages import BUCKET
from bench.stage import START_S, NotRight, Stage
from trailhook.cli.client import Client
from trailhook.demo.children import Child

MODULE = "trailhook.demo.product"
LISTENS = "Trailhook listens on "
PREFIX = "AWSLogs/"
RUN_S_MAX = 90.0
ASK_S = 0.2
DAY_S = 86_400
KEYS = {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": secrets.token_urlsafe(30), "region": "us-east-1"}

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Product:
    """A product that runs."""

    child: Child
    client: Client
    stage: Stage

    def add_source(self, name: str, *, prefix: str = PREFIX, interval_s: int = DAY_S, **more: object) -> Document:
        """Register the bucket, or a part of it: it is polled at once."""
        return add_source(self.client, self.stage, name, prefix=prefix, interval_s=interval_s, **more)

    def fetch(self, source: Document) -> None:
        """Have it polled now."""
        self.client.call("POST", "sources", source["id"], "fetch")

    def status(self, source: Document) -> Document:
        """What the API tells of a source."""
        self.child.check()
        status: Document = self.client.call("GET", "sources", source["id"], "status")
        return status

    def wait(self, source: Document, events: int) -> None:
        """Return once so many events have been read and nothing waits."""
        until = time.monotonic() + RUN_S_MAX
        while True:
            status = self.status(source)
            counts = status["counts"]
            if counts["read"] >= events and not counts["waiting"] and not status["units"]["waiting"]:
                return
            if time.monotonic() > until:
                raise NotRight(f"not through after {RUN_S_MAX:.0f} s: {counts}")
            time.sleep(ASK_S)


def add_source(
    client: Client, stage: Stage, name: str, *, prefix: str = PREFIX, interval_s: int = DAY_S, **more: object
) -> Document:
    """Register the bucket, or a part of it, with whoever answers: it is polled at once."""
    document = {
        "sourceType": "aws_cloudtrail",
        "name": name,
        "credentials": KEYS,
        "logFetchInterval": interval_s,
        "callbackUrl": f"http://{stage.sink}/",
        "s3Bucket": BUCKET,
        "s3Prefix": prefix,
        "endpointUrl": f"http://{stage.stub}",
        "startFrom": "beginning",
        **more,
    }
    source: Document = client.call("POST", "add-source", body=document)
    return source


def environment(stages: Sequence[Stage], settings: Mapping[str, str]) -> dict[str, str]:
    """Nothing of ours that is set here, and leave to talk to these ends."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOOK_")}
    return kept | {
        "TRAILHOOK_LOG_LEVEL": "WARNING",
        "TRAILHOOK_ALLOW_HTTP_CALLBACKS": "true",
        "TRAILHOOK_ALLOW_CALLBACK_HOSTS": ",".join(stage.sink for stage in stages),
        "TRAILHOOK_ALLOW_AWS_ENDPOINTS": ",".join(stage.stub for stage in stages),
        "TRAILHOOK_PORT": "0",
        **settings,
    }


@contextlib.contextmanager
def product(
    stage: Stage,
    place: Installation,
    *,
    settings: Mapping[str, str] | None = None,
    module: str = MODULE,
    arguments: Sequence[str] = (),
) -> Iterator[Product]:
    """The product on this installation, until the end of the block; more `settings` by their full names.

    With more workers than one it may use every core.
    """
    environ = environment([stage], {**place.environ, **(settings or {})})
    with on_core(first=True) if environ.get("TRAILHOOK_WORKERS", "1") == "1" else on_every_core():
        child = Child("product", module, [*arguments, "serve"], environ)
    with child:
        yield Product(child, Client(child.wait_for(LISTENS, START_S), place.token), stage)
