"""One source over one bucket and its receiver, told step by step on a clock that the test moves."""

import asyncio
import http.client
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from support.aws import SimulatedAws
from support.clock import FakeClock
from support.product import Product, running
from support.receiver import Receiver, receiving
from support.samples import log_file, log_key
from support.webserver import Received, Visit, WebServer, response

MINUTE_S = 60.0


@dataclass
class Story:
    """One source over one bucket, and its receiver."""

    product: Product
    receiver: Receiver
    aws: SimulatedAws
    clock: FakeClock
    bucket: str
    endpoint_url: str
    source: str = ""

    def put(
        self, records: list[dict[str, Any]], label: str = "20250615T1200Z", unique: str = "AAAAAAAAAAAAAAAA"
    ) -> None:
        self.aws.put(self.bucket, log_key(label, unique), log_file(records))

    async def add(self, **fields: Any) -> None:
        self.source = await self.product.add_source(
            **{
                "s3Bucket": self.bucket,
                "endpointUrl": self.endpoint_url,
                "callbackUrl": self.receiver.url,
                **fields,
            }
        )
        await self.product.work()

    async def after(self, seconds: float, *, step_s: float = 5.0) -> None:
        """Let time go by in steps, doing whatever falls due."""
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            await self.product.work()

    async def patch(self, **fields: Any) -> None:
        reply = await self.product.api.call("PATCH", f"/sources/{self.source}", fields)
        assert reply.status == 200, reply.body

    async def counts(self) -> Any:
        return (await self.product.status(self.source))["counts"]

    async def state(self) -> str:
        """The source's `status`."""
        return str((await self.product.api.get(f"/sources/{self.source}"))["status"])

    def ids(self) -> list[str]:
        """Event ids taken, in order."""
        return [event.get("eventID", "none") for each in self.receiver.taken for event in each.events]

    def notices(self) -> list[str]:
        """The types of the notices taken, in order."""
        return [each.type for each in self.receiver.of_type("source.")]


@asynccontextmanager
async def telling(
    tmp_path: Path, aws: SimulatedAws, *, endpoint_url: str | None = None, hosts: tuple[str, ...] = (), **settings: Any
) -> AsyncIterator[Story]:
    """A story on a fresh installation, with the settings given; it may call `hosts` besides its receiver."""
    clock = FakeClock()
    bucket = f"story-{uuid4().hex[:12]}"
    aws.create_bucket(bucket)
    endpoint_url = endpoint_url or aws.endpoint_url
    async with (
        receiving() as receiver,
        running(
            tmp_path,
            hosts=(receiver.host, *hosts),
            endpoints=(endpoint_url.removeprefix("http://"),),
            clock=clock,
            **settings,
        ) as product,
    ):
        yield Story(product, receiver, aws, clock, bucket, endpoint_url)


class Between:
    """Stands between the product and the simulated AWS, and answers in its place where `refuse` says so."""

    def __init__(self, aws: SimulatedAws) -> None:
        self._aws = aws
        self.refuse: Callable[[Received], bytes | None] = lambda _: None
        """The whole answer to a request, or None to let AWS answer. Bytes short of its length break the connection."""
        self.requests: list[Received] = []
        self.server = WebServer(self._script)

    @property
    def endpoint_url(self) -> str:
        return f"http://{self.server.host_and_port}"

    async def _script(self, visit: Visit) -> None:
        while True:
            request = await visit.request()
            self.requests.append(request)
            if refusal := self.refuse(request):
                await visit.send(refusal)
                if not refusal.startswith(b"HTTP/1.1 ") or _is_cut(refusal):
                    visit.reset()
                    return
            else:
                await visit.send(await asyncio.to_thread(self._ask, request))

    def _ask(self, request: Received) -> bytes:
        connection = http.client.HTTPConnection(self._aws.host, timeout=20)
        try:
            connection.request(request.method, request.path, request.body, dict(request.headers))
            answer = connection.getresponse()
            kept = {name: text for name, text in answer.getheaders() if name.lower() in ("etag", "last-modified")}
            return response(answer.status, answer.read(), kept)
        finally:
            connection.close()


def is_get(request: Received) -> bool:
    """Whether an object is read (and no listing made)."""
    return request.method == "GET" and "list-type" not in request.path


def refused(status: int, code: str) -> bytes:
    """S3 saying no."""
    return response(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())


def _is_cut(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
    return len(body) < length
