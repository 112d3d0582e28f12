"""The whole product over LookupEvents and all else of a simulated account, by one clock that the product moves on."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from support.aws import SimulatedAws
from support.clock import START_AT
from support.lookup import QuietClock, Watched, simulated_aws_with_lookup
from support.product import Product, running
from support.real_records import raw_events
from support.receiver import Receiver, receiving
from trailhook import app
from trailhook.demo.lookup_events import LookupEvents

POLL_S = 300


@dataclass
class World:
    """A product, the account it asks and the receiver it sends to, all by one clock."""

    product: Product
    receiver: Receiver
    aws: SimulatedAws
    history: LookupEvents
    clock: QuietClock

    async def add_source(self, **fields: object) -> str:
        return await self.product.add_source(
            endpointUrl=self.aws.endpoint_url,
            callbackUrl=self.receiver.url,
            startFrom="2025-06-15T14:00:00Z",
            logFetchInterval=POLL_S,
            **fields,
        )

    async def run(self, *source_ids: str, for_s: int) -> None:
        """Poll and read all sources at the same time, as workers would, and deliver at the end."""
        handlers = self.product.jobs.handlers()
        until_at = self.clock.now() + for_s
        while self.clock.now() < until_at:
            next_at = self.clock.now() + POLL_S
            for kind in ("poll", "intake", "lookup"):
                await asyncio.gather(*(handlers[kind](each) for each in source_ids))
            if self.clock.now() < next_at:
                self.clock.advance(next_at - self.clock.now())
        for each in source_ids:
            await handlers["deliver"](each)
        self.product.queue.hinted.clear()

    def received(self) -> dict[str, Counter[bytes]]:
        """Every record received, byte for byte, by source."""
        found: dict[str, Counter[bytes]] = {}
        for delivery in self.receiver.of_type("cloudtrail.events"):
            records = found.setdefault(delivery.document["data"]["sourceId"], Counter())
            records.update(raw for _, raw in raw_events(delivery))
        return found


@asynccontextmanager
async def opened(path: Path, **settings: Any) -> AsyncIterator[World]:
    clock = QuietClock(START_AT)
    with simulated_aws_with_lookup(clock.now) as (aws, history):
        async with (
            receiving() as receiver,
            running(path, hosts=(receiver.host,), endpoints=(aws.host,), clock=clock, **settings) as plain,
        ):
            parts = replace(plain.parts, aws=Watched(plain.parts.aws, clock))
            product = replace(plain, parts=parts, jobs=app.jobs(parts, Random(7)))
            yield World(product, receiver, aws, history, clock)
