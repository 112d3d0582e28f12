"""What an outbound request is, for callbacks and AWS alike: one verb, no redirects, no environment, one deadline."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from trailhook.errors import TrailhookError, Transient
from trailhook.model import Value


class Request(Value, frozen=True, kw_only=True):
    """One HTTP/1.1 request. `headers` are sent as given, `host` and `content-length` are added."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    body_bytes_max: int = 64 * 1024
    """How much of the answer's body is kept; see `cut_long_answers`."""
    cut_long_answers: bool = True
    """True: a longer answer is cut there and its connection closed. False: a longer one raises `AnswerTooLong`."""
    deadline_s: float = 30.0
    """For the whole exchange, from the resolver to the last byte of the answer's body."""
    ca_certificate: str | None = None
    """PEM to trust instead of the system's authorities."""


class Answer(Value, frozen=True, kw_only=True):
    """What came back. `headers` have lower-case names, in the order received; the body is not decoded."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    cut: bool = False
    """The body was longer than asked for."""
    broken: str = ""
    """Why the body broke off after the status line and headers had come whole, if it did."""

    def header(self, name: str) -> str | None:
        """The first header of that (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)


class Phase(StrEnum):
    """How far an exchange had come when it failed."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    SEND = "send"
    ANSWER = "answer"


class ExchangeFailed(Transient):
    """No status came back. `sent`: the request had been handed over whole, so it may have been carried out."""

    def __init__(self, phase: Phase, message: str, *, sent: bool = False, timed_out: bool = False) -> None:
        super().__init__(message)
        self.phase = phase
        self.sent = sent
        self.timed_out = timed_out


class CertificateRefused(TrailhookError):
    """The server's certificate does not verify."""


class AnswerTooLong(TrailhookError):
    """The answer's body is longer than `body_bytes_max`."""


class Transport(Protocol):
    """Sends requests. Safe for many at a time; connections are kept and used again."""

    async def send(self, request: Request) -> Answer:
        """One exchange, never following a redirect.

        Raises `Refused` (the guard, before anything is connected), `CertificateRefused`, `AnswerTooLong` or
        `ExchangeFailed`. An answer whose status and headers came whole is returned even if its body then breaks.
        """
