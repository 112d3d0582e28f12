"""The smallest HTTP/1.1 server that a benchmark needs: so fast that it is not what is measured."""

import asyncio
import json
import re
import sys
from collections.abc import Callable
from typing import cast

import uvloop

from trailhook.parent import end_with_parent

READY = "ready at "
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

Answer = Callable[[str, bytes, bytes], bytes]
"""From a path, the request's head and its body to the answer as it goes over the wire."""

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._wanted_bytes = 0
        """How long the request under way is, 0 while its head has not come whole."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        while self._held_bytes and self._held_bytes >= self._wanted_bytes:
            whole = b"".join(self._held)
            self._held = [whole]
            head_end = whole.find(b"\r\n\r\n")
            if head_end < 0:
                return
            length = _LENGTH.search(whole, 0, head_end)
            self._wanted_bytes = head_end + 4 + (int(length[1]) if length else 0)
            if len(whole) < self._wanted_bytes:
                return
            self._one(whole[:head_end], whole[head_end + 4 : self._wanted_bytes])
            rest = whole[self._wanted_bytes :]
            self._held, self._held_bytes, self._wanted_bytes = [rest], len(rest), 0

    def _one(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].decode("latin-1")
        self._transport.write(self._answer(path, head, body))


def answered(body: bytes, kind: str = "application/json", more: str = "") -> bytes:
    """A good answer with a body."""
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{more}content-length: {len(body)}\r\n\r\n".encode() + body


def answered_json(value: object) -> bytes:
    """A good answer with a value."""
    return answered(json.dumps(value).encode())


def serve(answer: Answer) -> None:
    """Listen on a free port, say which, and go on until told to end."""
    end_with_parent()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(answer), "127.0.0.1", 0, backlog=512)
        print(f"{READY}127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        async with server:
            await server.serve_forever()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except KeyboardInterrupt:
        sys.exit(0)
