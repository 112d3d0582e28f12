"""`trailhook listen`: a local receiver that verifies what comes and shows it."""

import json
import signal
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any

import typer
from rich.text import Text

from trailhook.cli import output
from trailhook.cli.forward import Forward, NotForwarded
from trailhook.cli.hooks import HookServer, Reply, Take
from trailhook.clock import Clock, SystemClock, rfc3339
from trailhook.delivery.sign import SignatureRefused, parse_secret, verify
from trailhook.errors import SettingsError

TOLERANCE_S = 300.0
NAMES_SHOWN = 6
EVENTS_SHOWN = 20
NO_CONTENT = 204
GZIP = 16 + zlib.MAX_WBITS
INFLATED_BYTES_MAX = 256 * 1024 * 1024


@dataclass(slots=True)
class Listener:
    """Judges deliveries one at a time and says a line about each."""

    secrets: Sequence[bytes]
    """Empty: nothing is verified."""
    status: int
    say: Callable[[str], None]
    clock: Clock = field(default_factory=SystemClock)
    show: Callable[[Sequence[Any]], None] = lambda _: None
    """Gets the events of a delivery that is no repetition."""
    forward: Take | None = None
    """Answers in our place. What is forged is not handed on."""
    _known: set[str] = field(default_factory=set)

    def take(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer to one delivery: 401 if its signature is bad, else `status`, or what `forward` answers."""
        now, hook_id = self.clock.now(), headers.get("webhook-id", "")
        verdict, genuine = self._verdict(headers, body, now)
        if not genuine:
            self.say(f"{rfc3339(now)}  {hook_id or '(no webhook-id)'}  {verdict}  {summary(headers, body)}")
            return Reply(HTTPStatus.UNAUTHORIZED)
        repeated = bool(hook_id) and hook_id in self._known
        what = "known webhook-id" if repeated else summary(headers, body)
        reply, became = self._handed_on(headers, body) if self.forward else (Reply(self.status), "")
        dropped = ", dropped" if repeated and not self.forward else ""
        self.say(f"{rfc3339(now)}  {hook_id or '(no webhook-id)'}  {verdict}  {what}{dropped}{became}")
        if not repeated:
            self.show(events_of(headers, body))
        if HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            self._known.add(hook_id)
        return reply

    def _handed_on(self, headers: Mapping[str, str], body: bytes) -> tuple[Reply, str]:
        assert self.forward is not None  # noqa: S101 - asked for only where there is one
        try:
            reply = self.forward(headers, body)
        except NotForwarded as error:
            return Reply(HTTPStatus.BAD_GATEWAY), f"  not forwarded: {error}"
        return reply, f"  forwarded: {reply.status}"

    def _verdict(self, headers: Mapping[str, str], body: bytes, now: float) -> tuple[str, bool]:
        if not self.secrets:
            return "not verified", True
        try:
            verify(headers.items(), body, self.secrets, now, TOLERANCE_S)
        except SignatureRefused as error:
            return f"BAD signature ({error})", False
        return "ok", True


def listen(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 9000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    secret: Annotated[
        list[str] | None,
        typer.Option(envvar="WEBHOOK_SECRET", help="whsec_… to verify with; may be repeated. Without it nothing is."),
    ] = None,
    status: Annotated[
        int, typer.Option(min=200, max=599, help="What to answer, where nothing is forwarded.")
    ] = NO_CONTENT,
    forward: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Hand deliveries on to this address, byte for byte, and its answers back."),
    ] = None,
    events: Annotated[int, typer.Option(min=0, help="How many events of a delivery to show.")] = EVENTS_SHOWN,
) -> None:
    """Receive webhooks on this machine, verify them and show them, until Ctrl-C."""
    console = output.console()

    def show(found: Sequence[Any]) -> None:
        for line in event_lines(found, most=events):
            console.print(line, soft_wrap=True)

    listener = Listener(
        _parsed(secret or ()),
        status,
        output.say_now,
        show=show,
        forward=Forward.to(forward) if forward is not None else None,
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with HookServer(listener.take, host=host, port=port) as server:
        output.say_now(f"Listening on http://{server.address}/ – Ctrl-C ends it.")
        stop.wait()


def _parsed(secrets: Iterable[str]) -> list[bytes]:
    try:
        return [parse_secret(each) for each in secrets]
    except ValueError as error:
        raise SettingsError(f"--secret: {error}") from None


def events_of(headers: Mapping[str, str], body: bytes) -> Sequence[Any]:
    """The events of a delivery; none of what cannot be read, or is a notice."""
    try:
        return _events(_content(headers, body))[1]
    except (ValueError, RecursionError, zlib.error):
        return ()


def event_lines(events: Sequence[Any], *, most: int) -> Iterator[Text]:
    """A line for each: when, what, who, from where, and the error if there was one."""
    shown = [each for each in events[:most] if isinstance(each, dict)]
    for each in shown:
        line = Text("  ")
        for text, style in _told(each):
            line.append(" ".join(output.printable(text)), style=style).append("  ")
        line.rstrip()
        yield line
    if shown and len(events) > len(shown):
        yield Text(f"  and {len(events) - len(shown):,} more: see --events", style="dim")


def _told(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Words and their style."""
    identity = event.get("userIdentity")
    user = identity if isinstance(identity, dict) else {}
    who = str(user.get("arn") or user.get("invokedBy") or user.get("userName") or user.get("type") or "")
    told = {
        "dim": str(event.get("eventTime") or ""),
        "bold": str(event.get("eventName") or event.get("eventType") or "?"),
        "cyan": who.split(":", 5)[-1] if who.startswith("arn:") else who,
        "": str(event.get("sourceIPAddress") or ""),
        "bold red": str(event.get("errorCode") or ""),
    }
    return ((text, style) for style, text in told.items() if text)


def summary(headers: Mapping[str, str], body: bytes) -> str:
    """What a delivery holds, in a few words: how many events, and which; what a notice says."""
    try:
        content = _content(headers, body)
        kind, events = _events(content)
    except (ValueError, RecursionError, zlib.error) as error:
        return f"{len(body)} bytes that cannot be read ({type(error).__name__})"
    if isinstance(content, dict) and kind.startswith("source."):
        return f"{kind}: {_notice(content['data'])}".rstrip(": ")
    names = Counter(str(each.get("eventName", "?")) if isinstance(each, dict) else "?" for each in events)
    return f"{kind}: {len(events)} event{'' if len(events) == 1 else 's'}  {_named(names)}".rstrip()


def json_lines(content: bytes) -> list[Any]:
    """One JSON value a line."""
    return [json.loads(line) for line in content.splitlines() if line.strip()]


def _content(headers: Mapping[str, str], body: bytes) -> Any:
    plain = _inflated(headers, body)
    return json_lines(plain) if "ndjson" in headers.get("content-type", "") else json.loads(plain)


def _inflated(headers: Mapping[str, str], body: bytes) -> bytes:
    """As sent, or inflated: no further than a receiver on a desk needs."""
    if headers.get("content-encoding") != "gzip":
        return body
    return zlib.decompressobj(wbits=GZIP).decompress(body, INFLATED_BYTES_MAX)


def _events(content: Any) -> tuple[str, Sequence[Any]]:
    """The kind and the events of any of the formats."""
    if isinstance(content, list):
        return "events", content
    if not isinstance(content, dict):
        return "a JSON value", ()
    data = content.get("data")
    if isinstance(data, dict) and isinstance(content.get("type"), str):
        events = data.get("events")
        return content["type"], events if isinstance(events, list) else ()
    return "events", (content,)


def _notice(data: Mapping[str, Any]) -> str:
    """Which source it is about, why and what to do."""
    return " ".join(str(data[name]) for name in ("sourceName", "state", "reason", "remedy") if data.get(name))


def _named(names: Counter[str]) -> str:
    shown: Iterable[str] = (name if count == 1 else f"{name}×{count}" for name, count in names.most_common(NAMES_SHOWN))
    more = len(names) - NAMES_SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
