"""Traces to a collector, by OpenTelemetry's SDK over OTLP/HTTP. Loaded only where `TRAILHOOK_OTLP_URL` is set."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from trailhook import __version__
from trailhook.errors import SettingsError
from trailhook.model import Attempt, Batch, BatchKind, NewBatch, Unit
from trailhook.tracing import SPAN_ID_DIGITS, Span, Step, root_of

log = logging.getLogger(__name__)

PATH = "/v1/traces"
"""Where OTLP/HTTP takes traces, if the URL does not say."""
TIMEOUT_S = 5.0
"""What one export may take, with what the exporter tries again; a stop waits for one."""
SPANS_WAITING_MAX = 8_192
"""Spans held for the exporter, some 2 KB each; older ones are dropped beyond it."""
EXPORT_EVERY_MS = 1_000
"""So that a trace is complete within seconds of the answer."""
EXPORT_SPANS_MAX = 512
NS = 1_000_000_000


class OtlpTracing:
    """See `tracing.Tracing`. All of it is called from one thread; a thread of the SDK's sends."""

    def __init__(self, exporter: SpanExporter, *, ratio: float, rng: random.Random) -> None:
        self._exporter = _Telling(exporter)
        self._ratio = ratio
        self._rng = rng
        self._ids = _ChosenIds()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # what is not sampled never comes so far
            resource=Resource({"service.name": "trailhook", "service.version": __version__}).merge(
                OTELResourceDetector().detect()
            ),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=SPANS_WAITING_MAX,
                schedule_delay_millis=EXPORT_EVERY_MS,
                max_export_batch_size=EXPORT_SPANS_MAX,
            )
        )
        self._tracer = self._provider.get_tracer("trailhook", __version__)

    def close(self) -> None:
        """Send what is left, if the collector takes it. Blocks, for one failed export at most."""
        self._exporter.end()
        self._provider.shutdown()

    @property
    def on(self) -> bool:
        return self._ratio > 0

    def frozen(self, source_id: str, batch: NewBatch, steps: Sequence[Step]) -> None:
        root = root_of(batch.id, ratio=self._ratio)
        if not root.sampled:
            return
        began_at, ended_at = min(each.began_at for each in steps), max(each.ended_at for each in steps)
        self._tell("freeze", root, began_at, ended_at, about=_about(source_id, batch))
        for each in steps:
            about = {} if each.unit is None else _about_unit(each.unit)
            kind = SpanKind.INTERNAL if each.unit is None else SpanKind.CLIENT
            self._tell(each.name, self._below(root), each.began_at, each.ended_at, about=about, kind=kind, parent=root)

    def split(self, batch: Batch, children: Sequence[NewBatch], at: float) -> None:
        link = Link(_context(root_of(batch.id, ratio=self._ratio)), {"trailhook.batch.id": batch.id})
        for child in children:
            root = root_of(child.id, ratio=self._ratio)
            if root.sampled:
                self._tell("split", root, at, at, about=_about(batch.source_id, child), links=[link])

    def attempt(self, batch: NewBatch) -> Span | None:
        return self._below(root_of(batch.id, ratio=self._ratio))

    def attempted(self, span: Span | None, batch: Batch, attempt: Attempt) -> None:
        if span is None or not span.sampled:
            return
        about = _about(batch.source_id, batch) | {
            "http.request.method": "POST",
            "http.request.body.size": batch.wire_bytes,
            "trailhook.attempt": attempt.number,
            "trailhook.outcome": attempt.outcome,
        }
        if attempt.status is not None:
            about["http.response.status_code"] = attempt.status
        self._tell(
            "attempt",
            span,
            attempt.started_at,
            attempt.started_at + attempt.took_s,
            about=about,
            kind=SpanKind.CLIENT,
            # A notice, or what is replayed, was not read from anything.
            parent=root_of(batch.id) if batch.kind is BatchKind.EVENTS else None,
            failed=attempt.error,
        )

    def _below(self, root: Span) -> Span:
        return Span(root.trace_id, f"{self._rng.getrandbits(4 * SPAN_ID_DIGITS) or 1:016x}", root.sampled)

    def _tell(
        self,
        name: str,
        span: Span,
        began_at: float,
        ended_at: float,
        *,
        about: Mapping[str, AttributeValue],
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Span | None = None,
        links: Sequence[Link] = (),
        failed: str = "",
    ) -> None:
        self._ids.choose(span)
        above = trace.INVALID_SPAN if parent is None else NonRecordingSpan(_context(parent))
        told = self._tracer.start_span(
            name,
            trace.set_span_in_context(above),
            kind=kind,
            attributes=about,
            links=links,
            start_time=int(began_at * NS),
        )
        if failed:
            told.set_status(Status(StatusCode.ERROR, failed))
        told.end(int(ended_at * NS))


@asynccontextmanager
async def otlp_tracing(url: str, *, ratio: float) -> AsyncIterator[OtlpTracing]:
    """Tracing to a collector while it lasts. Raises `SettingsError` if the URL is none."""
    tracing = OtlpTracing(_exporter(url), ratio=ratio, rng=random.SystemRandom())
    try:
        yield tracing
    finally:
        await asyncio.to_thread(tracing.close)


def _exporter(url: str) -> SpanExporter:
    """The collector's certificate, headers and the like come from OpenTelemetry's own `OTEL_EXPORTER_OTLP_…`."""
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed:
        raise SettingsError(
            "TRAILHOOK_OTLP_URL must look like http://127.0.0.1:4318 or https://otlp.example.com/v1/traces"
        )
    endpoint = url if parts.path.strip("/") else parts._replace(path=PATH).geturl()
    return OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT_S)


class _Telling(SpanExporter):
    """Says once that traces do not arrive, and once that they do again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False
        self._ending = False

    def end(self) -> None:
        """From now on, try nothing more once one export has failed."""
        self._ending = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._ending and self._failing:
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            log.warning("traces do not reach TRAILHOOK_OTLP_URL and are dropped; work goes on")
        elif self._failing and not failing:
            log.info("traces reach TRAILHOOK_OTLP_URL again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _ChosenIds(IdGenerator):
    """Gives the next span the ids that were chosen for it."""

    def __init__(self) -> None:
        self._span = Span("1", "1")

    def choose(self, span: Span) -> None:
        self._span = span

    def generate_trace_id(self) -> int:
        return int(self._span.trace_id, 16)

    def generate_span_id(self) -> int:
        return int(self._span.span_id, 16)


def _context(span: Span) -> SpanContext:
    return SpanContext(
        int(span.trace_id, 16),
        int(span.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if span.sampled else TraceFlags.DEFAULT),
    )


def _about(source_id: str, batch: NewBatch) -> dict[str, AttributeValue]:
    return {
        "trailhook.source.id": source_id,
        "trailhook.batch.id": batch.id,
        "trailhook.batch.kind": batch.kind.value,
        "trailhook.batch.events": batch.count,
        "trailhook.batch.bytes": batch.wire_bytes,
    }


def _about_unit(unit: Unit) -> dict[str, AttributeValue]:
    return {
        "trailhook.unit.intake": unit.intake,
        "trailhook.unit.place": unit.place,
        "trailhook.unit.name": unit.name,
        "trailhook.unit.bytes": unit.size_bytes,
    }
