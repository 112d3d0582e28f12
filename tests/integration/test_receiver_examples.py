"""The receivers that the documents show, each run as its first lines say, take what Trailhook sends once."""

import base64
import gzip
import http.client
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.mongod import free_port
from trailhook.delivery import sign

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SECRET = b"a secret of thirty-two bytes, ok"
START_S = 60.0
"""Compiling the one in Go is what takes long."""


@dataclass
class Example:
    """One of the receivers, as a process of its own in a directory of its own."""

    language: str
    directory: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command(),
            cwd=self.directory,
            env={
                **os.environ,
                "RECEIVER_SECRET": "whsec_" + base64.b64encode(SECRET).decode(),
                "RECEIVER_PORT": str(self.port),
            },
            stderr=subprocess.PIPE,
        )
        until_at = time.monotonic() + START_S
        while not self._listens():
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            assert time.monotonic() < until_at, "it does not listen"
            time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def post(self, webhook_id: str, body: bytes, **extra: str) -> int:
        """The status of its answer to a delivery that is signed as ours are."""
        headers = dict(sign.headers(webhook_id, body, time.time(), [SECRET]))
        return self.send(body, {**headers, **{name.replace("_", "-"): value for name, value in extra.items()}})

    def send(self, body: bytes, headers: Mapping[str, str]) -> int:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("POST", "/webhook", body, dict(headers))
            return connection.getresponse().status

    def events(self) -> list[str]:
        """The ids of the events that it has kept, in order."""
        if self.language == "python":
            with closing(sqlite3.connect(self.directory / "events.sqlite")) as store:
                records = store.execute("SELECT record FROM events ORDER BY rowid").fetchall()
                return [json.loads(record)["eventID"] for (record,) in records]
        lines = (self.directory / "deliveries.jsonl").read_text().splitlines()
        bodies = [json.loads(json.loads(line)["body"]) for line in lines]
        return [event["eventID"] for body in bodies for event in body["data"]["events"]]

    def _command(self) -> list[str]:
        if self.language == "python":
            return [sys.executable, str(EXAMPLES / "receiver.py")]
        if self.language == "node":
            return ["node", str(EXAMPLES / "receiver.mjs")]
        program = self.directory / "receiver"
        if not program.exists():
            subprocess.run(["go", "build", "-o", program, EXAMPLES / "receiver.go"], check=True, cwd=self.directory)
        return [str(program)]

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture(params=["python", "node", "go"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Example]:
    language: str = request.param
    if language != "python" and shutil.which(language) is None:
        pytest.skip(f"{language} is not on this machine")
    example = Example(language, tmp_path)
    try:
        example.start()
        yield example
    finally:
        example.kill()


def body_of(*events: str) -> bytes:
    return json.dumps(
        {"type": "cloudtrail.events", "data": {"events": [{"eventID": name} for name in events]}}
    ).encode()


def test_each_delivery_is_taken_once_also_by_one_that_was_killed_between(example: Example) -> None:
    assert example.post("msg_1", body_of("a", "b")) == 204
    assert example.post("msg_1", body_of("a", "b")) == 204
    example.kill()
    example.start()
    assert example.post("msg_1", body_of("a", "b")) == 204
    assert example.post("msg_2", body_of("c")) == 204
    assert example.events() == ["a", "b", "c"]


def test_what_is_not_signed_by_us_is_refused_and_not_kept(example: Example) -> None:
    headers = dict(sign.headers("msg_1", body_of("a"), time.time(), [SECRET]))
    assert example.send(body_of("b"), headers) == 401
    assert example.send(body_of("a"), dict(sign.headers("msg_1", body_of("a"), time.time() - 400, [SECRET]))) == 401
    assert example.send(body_of("a"), {}) == 401
    assert example.post("msg_2", body_of("c")) == 204
    assert example.events() == ["c"]


def test_a_part_of_a_batch_that_was_taken_is_dropped(example: Example) -> None:
    assert example.post("msg_parent", body_of("a", "b")) == 204
    assert example.post("msg_half", body_of("a"), x_trailhook_parent="msg_parent") == 204
    assert example.post("msg_other", body_of("c"), x_trailhook_parent="msg_refused") == 204
    assert example.events() == ["a", "b", "c"]


def test_a_compressed_body_is_verified_as_it_travelled(example: Example) -> None:
    assert example.post("msg_1", gzip.compress(body_of("a"), mtime=0), content_encoding="gzip") == 204
    assert example.events() == ["a"]


def test_a_rotated_secret_that_signs_beside_the_new_one_is_enough(example: Example) -> None:
    headers = dict(sign.headers("msg_1", body_of("a"), time.time(), [b"another one", SECRET]))
    assert example.send(body_of("a"), headers) == 204
