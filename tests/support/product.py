"""The whole product in one process, over real parts, moved step by step by the test."""

import asyncio
import http.client
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvicorn

from support.clock import FakeClock
from support.stepping import StepQueue
from trailhook import app
from trailhook.app import Parts
from trailhook.clock import Clock
from trailhook.jobs import Jobs
from trailhook.model import Job
from trailhook.settings import Settings
from trailhook.web.server import create_site

TOKEN = "th_" + "test" * 12  # a token of the tests' own
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@dataclass(frozen=True)
class Reply:
    """An answer of the API."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Api:
    """Calls the REST API over a real socket."""

    port: int
    token: str | None = TOKEN

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        return await asyncio.to_thread(self._call, method, path, body, headers)

    def _call(self, method: str, path: str, body: object, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            if self.token:
                sent.setdefault("authorization", f"Bearer {self.token}")
            if body is not None:
                sent.setdefault("content-type", "application/json")
            payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, path, payload, sent)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    async def get(self, path: str) -> Any:
        """The JSON of a GET that must succeed."""
        reply = await self.call("GET", path)
        assert reply.status == 200, (reply.status, reply.body)
        return reply.json

    async def post(self, path: str, body: object = None) -> Any:
        """The JSON of a POST that must succeed."""
        reply = await self.call("POST", path, body)
        assert reply.status in (200, 201, 202), (reply.status, reply.body)
        return reply.json


@dataclass
class Product:
    """Parts, jobs and API of one installation."""

    parts: Parts
    jobs: Jobs
    queue: StepQueue
    api: Api
    clock: Clock
    secrets: dict[str, str] = field(default_factory=dict)
    """Signing secrets by source id."""

    async def add_source(self, **fields: Any) -> str:
        """Register a source through the API and return its id."""
        credentials = {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": SECRET_KEY, "region": "us-east-1"}
        document = {
            "sourceType": "aws_cloudtrail",
            "name": "test",
            "credentials": credentials,
            "logFetchInterval": 60,
            "startFrom": "beginning",
            **fields,
        }
        source = await self.api.post("/add-source", document)
        self.secrets[source["id"]] = source["signingSecret"]
        return str(source["id"])

    async def work(self) -> None:
        """Do everything that is due now and can be done: a sweep that only hints what came to nothing ends it."""
        handlers = self.jobs.handlers()
        before: set[Job] = set()
        while True:
            await self.jobs.sweep()
            hinted = set(self.queue.hinted)
            if hinted <= before:
                self.queue.hinted.clear()
                return
            before = hinted
            await self.queue.drain(handlers)

    async def poll(self, source_id: str) -> None:
        """Look for units now, and do everything that follows."""
        await self.api.post(f"/sources/{source_id}/fetch")
        await self.work()

    async def status(self, source_id: str) -> Any:
        """The source's status; its counts must always add up."""
        status = await self.api.get(f"/sources/{source_id}/status")
        counts = status["counts"]
        assert counts["read"] == sum(value for name, value in counts.items() if name != "read"), counts
        return status


@asynccontextmanager
async def running(
    data_dir: Path,
    *,
    hosts: tuple[str, ...] = (),
    endpoints: tuple[str, ...] = (),
    clock: Clock | None = None,
    **more: Any,
) -> AsyncIterator[Product]:
    """An installation on `data_dir` that may call `hosts` and fetch from `endpoints` (each `host:port`)."""
    clock = clock or FakeClock()
    settings = Settings(
        data_dir=data_dir,
        api_token=TOKEN,
        allow_http_callbacks=True,
        allow_callback_hosts=hosts,
        allow_aws_endpoints=endpoints,
        **more,
    )
    async with app.build(settings, clock=clock, announce=lambda _: None) as built:
        queue = StepQueue()
        parts = replace(built, queue=queue)
        async with _serving(parts) as api:
            yield Product(parts, app.jobs(parts, random.Random(7)), queue, api, clock)


@asynccontextmanager
async def _serving(parts: Parts) -> AsyncIterator[Api]:
    server = uvicorn.Server(uvicorn.Config(create_site(parts), log_config=None, lifespan="off"))
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server._serve([listener]))  # `serve` would take the signals from pytest
    try:
        yield Api(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await task
        listener.close()
