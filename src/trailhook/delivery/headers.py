"""The headers of a delivery and of its answer: what is sent, and what of them is kept with the attempt."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from trailhook import __version__
from trailhook.delivery.sign import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from trailhook.model import Attempt, Batch, BatchKind, NewBatch
from trailhook.security.redact import MASK, redact
from trailhook.tracing import HEADER as TRACE_HEADER

Headers = Sequence[tuple[str, str]]

AGENT: Final = ("user-agent", f"Trailhook/{__version__}")
VALUE_CHARACTERS_MAX: Final = 200
TELLING: Final = (
    "content-type",
    "content-length",
    "date",
    "server",
    "via",
    "location",
    "retry-after",
    "allow",
    "www-authenticate",
    "x-request-id",
    "x-correlation-id",
    "x-amzn-requestid",
    "x-amzn-errortype",
    "x-amz-cf-id",
    "cf-ray",
)
"""Headers of an answer that help to find out what happened there; cookies and the like are none of our business."""


def of_batch(batch: NewBatch, source_id: str, attempt: int) -> Headers:
    """Those that follow from the batch and the number of the attempt."""
    optional = (
        ("content-encoding", batch.content_encoding),
        ("x-trailhook-parent", batch.parent),
        ("x-trailhook-replay", "true" if batch.kind is BatchKind.REPLAY else ""),
    )
    return [
        ("content-type", batch.content_type),
        ("accept-encoding", "identity"),
        ("x-trailhook-source", source_id),
        ("x-trailhook-attempt", str(attempt)),
        *((name, value) for name, value in optional if value),
    ]


def kept_of_request(headers: Headers, own: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Those that cannot be told from the batch afterwards, without what is secret: signatures, and the values of the
    user's `own`.
    """
    return tuple(
        (name, MASK if name in own else _signatures_masked(value) if name == SIGNATURE_HEADER else value)
        for name, value in headers
        if name in own or name in (AGENT[0], TIMESTAMP_HEADER, SIGNATURE_HEADER, TRACE_HEADER)
    )


def _signatures_masked(value: str) -> str:
    return " ".join(f"{each.partition(',')[0]},{MASK}" for each in value.split(" "))


def kept_of_answer(headers: Headers, secrets: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The telling ones, each once, cut short, with `secrets` and whatever looks like one taken out."""
    known = tuple(secrets)
    first = {name: value for name, value in reversed(headers) if name in TELLING}
    return tuple((name, redact(first[name], known)[:VALUE_CHARACTERS_MAX]) for name in TELLING if name in first)


def as_sent(batch: Batch, attempt: Attempt) -> Headers:
    """All that an attempt sent, with *** for what is secret. Of an attempt without any (ours failed first) none."""
    if not attempt.sent:
        return ()
    return [
        *of_batch(batch, batch.source_id, attempt.number),
        ("content-length", str(batch.wire_bytes)),
        (ID_HEADER, batch.id),
        *attempt.sent,
    ]
