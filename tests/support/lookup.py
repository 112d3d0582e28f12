"""LookupEvents to test against: the simulated history, with or without a socket, and a clock that fits it."""

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from support.aws import SimulatedAws
from trailhook.clock import rfc3339
from trailhook.demo.lookup_events import LookupEvents
from trailhook.net.base import Answer, Request, Transport


class QuietClock:
    """A clock that moves on to the next who sleeps once nothing else is going on.

    `requests` are what must not be overtaken: time stands still while one is under way.
    """

    def __init__(self, at: float) -> None:
        self._now = at
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._slept = 0
        self._going: asyncio.Task[None] | None = None
        self.requests = 0

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self._slept += 1
        self._sleepers.append((self._now + seconds, self._slept, event))
        if self._going is None or self._going.done():
            self._going = asyncio.create_task(self._go())
        await event.wait()

    def advance(self, seconds: float) -> None:
        """Move on while nobody sleeps."""
        assert not self._sleepers
        self._now += seconds

    async def _go(self) -> None:
        while self._sleepers:
            await self._quiet()
            if self._sleepers and not self.requests:
                self._sleepers.sort()
                at, _, event = self._sleepers.pop(0)
                self._now = max(self._now, at)
                event.set()

    async def _quiet(self) -> None:
        """Until everybody had the chance to go on: the loop's own tasks, and the store's thread."""
        before = None
        while before != (before := (self._slept, self.requests)):
            for _ in range(10):
                await asyncio.sleep(0)
            await asyncio.sleep(0.001)


class Watched:
    """A transport whose requests hold a clock still."""

    def __init__(self, transport: Transport, clock: QuietClock) -> None:
        self._transport = transport
        self._clock = clock

    async def send(self, request: Request) -> Answer:
        self._clock.requests += 1
        try:
            return await self._transport.send(request)
        finally:
            self._clock.requests -= 1


class Direct:
    """A transport that calls a WSGI application, with no socket between."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.requests: list[Request] = []
        self.refuse: Callable[[Request], Answer | None] = lambda _: None

    async def send(self, request: Request) -> Answer:
        self.requests.append(request)
        if (refused := self.refuse(request)) is not None:
            return refused
        started: list[Any] = []
        environ = {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": urlsplit(request.url).path,
            "CONTENT_LENGTH": str(len(request.body)),
            "wsgi.input": io.BytesIO(request.body),
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers},
        }
        body = b"".join(self._app(environ, lambda status, headers: started.extend([status, headers])))
        return Answer(status=int(started[0].split()[0]), headers=started[1], body=body)


class DocumentsInMemory:
    """As much of a store as the budget needs."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], bytes] = {}

    async def document(self, kind: str, key: str) -> bytes | None:
        return self.values.get((kind, key))

    async def change_document(
        self, kind: str, key: str, change: Callable[[bytes | None], bytes | None]
    ) -> bytes | None:
        await asyncio.sleep(0)
        after = change(self.values.get((kind, key)))
        if after is not None:
            self.values[kind, key] = after
        return after


def sts(account: str = "123456789012") -> Any:
    """A WSGI application that answers GetCallerIdentity and nothing else."""

    def answer(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("content-type", "text/xml")])
        return [
            f"<GetCallerIdentityResponse><GetCallerIdentityResult><Account>{account}</Account>"
            f"</GetCallerIdentityResult></GetCallerIdentityResponse>".encode()
        ]

    return answer


def record(number: int, at: float, **fields: Any) -> bytes:
    """A record of its own for each number, spelt as only CloudTrail's own text would be."""
    return json.dumps(
        {
            "eventVersion": "1.08",
            "userIdentity": {"type": "IAMUser", "userName": "jürgen", "accessKeyId": "AKIAIOSFODNN7EXAMPLE"},
            "eventTime": rfc3339(int(at)).replace(".000Z", "Z"),
            "eventSource": "ec2.amazonaws.com",
            "eventName": "DescribeInstances",
            "awsRegion": "us-east-1",
            "sourceIPAddress": "192.0.2.7",
            "requestParameters": {"price": 1.50, "text": 'a "quoted" \\ 😀 '},
            "readOnly": True,
            "eventID": str(UUID(int=number)),
            "eventType": "AwsApiCall",
            "recipientAccountId": "123456789012",
        }
        | fields,
        separators=(", ", ":"),
        ensure_ascii=False,
    ).encode()


@contextmanager
def simulated_aws_with_lookup(now: Callable[[], float]) -> Iterator[tuple[SimulatedAws, LookupEvents]]:
    """moto's server with LookupEvents in front of it, by a clock of the test's own."""
    lookup = LookupEvents(app=DomainDispatcherApplication(create_backend_app), now=now)
    with simulated_aws_behind(lookup) as aws:
        yield aws, lookup


@contextmanager
def simulated_aws_behind(application: Any) -> Iterator[SimulatedAws]:
    """moto's server, asked through a WSGI application in front of it."""
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    aws = SimulatedAws(f"http://127.0.0.1:{server.server_port}")
    try:
        yield aws
    finally:
        aws.s3.close()
        aws.sqs.close()
        server.shutdown()
        thread.join()
        server.server_close()
