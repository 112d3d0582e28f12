"""A small HTTP server for webhooks: what `trailhook listen` and the demo's receiver stand on."""

import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import uvicorn

from trailhook.errors import TrailhookError

BODY_BYTES_MAX = 64 * 1024 * 1024
STOP_S = 2


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


Take = Callable[[Mapping[str, str], bytes], Reply]
"""Gets the headers (lower-case names) and the body as it came over the wire; called in the server's own thread."""


class CannotListen(TrailhookError):
    """The address is taken, or is not this machine's."""


class HookServer:
    """Listens from construction on, answers while it is entered, in a thread of its own."""

    def __init__(self, take: Take, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Port 0 takes a free one. Raises `CannotListen`."""
        self._take = take
        try:
            self._socket = socket.create_server((host, port))
        except OSError as error:
            why = str(error.strerror).partition(" (")[0]
            raise CannotListen(f"Cannot listen on {host}:{port}: {why}. Choose another --host or --port.") from error
        self.address = f"{host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            lifespan="off",
            proxy_headers=False,
            ws="none",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_S,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    async def _answer(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        """The ASGI face."""
        body = await _body(receive)
        if scope["method"] != "POST":
            reply = Reply(405, (("allow", "POST"),))
        elif body is None:
            reply = Reply(413)
        else:
            reply = self._take(
                {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}, body
            )
        length = ("content-length", str(len(reply.body)))
        headers = [(name.encode(), value.encode("latin-1")) for name, value in (*reply.headers, length)]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})


async def _body(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> bytes | None:
    """The whole body, None if it is too long."""
    parts, length = [], 0
    while True:
        message = await receive()
        length += len(message.get("body", b""))
        if length > BODY_BYTES_MAX:
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
