"""Calls an ASGI application in this process, without a socket."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def fields(self) -> list[str]:
        """The fields that a problem document names."""
        return [each["field"] for each in self.json["errors"]]


@dataclass
class Client:
    """`token` is sent with every request unless it is None."""

    app: ASGIApp
    token: str | None = None
    replies: list[Reply] = field(default_factory=list)
    """Everything that was ever answered."""

    async def call(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        chunks: Sequence[bytes] | None = None,
    ) -> Reply:
        """One request. `body` is sent as JSON, or as it is if it is bytes; `chunks` go out without a length."""
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"host": "trailhook.test"}
        if self.token is not None:
            sent["authorization"] = f"Bearer {self.token}"
        if content or chunks:
            sent["content-type"] = "application/json"
        sent |= {"transfer-encoding": "chunked"} if chunks else {"content-length": str(len(content))}
        sent |= headers or {}
        pending = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in (chunks or [content])] + [
            {"type": "http.request", "body": b"", "more_body": False}
        ]
        got: list[Message] = []

        async def receive() -> Message:
            return pending.pop(0) if pending else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            got.append(message)

        await self.app(_scope(method, target, sent), receive, send)
        reply = Reply(
            got[0]["status"],
            {name.decode(): value.decode() for name, value in got[0]["headers"]},
            b"".join(message.get("body", b"") for message in got[1:]),
        )
        self.replies.append(reply)
        return reply

    async def get(self, target: str) -> Any:
        """The JSON of a GET that must succeed."""
        return await self._good("GET", target, None)

    async def post(self, target: str, body: object = None) -> Any:
        """The JSON of a POST that must succeed."""
        return await self._good("POST", target, body)

    async def _good(self, method: str, target: str, body: object) -> Any:
        reply = await self.call(method, target, body)
        assert reply.status in (200, 201, 202), (reply.status, reply.body)
        return reply.json


def _scope(method: str, target: str, headers: Mapping[str, str]) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }
