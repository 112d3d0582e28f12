"""Metrics keep to their names; logs keep secrets out."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from trailhook.clock import from_rfc3339
from trailhook.security.redact import redact
from trailhook.settings import Settings
from trailhook.telemetry import Metrics, configure_logging
from trailhook.tracing import root_of

CONTRACT = {
    "trailhook_events_total": {"source", "outcome"},
    "trailhook_delivery_attempts_total": {"source", "class"},
    "trailhook_delivery_seconds": set(),
    "trailhook_lag_seconds": {"source"},
    "trailhook_objects_total": {"source", "outcome"},
    "trailhook_source_up": {"source", "status"},
    "trailhook_queue_jobs": {"state"},
    "trailhook_aws_requests_total": {"operation", "class"},
}


def test_metrics_have_the_names_and_labels_that_users_rely_on() -> None:
    metrics = Metrics()
    metrics.events("s", "read", 2)
    metrics.attempt("s", "delivered", 0.1)
    metrics.object("s", "done")
    metrics.aws_request("GetObject", "ok")
    metrics.set_gauges(statuses={"s": "active"}, lags_s={"s": 1.5}, jobs={"waiting": 0})
    found: dict[str, set[str]] = {}
    for line in metrics.text().decode().splitlines():
        if not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            name = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
            found.setdefault(name, set()).update(
                pair.partition("=")[0] for pair in labels.rstrip("}").split(",") if pair and not pair.startswith("le=")
            )
    assert found == CONTRACT


def test_two_sets_of_metrics_do_not_meet() -> None:
    one, other = Metrics(), Metrics()
    one.events("s", "read", 2)
    assert b'source="s"' not in other.text()


def test_gauges_forget_what_is_gone() -> None:
    metrics = Metrics()
    metrics.set_gauges(statuses={"a": "active"}, lags_s={"a": 1.0}, jobs={})
    metrics.set_gauges(statuses={"b": "paused"}, lags_s={"b": 0.0}, jobs={})
    assert b'source="a"' not in metrics.text()
    assert b'trailhook_source_up{source="b",status="paused"} 0.0' in metrics.text()


# --------------------------------------------------------------------------------------------------------- logs


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """A root of its own, so that the process's logging stays as it is."""
    talkative = [
        logging.getLogger(name) for name in ("botocore", "boto3", "s3transfer", "urllib3", "asyncio", "uvicorn")
    ]
    levels = [logger.level for logger in talkative]
    yield logging.Logger("test")
    for logger, level in zip(talkative, levels, strict=True):
        logger.setLevel(level)


def test_a_json_line_has_the_time_the_words_and_the_fields(root: logging.Logger) -> None:
    stream = io.StringIO()
    configure_logging(Settings(log_format="json"), stream, root=root)
    root.warning("source %s is slow", "x", extra={"source": "abc", "took_s": 1.5})
    line = json.loads(stream.getvalue())
    assert (line["level"], line["message"], line["source"]) == ("WARNING", "source x is slow", "abc")
    assert line["at"].endswith("Z")
    assert from_rfc3339(line["at"]) > 0


def test_a_console_line_stays_one_line(root: logging.Logger) -> None:
    stream = io.StringIO()
    configure_logging(Settings(log_format="console"), stream, root=root)
    root.error("bad\nname", extra={"key": "x"})
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().rstrip().endswith("bad\\nname key=x")


def test_a_stream_that_is_no_terminal_gets_json(root: logging.Logger) -> None:
    stream = io.StringIO()
    configure_logging(Settings(), stream, root=root)
    root.info("hello")
    assert json.loads(stream.getvalue())["message"] == "hello"


def test_configuring_again_replaces_the_handler(root: logging.Logger) -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging(Settings(), first, root=root)
    configure_logging(Settings(), second, root=root)
    root.info("hello")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_the_web_server_says_nothing_while_all_is_well(root: logging.Logger) -> None:
    configure_logging(Settings(log_level="DEBUG"), io.StringIO(), root=root)
    assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.INFO)
    assert logging.getLogger("uvicorn.error").isEnabledFor(logging.WARNING)


def test_libraries_that_print_credentials_are_never_at_debug(root: logging.Logger) -> None:
    configure_logging(Settings(log_level="DEBUG"), io.StringIO(), root=root)
    assert root.isEnabledFor(logging.DEBUG)
    for name in ("botocore", "botocore.auth", "urllib3.connectionpool", "boto3"):
        assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)


SECRETS = [
    "th_" + "abcdefghijklmnopqrstuvwxyz234567" * 2,
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "Bearer abcdefghijkl.mnop",
    "authorization: Basic dXNlcjpwYXNz",
    "https://s3.amazonaws.com/k?X-Amz-Security-Token=FwoGZXIvYXdzEB&x=1",
    "X-Amz-Signature=0123456789abcdef",
    "{'secretAccessKey': 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'}",
    "aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    'sessionToken="FwoGZXIvYXdzEBYaDHh4"',
    "mongodb://trailhook:hunter2hunter2@db.example:27017/x",
    "AKIAIOSFODNN7EXAMPLE",
]
KEPT_OUT = ["abcdefghijkl", "C2FVsBQ", "dXNlcj", "FwoGZX", "0123456789abcdef", "wJalr", "hunter2", "IOSFODNN7"]


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("text", SECRETS)
def test_what_looks_like_a_secret_is_blotted_out_wherever_it_stands(
    root: logging.Logger, text: str, log_format: str
) -> None:
    stream = io.StringIO()
    configure_logging(Settings(log_format=log_format), stream, root=root)
    try:
        raise ValueError(text)
    except ValueError:
        root.exception("failed with %s", text, extra={"field": text})
    assert "ValueError" in stream.getvalue()
    assert not any(part in stream.getvalue() for part in KEPT_OUT)


@pytest.mark.parametrize(
    "text",
    ["source 3f2a is active", "GET /sources?limit=5", "msg_abcdefghijklmnopqrstuvwxyz", "https://example.com:443/x"],
)
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


def test_lines_about_a_batch_have_the_id_of_its_trace_where_there_are_traces(root: logging.Logger) -> None:
    traced, untraced = io.StringIO(), io.StringIO()
    for stream, settings in ((traced, Settings(otlp_url="http://127.0.0.1:4318")), (untraced, Settings())):
        configure_logging(settings, stream, root=root)
        root.warning("dead letter", extra={"source": "abc", "batch": "msg_a"})
        root.warning("no batch", extra={"source": "abc"})
    dead, other = map(json.loads, traced.getvalue().splitlines())
    assert dead["trace_id"] == root_of("msg_a").trace_id
    assert "trace_id" not in other
    assert "trace_id" not in untraced.getvalue()
