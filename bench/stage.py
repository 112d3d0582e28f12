"""Both ends of a run, a stub of S3 and a sink, in processes of their own."""

import contextlib
import http.client
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench import http_server
from bench.corpus import Corpus
from bench.measured import on_core
from trailhook.demo.children import Child

START_S = 30.0
ANSWER_S = 120.0


class NotRight(Exception):
    """What came out is not what went in: figures of such a run mean nothing."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The addresses of the two ends, and what they have seen."""

    corpus: Corpus
    stub: str
    sink: str
    pids: Mapping[str, int]

    def reveal(self, wave: int) -> None:
        """Have a wave of objects in the listings from now on."""
        ask(self.stub, f"/-/reveal/{wave}")

    def open(self, *, opened: bool) -> None:
        """Have the sink take what comes, or answer 503."""
        ask(self.sink, f"/-/{'up' if opened else 'down'}")

    def taken(self) -> Mapping[str, Any]:
        """What the sink has been sent."""
        taken: Mapping[str, Any] = ask(self.sink, "/-/taken")
        return taken

    def check(self, secret: str = "") -> None:
        """Raise `NotRight` unless every distinct event has come exactly once, byte for byte, well signed."""
        wrong = {name: number for name, number in ask(self.sink, f"/-/verify?{secret}").items() if number}
        if wrong:
            raise NotRight(f"{self.corpus.path.name}: {wrong}")

    def listed_to_answered_s(self) -> list[float]:
        """For each file: from the first listing that had it to the sink's answer to its last event."""
        listed, answered = ask(self.stub, "/-/listed"), ask(self.sink, "/-/answered")
        return [at - listed[key] for at, (key, _, _) in zip(answered, self.corpus.objects, strict=False) if at]


def ask(address: str, path: str) -> Any:
    """The JSON that a stub or sink tells of itself."""
    connection = http.client.HTTPConnection(address, timeout=ANSWER_S)
    with contextlib.closing(connection):
        connection.request("GET", path)
        text = connection.getresponse().read()
    return json.loads(text) if text else None


@contextlib.contextmanager
def staged(files: Corpus, *, revealed: bool = True) -> Iterator[Stage]:
    """The ends for a corpus, its first wave in the bucket. Inside, this process keeps off the product's core too."""
    with on_core(first=False), contextlib.ExitStack() as stack:
        ends = {
            name: stack.enter_context(Child(name, f"bench.{module}", [str(files.path)], os.environ))
            for name, module in (("stub", "s3_stub"), ("sink", "sink"))
        }
        stub, sink = (each.wait_for(http_server.READY, START_S) for each in ends.values())
        stage = Stage(files, stub, sink, {name: child.pid for name, child in ends.items()})
        if revealed:
            stage.reveal(0)
        yield stage
