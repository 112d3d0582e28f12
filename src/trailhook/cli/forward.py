"""Handing a delivery on to a program on this machine, as it came, and its answer back."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from trailhook.cli.hooks import Reply
from trailhook.errors import SettingsError, TrailhookError

TIMEOUT_S = 30.0
"""Trailhook waits no longer for the whole."""
ANSWER_BYTES_MAX = 1024 * 1024
OF_THE_CONNECTION = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
"""Headers that tell of one connection, and not of what travels over it (RFC 9110, 7.6.1)."""


class NotForwarded(TrailhookError):
    """The program did not answer."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Where deliveries are handed on to."""

    host: str
    port: int
    target: str

    @classmethod
    def to(cls, url: str) -> Self:
        """Raises `SettingsError` if it is no http URL."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or http.client.HTTP_PORT
        except ValueError:
            parts, host, port = urlsplit(""), None, 0
        if parts.scheme != "http" or not host:
            raise SettingsError("--forward is an http URL, such as http://127.0.0.1:3000/hook")
        return cls(host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))

    def __call__(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """The program's answer to these very bytes, with all headers but those of the connection. Redirects are not
        followed: Trailhook does not follow them either. Raises `NotForwarded`.
        """
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        try:
            connection.putrequest("POST", self.target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name not in OF_THE_CONNECTION and name not in ("host", "content-length"):
                    connection.putheader(name, value)
            connection.putheader("host", f"{self.host}:{self.port}")
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NotForwarded(f"{self.host}:{self.port} did not answer: {why}") from error
        finally:
            connection.close()
        kept = [(name.lower(), value) for name, value in answer.getheaders()]
        return Reply(
            answer.status,
            tuple(each for each in kept if each[0] not in OF_THE_CONNECTION and each[0] != "content-length"),
            content,
        )
