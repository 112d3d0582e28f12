"""What Trailhook tells about itself: metrics for Prometheus, and logs without secrets."""

import json
import logging
import traceback
from collections.abc import Iterable, Mapping
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.registry import Collector

from trailhook import conditions
from trailhook.clock import rfc3339
from trailhook.security.redact import redact
from trailhook.settings import Settings
from trailhook.tracing import root_of

# ----------------------------------------------------------------------------------------------------- metrics

SECONDS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Up to the deadline of a delivery."""


class Metrics:
    """Every metric, in a registry of its own. Names and labels are part of the contract with users."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._events = self._counter("events", "Records by what became of them.", "source", "outcome")
        self._attempts = self._counter("delivery_attempts", "Requests to callbacks by outcome.", "source", "class")
        self._objects = self._counter("objects", "Log objects by how reading them ended.", "source", "outcome")
        self._aws = self._counter("aws_requests", "Requests to AWS by outcome.", "operation", "class")
        self._seconds = Histogram(
            "trailhook_delivery_seconds",
            "How long requests to callbacks took.",
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._lag = self._gauge("lag_seconds", "Age of the oldest event known and not yet sent.", "source")
        self._behind = self._gauge(
            "lookup_behind_seconds", "How long a window of LookupEvents waits because AWS answers no faster.", "source"
        )
        self._up = self._gauge("source_up", "1 while a source is active, else 0.", "source", "status")
        self._silent = self._gauge("silent_regions", "Accounts and regions that nothing comes from any more.", "source")
        self._late = self._gauge("fetch_overdue_seconds", "How long a look for logs is overdue.", "source")
        self._notices = self._counter("notices", "Notices to notify URLs, by number and outcome.", "url", "outcome")
        self._jobs = self._gauge("queue_jobs", "Jobs in the queue.", "state")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"trailhook_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"trailhook_{name}", text, labels, registry=self.registry)

    def events(self, source: str, outcome: str, count: int) -> None:
        """Records of a source were read, sent, filtered, duplicate, quarantined, dead_lettered or replayed."""
        if count:
            self._events.labels(source, outcome).inc(count)

    def attempt(self, source: str, outcome: str, took_s: float) -> None:
        """One request to a callback ended."""
        self._attempts.labels(source, outcome).inc()
        self._seconds.observe(took_s)

    def object(self, source: str, outcome: str) -> None:
        """One log object was read, put off or given up."""
        self._objects.labels(source, outcome).inc()

    def aws_request(self, operation: str, outcome: str) -> None:
        """One request to AWS ended."""
        self._aws.labels(operation, outcome).inc()

    def notice(self, number: int, outcome: str) -> None:
        """A notice to one of the notify URLs was sent, failed (it is tried again) or given_up."""
        self._notices.labels(str(number), outcome).inc()

    def forget(self, source: str) -> None:
        """Drop every series of a source that was removed."""
        gauges = (self._lag, self._behind, self._silent, self._late, self._up)
        for metric in (self._events, self._attempts, self._objects, *gauges):
            metric.remove_by_labels({"source": source})

    def set_gauges(
        self,
        *,
        statuses: Mapping[str, str],
        lags_s: Mapping[str, float],
        jobs: Mapping[str, int],
        behind_s: Mapping[str, float] | None = None,
        silent: Mapping[str, int] | None = None,
        overdue_s: Mapping[str, float] | None = None,
    ) -> None:
        """How things are now: statuses, lags, how far LookupEvents are behind, silent places and overdue looks, each by
        the ids of their sources, and the queue's jobs by state.
        """
        for gauge in (self._lag, self._behind, self._up, self._silent, self._late, self._jobs):
            gauge.clear()
        for source, status in statuses.items():
            self._up.labels(source, status).set(status == conditions.ACTIVE)
        for source, lag_s in lags_s.items():
            self._lag.labels(source).set(lag_s)
        for source, waited_s in (behind_s or {}).items():
            self._behind.labels(source).set(waited_s)
        for source, count in (silent or {}).items():
            self._silent.labels(source).set(count)
        for source, late_s in (overdue_s or {}).items():
            self._late.labels(source).set(late_s)
        for state, count in jobs.items():
            self._jobs.labels(state).set(count)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(_WithoutBirthdays(self.registry))


class _WithoutBirthdays(Collector):
    """A registry without the `_created` series that the client library adds to every counter."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


# -------------------------------------------------------------------------------------------------------- logs

_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_TALKATIVE = ("botocore", "boto3", "s3transfer", "urllib3", "asyncio")
"""Libraries whose DEBUG output carries credentials or request bodies, or floods."""
_SECRETIVE = ("apprise", "opentelemetry")
"""Libraries whose words may hold the URLs they were given, which are secrets: they say nothing at all."""
_CHATTY = ("uvicorn",)
"""Libraries whose INFO says nothing that we do not say ourselves."""


class TraceIds(logging.Filter):
    """Gives lines about a batch the id of its trace."""

    def filter(self, record: logging.LogRecord) -> bool:
        batch = getattr(record, "batch", None)
        if batch is not None:
            record.trace_id = root_of(batch).trace_id
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": rfc3339(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
            **{name: redact(str(value)) for name, value in _extras(record).items()},
        }
        if record.exc_info:
            fields["exception"] = redact("".join(traceback.format_exception(*record.exc_info)))
        return json.dumps(fields, ensure_ascii=False)


class ConsoleFormatter(logging.Formatter):
    """One line for a person, fields behind the message, tracebacks below."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={value}" for name, value in _extras(record).items())
        text = f"{rfc3339(record.created)} {record.levelname:<7} {record.name} {record.getMessage()}{fields}"
        text = text.replace("\r", "\\r").replace("\n", "\\n")
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return redact(text)


def configure_logging(settings: Settings, stream: TextIO, *, root: logging.Logger | None = None) -> logging.Handler:
    """Send every log line to `stream`, as the settings say, and nowhere else. Returns the handler that does it."""
    root = root or logging.getLogger()
    chosen = settings.log_format or ("console" if stream.isatty() else "json")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if chosen == "json" else ConsoleFormatter())
    if settings.otlp_url is not None:
        handler.addFilter(TraceIds())
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, root.level))
    for name in _SECRETIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    return handler


def _extras(record: logging.LogRecord) -> dict[str, object]:
    """What the caller gave as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
