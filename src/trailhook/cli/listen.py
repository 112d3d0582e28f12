"""`trailhook listen`: a local receiver that verifies what comes and shows it."""

import json
import signal
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from trailhook.cli import output
from trailhook.cli.hooks import HookServer, Reply
from trailhook.clock import Clock, SystemClock, rfc3339
from trailhook.delivery.sign import SignatureRefused, parse_secret, verify
from trailhook.errors import SettingsError

TOLERANCE_S = 300.0
NAMES_SHOWN = 6
UNAUTHORIZED = 401
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
    _known: set[str] = field(default_factory=set)

    def take(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer to one delivery: 401 if its signature is bad, else `status`."""
        now, hook_id = self.clock.now(), headers.get("webhook-id", "")
        verdict, genuine = self._verdict(headers, body, now)
        repeated = genuine and bool(hook_id) and hook_id in self._known
        if genuine and self.status // 100 == NO_CONTENT // 100:
            self._known.add(hook_id)
        what = "known webhook-id, dropped" if repeated else summary(headers, body)
        self.say(f"{rfc3339(now)}  {hook_id or '(no webhook-id)'}  {verdict}  {what}")
        return Reply(self.status if genuine else UNAUTHORIZED)

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
    status: Annotated[int, typer.Option(min=200, max=599, help="What to answer.")] = NO_CONTENT,
) -> None:
    """Receive webhooks on this machine, verify them and show them, until Ctrl-C."""
    listener = Listener(_parsed(secret or ()), status, output.say_now)
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


def summary(headers: Mapping[str, str], body: bytes) -> str:
    """What a delivery holds, in a few words: how many events, and which; what a notice says."""
    try:
        plain = _inflated(headers, body)
        content = json_lines(plain) if "ndjson" in headers.get("content-type", "") else json.loads(plain)
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
