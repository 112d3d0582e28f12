"""Numbers, times and states as people read them: the filters of the templates."""

import json
from datetime import UTC, datetime
from typing import Any

from trailhook import conditions
from trailhook.clock import rfc3339
from trailhook.delivery.outcome import Outcome
from trailhook.errors import FetchState
from trailhook.model import BatchState

RETRYING = "retrying"
"""How a waiting delivery is called that was tried before."""
STATES: dict[str, tuple[str, str]] = {
    conditions.ACTIVE: ("Active", "ok"),
    conditions.PAUSED: ("Paused", "idle"),
    conditions.DELIVERY_FAILING: ("Delivery failing", "bad"),
    conditions.NEEDS_ATTENTION: ("Needs attention", "warn"),
    FetchState.CLOCK_SKEWED: ("Clock skewed", "warn"),
    FetchState.MISCONFIGURED: ("Misconfigured", "bad"),
    FetchState.ACCESS_DENIED: ("Access denied", "bad"),
    FetchState.CREDENTIALS_EXPIRED: ("Credentials expired", "bad"),
    FetchState.CREDENTIALS_INVALID: ("Credentials invalid", "bad"),
    BatchState.WAITING: ("Waiting", "idle"),
    RETRYING: ("Retrying", "warn"),
    BatchState.DELIVERED: ("Delivered", "ok"),
    BatchState.DEAD: ("Dead letter", "bad"),
    BatchState.DISCARDED: ("Discarded", "idle"),
    BatchState.SPLIT: ("Split", "idle"),
}
"""Each state as a person reads it, and its tone: which shape and colour it has."""
OUTCOMES = {
    Outcome.DELIVERED: ("Taken", "ok"),
    Outcome.GONE: ("Gone for good", "bad"),
    Outcome.TOO_LARGE: ("Too large", "bad"),
    Outcome.REFUSED: ("Refused", "bad"),
    Outcome.CONFIGURATION: ("Set up wrong", "bad"),
    Outcome.GUARDED: ("May not be called", "bad"),
    Outcome.THROTTLED: ("Asked to slow down", "warn"),
    Outcome.TRANSIENT: ("Failed for now", "warn"),
    Outcome.OURS: ("Our own fault", "bad"),
}
"""What came of an attempt, in words, and its tone."""
REASONS = {
    "altered": "Not what was signed",
    "bomb": "Inflates to too much",
    "corrupt": "Damaged gzip",
    "empty": "Empty",
    "no_records": "No Records in it",
    "not_gzip": "Not gzip",
    "not_json": "Not JSON",
    "not_read": "Not read",
    "reader_lost": "Ends whoever reads it",
    "records_not_a_list": "Records is no list",
    "refused": "AWS refuses it",
    "too_large": "Too large",
    "too_many_bad": "Too many bad events",
    "trailing_bytes": "Bytes after the end",
    "truncated": "Cut short",
}
"""Why something is in quarantine."""
_SPANS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_KIB = 1024


def state_name(state: str) -> str:
    """`delivery_failing` as `Delivery failing`."""
    return STATES[state][0] if state in STATES else state.replace("_", " ").capitalize()


def reason_name(reason: str) -> str:
    """`not_json` as `Not JSON`."""
    return REASONS.get(reason, state_name(reason))


def tone(state: str) -> str:
    """`ok`, `idle`, `warn` or `bad`."""
    return STATES[state][1] if state in STATES else "idle"


def outcome_name(outcome: str) -> str:
    """`too_large` as `Too large`; nothing yet as `Not tried yet`."""
    return OUTCOMES[Outcome(outcome)][0] if outcome else "Not tried yet"


def outcome_tone(outcome: str) -> str:
    """`ok`, `idle`, `warn` or `bad`."""
    return OUTCOMES[Outcome(outcome)][1] if outcome else "idle"


def number(count: float) -> str:
    """`1234567` as `1,234,567`."""
    return f"{count:,.0f}"


def span(seconds: float) -> str:
    """A length of time in its two largest units: `2 d 4 h`, `3 m 20 s`, `0 s`."""
    left, said = int(seconds), []
    for unit_s, name in _SPANS:
        if left >= unit_s:
            said.append(f"{left // unit_s} {name}")
            left %= unit_s
        elif said:
            break
    return " ".join(said[:2]) or "0 s"


def duration(seconds: float) -> str:
    """A short length of time: `240 ms`, `3.2 s`, `2 m 5 s`."""
    if seconds < 1:
        return f"{seconds * 1_000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < _SPANS[-2][0] else span(seconds)


def size(count: int) -> str:
    """Bytes: `1.5 MiB`."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < _KIB:
            break
        value, unit = value / _KIB, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def moment(at: float | str | None) -> str:
    """A time (seconds, or as the API writes it) as `2026-01-31 12:00:00 UTC`."""
    if at is None:
        return "never"
    instant = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at, UTC)
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: float | str) -> str:
    """A time for a `<time datetime>`."""
    return at if isinstance(at, str) else rfc3339(at)


CHECKS = {
    "identity": "Credentials",
    "list": "Finding logs",
    "get": "Reading a log",
    "s3": "Bucket",
    "queue": "Queue",
    "sqs": "Queue",
    "lookup": "LookupEvents",
    "callback": "Webhook",
}
"""What a check of a source is called."""


def check_name(name: str) -> str:
    """`list` as `Finding logs`."""
    return CHECKS.get(name, name.capitalize())


def tojson_pretty(document: Any) -> str:
    """A document as JSON for people to read and copy."""
    return json.dumps(document, indent=2)


FILTERS: dict[str, Any] = {
    "check_name": check_name,
    "tojson_pretty": tojson_pretty,
    "reason_name": reason_name,
    "state_name": state_name,
    "tone": tone,
    "outcome_name": outcome_name,
    "outcome_tone": outcome_tone,
    "number": number,
    "span": span,
    "duration": duration,
    "size": size,
    "moment": moment,
    "iso": iso,
}
