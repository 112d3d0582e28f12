"""A bucket that CloudTrail writes to, the source over it, and the receiver that it is sent to."""

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from support.aws import SimulatedAws
from support.flight import registration
from support.product import Api
from support.receiver import Receiver
from support.samples import log_file, log_key, record

PATIENCE_S = 30.0


@dataclass
class Trail:
    """Of the real time: events happen as they are written."""

    aws: SimulatedAws
    api: Api
    receiver: Receiver
    bucket: str = ""
    source: str = ""
    _files: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.bucket = self.aws.new_bucket()

    async def add(self, name: str, **fields: object) -> str:
        """Register the bucket as a source and return its id."""
        document = registration(self.aws, self.bucket, self.receiver, name=name, **fields)
        self.source = (await self.api.post("/add-source", document))["id"]
        return self.source

    async def write(self, *names: str, **fields: Any) -> list[str]:
        """One log file with an event of each name, just now, and `fields`; their ids."""
        now = datetime.now(UTC)
        events = [
            record(number, eventID=str(uuid4()), eventTime=f"{now:%Y-%m-%dT%H:%M:%SZ}", eventName=name, **fields)
            for number, name in enumerate(names)
        ]
        key = log_key(f"{now:%Y%m%dT%H%M}Z", f"{next(self._files):016}")
        await asyncio.to_thread(self.aws.put, self.bucket, key, log_file(events))
        return [each["eventID"] for each in events]

    async def remove_sources(self) -> None:
        """Remove every source over this bucket, whoever added it."""
        for each in (await self.api.get("/sources?limit=100"))["sources"]:
            if each["s3Bucket"] == self.bucket:
                await self.api.call("DELETE", f"/remove-source/{each['id']}")

    async def status(self) -> Any:
        return await self.api.get(f"/sources/{self.source}/status")

    async def counted(self) -> dict[str, int]:
        """What the source has counted so far."""
        counts: dict[str, int] = (await self.status())["counts"]
        return counts

    async def until(self, **counts: int) -> None:
        """Wait until the source has counted at least so much."""
        ends_at = time.monotonic() + PATIENCE_S
        while any(counted[name] < count for counted in [await self.counted()] for name, count in counts.items()):
            assert time.monotonic() < ends_at, await self.counted()
            await asyncio.sleep(0.1)

    async def hurried_until(self, **counts: int) -> None:
        """The same, without waiting for the next attempt at anything."""
        ends_at = time.monotonic() + PATIENCE_S
        while any(counted[name] < count for counted in [await self.counted()] for name, count in counts.items()):
            assert time.monotonic() < ends_at, await self.counted()
            waiting = await self.api.get(f"/deliveries?source={self.source}&status=waiting")
            for each in waiting["deliveries"]:
                await self.api.call("POST", f"/deliveries/{each['id']}/retry")
            await asyncio.sleep(0.1)

    def received(self) -> set[str]:
        """The ids of the events that the receiver has taken."""
        return {event["eventID"] for each in self.receiver.taken for event in each.events}
