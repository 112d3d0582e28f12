"""The command line's way to the API: one verb, no redirects (they would carry the token away), no proxies."""

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from trailhook import __version__
from trailhook.errors import TrailhookError

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT_S = 30.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
CHUNK_BYTES = 64 * 1024

Document = dict[str, Any]


class Unreachable(TrailhookError):
    """No answer came from the API."""


class ApiRefused(TrailhookError):
    """The API said no; the message is for people and ends with what to do, where that is known."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Client:
    """Talks to one Trailhook. Safe for one thread; a connection a call."""

    url: str
    token: str = ""
    timeout_s: float = TIMEOUT_S

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def call(self, method: str, *path: str, query: Mapping[str, object] | None = None, body: object = None) -> Any:
        """One request; the answer's JSON, None if it has none. `path` is given in segments, quoted here.

        Raises `Unreachable`, or `ApiRefused` with what the API's problem document says.
        """
        status, content = self._exchange(method, self._target(path, query or {}), body)
        document = _decoded(content)
        if not http.client.OK <= status < http.client.MULTIPLE_CHOICES:
            raise ApiRefused(_explained(self.url, status, document), status=status)
        if document is None and content:
            raise Unreachable(f"{self.url} answered something that is not Trailhook's API. Check TRAILHOOK_URL.")
        return document

    def patient(self, timeout_s: float) -> Self:
        """The same client for a call that takes its time."""
        return replace(self, timeout_s=timeout_s)

    def every(self, name: str, *path: str, query: Mapping[str, object] | None = None) -> Iterator[Document]:
        """All items of a list, page by page; `name` is the field that holds them."""
        wanted = dict(query or {})
        while True:
            page = self.call("GET", *path, query=wanted)
            yield from page[name]
            if not page.get("next"):
                return
            wanted["cursor"] = page["next"]

    def lines(self, *path: str, query: Mapping[str, object], accept: str) -> Iterator[str]:
        """One GET whose answer is read line by line as it comes. Raises as `call` does, if it breaks off as well."""
        connection = self._connection()
        try:
            connection.request("GET", self._target(path, query), None, self._headers(accept))
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise ApiRefused(
                    _explained(self.url, answer.status, _decoded(answer.read(ANSWER_BYTES_MAX))), status=answer.status
                )
            for line in _lines(answer):
                yield line.decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(self.url, error) from error
        finally:
            connection.close()

    def _target(self, path: tuple[str, ...], query: Mapping[str, object]) -> str:
        base = urlsplit(self.url).path.rstrip("/")
        given = {key: value for key, value in query.items() if value is not None}
        return base + "".join("/" + quote(each, safe="") for each in path) + ("?" + urlencode(given) if given else "")

    def _exchange(self, method: str, target: str, body: object) -> tuple[int, bytes]:
        headers = self._headers("application/json")
        if body is not None:
            headers["content-type"] = "application/json"
        connection = self._connection()
        try:
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(self.url, error) from error
        finally:
            connection.close()

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"accept": accept, "user-agent": f"trailhook-cli/{__version__}"}
        return headers | ({"authorization": f"Bearer {self.token}"} if self.token else {})

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(str(parts.hostname), parts.port, timeout=self.timeout_s)


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """`readline` would take an answer that breaks off for one that ends."""
    rest = b""
    while chunk := answer.read1(CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest or answer.length:
        raise http.client.IncompleteRead(rest)


def _unreachable(url: str, error: Exception) -> Unreachable:
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Unreachable(f"No answer from {url}: {why}. Is `trailhook serve` running? TRAILHOOK_URL says where to look.")


def from_environment(environ: Mapping[str, str]) -> Client:
    """The client that `TRAILHOOK_URL` and `TRAILHOOK_API_TOKEN` (or `TRAILHOOK_API_TOKEN_FILE`) describe."""
    url = environ.get("TRAILHOOK_URL") or DEFAULT_URL
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed:
        raise Unreachable("TRAILHOOK_URL must look like https://trailhook.example.com or http://127.0.0.1:8080.")
    return Client(url.rstrip("/"), _token(environ))


def _token(environ: Mapping[str, str]) -> str:
    if token := environ.get("TRAILHOOK_API_TOKEN"):
        return _checked(token.strip())
    if path := environ.get("TRAILHOOK_API_TOKEN_FILE"):
        try:
            return _checked(Path(path).read_text().strip())
        except (OSError, UnicodeDecodeError) as error:
            why = (isinstance(error, OSError) and error.strerror) or "it is not text"
            raise Unreachable(f"TRAILHOOK_API_TOKEN_FILE cannot be read: {why}.") from error
    return ""


def _checked(token: str) -> str:
    """A token goes into a header: it must not be able to break out of it, nor be shown when it is wrong."""
    if not token.isascii() or not token.isprintable():
        raise Unreachable("TRAILHOOK_API_TOKEN holds characters that no token has.")
    return token


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None


def _explained(url: str, status: int, document: Any) -> str:
    """A problem document (RFC 9457) as a sentence, then a line for each field at fault, then the next step."""
    problem = document if isinstance(document, dict) else {}
    foreign = f"{url} answered {status}, and not as Trailhook's API does. Check TRAILHOOK_URL."
    lines = [str(problem.get("detail") or problem.get("title") or foreign)]
    lines += [f"  {each['field']}: {each['message']}" for each in problem.get("errors") or ()]
    if status == http.client.UNAUTHORIZED:
        lines.append("Set TRAILHOOK_API_TOKEN to the token that the first start printed, or to one of `token create`.")
    if status == http.client.FORBIDDEN:
        lines.append("`trailhook token create NAME --scope SCOPE` makes a token that may, with an admin's at hand.")
    return "\n".join(lines)
