"""A raw HTTP server on loopback that does to each connection exactly what a test's script says."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, cast


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def response(status: int = 200, body: bytes = b"ok", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer with its `content-length`."""
    lines = [f"HTTP/1.1 {status} Something", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Visit:
    """One connection as a script sees it. `number` counts from 0; `gone` is set once the connection has ended."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.received: list[Received] = []
        self.gone = asyncio.Event()
        self._reader = reader
        self._writer = writer

    async def request(self) -> Received:
        """The next request, whole. Raises IncompleteReadError if the other side leaves first."""
        method, path, headers = await self.head()
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        self.received.append(Received(method, path, headers, body))
        return self.received[-1]

    async def head(self) -> tuple[str, str, Mapping[str, str]]:
        """Method, path and headers of the next request; its body stays unread."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        return method, path, {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def hang(self) -> None:
        """Say nothing, read whatever comes, until the other side leaves."""
        while await self._reader.read(64 * 1024):
            pass

    async def stall(self) -> None:
        """Say nothing and read nothing, until the server is closed."""
        cast(asyncio.ReadTransport, self._writer.transport).pause_reading()
        await asyncio.Event().wait()

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Script = Callable[[Visit], Awaitable[None]]
"""What happens to one connection. When it returns, the connection is closed; that the other side left is no error."""


async def say_ok(visit: Visit) -> None:
    """200 to every request, keeping the connection."""
    while True:
        await visit.request()
        await visit.send(response())


class WebServer:
    """`async with WebServer(script) as server`: runs `script` for each connection; an error in it fails the test."""

    def __init__(self, script: Script = say_ok, *, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()
        self.visits: list[Visit] = []
        self.port = 0

    @property
    def received(self) -> list[Received]:
        """Every request, connection by connection."""
        return [each for visit in self.visits for each in visit.received]

    def url(self, path: str = "/", *, host: str = "127.0.0.1") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    @property
    def host_and_port(self) -> str:
        """As the settings list an allowed host."""
        return f"127.0.0.1:{self.port}"

    async def visit(self, number: int = 0) -> Visit:
        """The connection of that number, once it is there."""
        while len(self.visits) <= number:
            self._arrived.clear()
            await self._arrived.wait()
        return self.visits[number]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._open, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        if failures := [each for each in ended if isinstance(each, Exception)]:
            raise failures[0]

    def _open(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = Visit(len(self.visits), reader, writer)
        self.visits.append(visit)
        self._arrived.set()
        self._tasks.add(asyncio.create_task(self._run(visit, writer)))

    async def _run(self, visit: Visit, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._script(visit)
        finally:
            visit.gone.set()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
