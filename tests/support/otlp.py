"""A collector of traces on loopback: takes OTLP over HTTP and keeps the spans."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue


@dataclass(frozen=True)
class ToldSpan:
    """One span as it came; ids are hexadecimal, empty where there is none."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    began_at: float
    ended_at: float
    about: dict[str, Any]
    failed: str
    links: list[str]
    """The trace ids of its links."""


@dataclass
class Collector:
    """What was told, in order."""

    url: str
    status: int = 200
    """What to answer."""
    spans: list[ToldSpan] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """The paths of all requests."""
    services: set[str] = field(default_factory=set)

    def of(self, trace_id: str) -> Sequence[ToldSpan]:
        """The spans of a trace, by when they began and what they are called."""
        return sorted((each for each in self.spans if each.trace_id == trace_id), key=lambda e: (e.began_at, e.name))

    def named(self, name: str) -> Sequence[ToldSpan]:
        return [each for each in self.spans if each.name == name]

    def take(self, path: str, body: bytes) -> int:
        self.asked.append(path)
        if self.status == 200:
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.services |= {
                    str(_value(each.value)) for each in group.resource.attributes if each.key == "service.name"
                }
                self.spans += [_told(span) for scope in group.scope_spans for span in scope.spans]
        return self.status


def _told(span: Any) -> ToldSpan:
    return ToldSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        began_at=span.start_time_unix_nano / 1e9,
        ended_at=span.end_time_unix_nano / 1e9,
        about={each.key: _value(each.value) for each in span.attributes},
        failed=span.status.message,
        links=[each.trace_id.hex() for each in span.links],
    )


def _value(value: AnyValue) -> Any:
    return getattr(value, str(value.WhichOneof("value")))


@contextmanager
def collecting() -> Iterator[Collector]:
    """One on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = collector.take(self.path, self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
