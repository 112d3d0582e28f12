"""How many GETs a second the stub answers to a client that does nothing but ask."""

import asyncio
import time
from typing import cast
from urllib.parse import quote

import uvloop

from bench.measured import on_core

CONNECTIONS = 8
SECONDS = 0.5


class _Asker(asyncio.Protocol):
    """Asks again as soon as an answer is whole."""

    def __init__(self, request: bytes, answer_bytes: int) -> None:
        self._request = request
        self._answer_bytes = answer_bytes
        self._come_bytes = 0
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._come_bytes += len(data)
        if self._come_bytes >= self._answer_bytes:
            self._come_bytes -= self._answer_bytes
            self.answers += 1
            self._transport.write(self._request)


def gets_per_s(address: str, bucket: str, key: str) -> float:
    """Of one object, over several connections, for half a second."""
    with on_core(first=True), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(address, f"/{bucket}/{quote(key)}"))


async def _measure(address: str, path: str) -> float:
    host, port = address.split(":")
    request = f"GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    writer.close()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Asker(request, len(head) + length), host, int(port))
        for _ in range(CONNECTIONS)
    ]
    started_s = time.monotonic()
    await asyncio.sleep(SECONDS)
    answers = sum(asker.answers for _, asker in made)
    took_s = time.monotonic() - started_s
    for transport, _ in made:
        transport.close()
    return answers / took_s
