"""What an answer means: the class that decides about the batch (`settle`) and about its lane (`breaker`)."""

from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus

from trailhook.delivery.headers import kept_of_answer
from trailhook.errors import KeyUnavailable, Refused, StoreUnavailable, TrailhookError
from trailhook.model import Value
from trailhook.net.base import Answer, CertificateRefused, ExchangeFailed
from trailhook.security.redact import redact


class Outcome(StrEnum):
    """The class of an attempt's outcome."""

    DELIVERED = "delivered"
    GONE = "gone"
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    """The receiver does not want this content."""
    CONFIGURATION = "configuration"
    """A person must change something here or there."""
    GUARDED = "guarded"
    """Our own guard would not connect: as CONFIGURATION, with our own remedy."""
    THROTTLED = "throttled"
    TRANSIENT = "transient"
    OURS = "ours"
    """Our own fault: not an attempt."""


class Verdict(Value, frozen=True, kw_only=True):
    """What came of one attempt."""

    outcome: Outcome
    status: int | None = None
    retry_after_s: float | None = None
    """What the receiver asked for, never negative."""
    uncertain: bool = False
    """The request was handed over and no answer came: the receiver may have taken it."""
    timed_out: bool = False
    error: str = ""
    """One sentence, empty when delivered."""
    answer: str = ""
    """The beginning of the answer's body, redacted."""
    received: tuple[tuple[str, str], ...] = ()
    """A few of the answer's headers, redacted."""
    remedy: str = ""


_BY_HUNDRED = {2: Outcome.DELIVERED, 3: Outcome.CONFIGURATION}
_BY_STATUS = {
    400: Outcome.REFUSED,
    401: Outcome.CONFIGURATION,
    403: Outcome.CONFIGURATION,
    404: Outcome.CONFIGURATION,
    405: Outcome.CONFIGURATION,
    410: Outcome.GONE,
    413: Outcome.TOO_LARGE,
    415: Outcome.REFUSED,
    422: Outcome.REFUSED,
    429: Outcome.THROTTLED,
}
"""What decides; every status that is in neither table is TRANSIENT."""

_REMEDIES: dict[int | Outcome, str] = {
    401: "The receiver wants other credentials: set delivery.headers.",
    403: "The receiver forbids this: check delivery.headers, and its own allow-list.",
    404: "Nothing answers at that path: set callbackUrl to the receiver's address.",
    405: "POST is not taken there: set callbackUrl to the address that takes it.",
    Outcome.CONFIGURATION: "Set callbackUrl to the final address; redirects are never followed.",
    Outcome.GONE: "Set another callbackUrl, or resume the source once the receiver is back.",
    Outcome.TOO_LARGE: "Lower delivery.maxBytes, or raise the receiver's limit.",
    Outcome.REFUSED: "See what the receiver answered; delivery.format and delivery.compression change the body.",
}
_CERTIFICATE = "Give the receiver a certificate that verifies, or name its authority in caCertificate."
_OTHER_ADDRESS = "Set callbackUrl to an address that may be called."


def judge(result: Answer | Exception, *, now: float, kept_bytes: int, secrets: Iterable[str] = ()) -> Verdict:
    """The verdict on one exchange: its answer, or what it raised.

    At most `kept_bytes` of the answer are kept, with `secrets` and whatever looks like one taken out first.
    """
    secrets = tuple(secrets)
    if isinstance(result, Answer):
        verdict = _of_answer(result, now)
        received = kept_of_answer(result.headers, secrets)
        return verdict.but(answer=_kept(result.body, kept_bytes, secrets), received=received)
    verdict = _of_error(result)
    return verdict.but(error=redact(verdict.error, secrets))


def _of_answer(answer: Answer, now: float) -> Verdict:
    status = answer.status
    retry_after_s = _retry_after_s(answer.header("retry-after"), now)
    outcome = _outcome(status, retry_after_s)
    if outcome is Outcome.DELIVERED:
        return Verdict(outcome=outcome, status=status)
    return Verdict(
        outcome=outcome,
        status=status,
        retry_after_s=retry_after_s,
        error=f"The receiver answered {_named(status)}.",
        remedy=_REMEDIES.get(status) or _REMEDIES.get(outcome, ""),
    )


def _outcome(status: int, retry_after_s: float | None) -> Outcome:
    if status == HTTPStatus.SERVICE_UNAVAILABLE and retry_after_s is not None:
        return Outcome.THROTTLED
    return _BY_STATUS.get(status, _BY_HUNDRED.get(status // 100, Outcome.TRANSIENT))


def _of_error(error: Exception) -> Verdict:
    match error:
        case StoreUnavailable() | KeyUnavailable():
            return Verdict(outcome=Outcome.OURS, error=str(error))
        case Refused(setting=setting):
            remedy = f"Allow it with {setting}, or: {_OTHER_ADDRESS}" if setting else _OTHER_ADDRESS
            return Verdict(outcome=Outcome.GUARDED, error=str(error), remedy=remedy)
        case CertificateRefused():
            return Verdict(outcome=Outcome.CONFIGURATION, error=str(error), remedy=_CERTIFICATE)
        case ExchangeFailed(sent=sent, timed_out=timed_out):
            return Verdict(outcome=Outcome.TRANSIENT, uncertain=sent, timed_out=timed_out, error=str(error))
    # Nothing says how far it had come, so it may have been taken; a foreign error's text may hold anything.
    text = str(error) if isinstance(error, TrailhookError) else f"Unexpected {type(error).__name__}."
    return Verdict(outcome=Outcome.TRANSIENT, uncertain=True, error=text)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _retry_after_s(text: str | None, now: float) -> float | None:
    """Seconds or an HTTP date (RFC 9110, 10.2.3); nonsense counts as absent."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _kept(body: bytes, kept_bytes: int, secrets: Iterable[str]) -> str:
    """Redacted before it is cut, so that no half of a secret is left at the end."""
    text = redact(body.decode(errors="replace"), secrets)
    return text.encode()[:kept_bytes].decode(errors="ignore")
