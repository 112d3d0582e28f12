"""A webhook receiver on a real socket that keeps what it gets and answers what the test says."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Delivery:
    """One request as it came over the wire."""

    headers: dict[str, str]
    wire: bytes

    @cached_property
    def body(self) -> bytes:
        """The body, inflated where it travelled as gzip."""
        return gzip.decompress(self.wire) if self.headers.get("content-encoding") == "gzip" else self.wire

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.wire).hexdigest()

    @cached_property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def type(self) -> str:
        """The envelope's type."""
        return str(self.document["type"])

    @property
    def events(self) -> list[Any]:
        """The events of an envelope, an array or lines."""
        if self.headers["content-type"].startswith("application/x-ndjson"):
            return [json.loads(line) for line in self.body.splitlines()]
        document = self.document
        if isinstance(document, list):
            return document
        return list(document["data"]["events"]) if document.get("type") == "cloudtrail.events" else []


Answer = int | tuple[int, dict[str, str]]


@dataclass
class Receiver:
    """Everything received, in order. `answer` decides on each delivery; 200 unless the test sets another."""

    port: int = 0
    deliveries: list[Delivery] = field(default_factory=list)
    taken: list[Delivery] = field(default_factory=list)
    """Those that were answered with 2xx."""
    answer: Callable[[Delivery], Answer] = lambda _: 200
    before_answer: Callable[[], Any] | None = None
    """An async function awaited before each answer, to hold it back."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def of_type(self, prefix: str) -> list[Delivery]:
        """Taken envelopes whose type begins so."""
        return [each for each in self.taken if each.type.startswith(prefix)]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines[1:] if line)
                }
                wire = await reader.readexactly(int(headers.get("content-length", "0")))
                delivery = Delivery(headers, wire)
                self.deliveries.append(delivery)
                if self.before_answer is not None:
                    await self.before_answer()
                answer = self.answer(delivery)
                status, extra = answer if isinstance(answer, tuple) else (answer, {})
                if 200 <= status < 300:
                    self.taken.append(delivery)
                more = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{more}content-length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that listens on a free loopback port."""
    receiver = Receiver()
    open_connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(receiver.handle(reader, writer))
        open_connections.add(task)
        task.add_done_callback(open_connections.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 20)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(open_connections):
            task.cancel()
        await asyncio.gather(*open_connections, return_exceptions=True)
