"""A small HTTP server that answers as the script says, and keeps what it was asked: for the command line's tests."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = "application/json"


@dataclass(frozen=True)
class Asked:
    """One request: method, path with query, headers (lower-case names) and the body's JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class ScriptedApi:
    """Answers by (method, path); several answers to one are given in turn, the last again and again."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    _answers: dict[tuple[str, str], list[tuple[int, bytes, Mapping[str, str]]]] = field(default_factory=dict)

    def on(
        self,
        method: str,
        path: str,
        content: object = None,
        *,
        status: int = 200,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Add an answer: `content` as JSON, or `raw` as it is."""
        body = raw if raw is not None else b"" if content is None else json.dumps(content).encode()
        self._answers.setdefault((method, path), []).append((status, body, headers or {}))

    def answer(self, asked: Asked) -> tuple[int, bytes, Mapping[str, str]]:
        self.asked.append(asked)
        script = self._answers.get((asked.method, asked.path))
        if not script:
            return (
                404,
                json.dumps({"title": "Not Found", "detail": "There is nothing here.", "errors": []}).encode(),
                {},
            )
        return script.pop(0) if len(script) > 1 else script[0]

    @property
    def calls(self) -> Sequence[str]:
        """`METHOD path` of every request."""
        return [f"{each.method} {each.path}" for each in self.asked]


@contextmanager
def scripted_api() -> Iterator[ScriptedApi]:
    """One on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            content = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body, more = api.answer(
                Asked(self.command, self.path, headers, json.loads(content) if content else None)
            )
            self.send_response(status)
            for name, value in {"content-type": JSON, "content-length": str(len(body)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api = ScriptedApi(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
