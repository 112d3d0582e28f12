"""An organization that does not exist, for pictures: its sources, an hour of their events, and what went wrong.

Everything goes through the API and the store as it would have; only the clock tells each of them when it is.
"""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trailhook import body
from trailhook.api import bodies
from trailhook.api import sources as api
from trailhook.api.schemas import AddSource
from trailhook.app import Parts
from trailhook.clock import SystemClock, from_rfc3339
from trailhook.cloudtrail.records import Record, read_records
from trailhook.delivery.headers import AGENT
from trailhook.demo import events
from trailhook.errors import FetchState
from trailhook.intake.cut import cut
from trailhook.model import (
    Attempt,
    Batch,
    BatchState,
    Condition,
    Counts,
    DeliveryOptions,
    FoundUnit,
    NewQuarantined,
    Source,
    UnitEnd,
    UnitState,
)
from trailhook.store.base import Commit, Settlement

END_AT = from_rfc3339("2026-10-15T14:30:55Z")
MINUTES = 63
"""A little more than a picture of an hour shows."""
AGE_S = 9 * 86_400
"""How long ago the sources were added."""
TOKENS = {"siem-reader": "read", "terraform": "write", "on-call": "admin"}
REFUSED = '{"error":"unprocessable","detail":"field \\"sharedEventID\\" is not in index cloudtrail-2026"}'


class InventedClock(SystemClock):
    """Always the same moment, or some time before it."""

    def __init__(self) -> None:
        self.back_s = 0.0

    def now(self) -> float:
        return END_AT - self.back_s


@dataclass(frozen=True, slots=True)
class Invented:
    """One source: `rate` events a minute, and from which minute on its receiver fails."""

    name: str
    bucket: str | None
    host: str
    rate: int
    fails_from: int = MINUTES
    condition: Condition | None = None
    """Why nothing can be fetched (any more)."""
    paused: bool = False
    more: dict[str, Any] = field(default_factory=dict)


SOURCES = (
    Invented("production", "example-org-trail", "siem.example.com/cloudtrail", 140),
    Invented("payments", "example-payments-trail", "siem.example.com/payments", 60),
    Invented("data-platform", "example-data-platform-logs", "hooks.example.net/aws", 90),
    Invented("staging", "example-staging-trail", "siem.example.com/staging", 35),
    Invented("security-tooling", "example-security-audit", "soar.example.com/ingest", 25),
    Invented("identity", "example-identity-center-trail", "soar.example.com/identity", 30),
    Invented("partner-feed", "example-partner-trail", "partner.example.org/v2/events", 20, fails_from=44),
    Invented("build-farm", "example-build-farm-logs", "hooks.example.net/builds", 45),
    Invented(
        "acquired-co",
        "acquired-co-cloudtrail",
        "siem.example.com/acquired",
        12,
        condition=Condition(
            state=FetchState.ACCESS_DENIED,
            reason="AWS answered AccessDenied to s3:ListBucket on acquired-co-cloudtrail.",
            remedy="Allow s3:ListBucket on arn:aws:s3:::acquired-co-cloudtrail for this identity.",
        ),
    ),
    Invented("sandbox", "example-sandbox-trail", "hooks.example.net/sandbox", 8, paused=True),
    Invented("legacy-eu", None, "siem.example.com/legacy", 4, more={"regions": ["eu-central-1", "eu-west-1"]}),
)


@dataclass
class World:
    """Fills an installation, and can let a little more happen."""

    parts: Parts
    clock: InventedClock
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    ids: dict[str, str] = field(default_factory=dict)
    """Of the sources, by name."""
    _files: int = 0

    async def fill(self) -> None:
        """All of it. Takes some seconds."""
        self.clock.back_s = AGE_S
        for each in SOURCES:
            self.ids[each.name] = await self._add(each)
        for name, scope in TOKENS.items():
            await self.parts.tokens.create(name, [scope])
        for minute in range(MINUTES):
            self.clock.back_s = (MINUTES - 1 - minute) * 60 + 55
            for each in SOURCES:
                await self._minute(each, minute)
            self.clock.back_s -= 50
            await self.parts.store.sample()
        self.clock.back_s = 25 * 60
        await self._break("partner-feed")
        await self._hold()
        await self._spoil("data-platform")
        self.clock.back_s = 0

    async def sign_up(self, name: str) -> str:
        """A token for somebody who may do everything."""
        text, _ = await self.parts.tokens.create(name, ["admin"])
        return text

    async def happen(self, name: str, count: int = 5) -> None:
        """Some events now, delivered at once."""
        source = await self.parts.store.source(self.ids[name])
        await self._read(source, count)
        await self._deliver(source, fails=False)

    async def _add(self, each: Invented) -> str:
        document = {
            "sourceType": "aws_cloudtrail",
            "name": each.name,
            "credentials": {
                "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
                "secretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                "region": "us-east-1",
            },
            "logFetchInterval": 60,
            "callbackUrl": f"https://{each.host}",
            **({"s3Bucket": each.bucket, "s3Prefix": "AWSLogs/o-a1b2c3d4e5/"} if each.bucket else {}),
            **each.more,
        }
        sent = json.dumps(document).encode()
        given = bodies.checked(sent, self.parts, AddSource)
        added, _ = await api.register(self.parts, given, sent, key=None, verify=False)
        return added.id

    async def _minute(self, each: Invented, minute: int) -> None:
        source = await self.parts.store.source(self.ids[each.name])
        tide = 1 + 0.6 * (minute % 23 > 14) - 0.4 * (minute % 17 > 12)
        stopped = minute >= MINUTES - 18 if each.condition or each.paused else False
        count = 0 if stopped else max(0, round(self.chance.gauss(each.rate * tide, each.rate / 5)))
        if count:
            await self._read(source, count)
        await self._deliver(source, fails=minute >= each.fails_from)

    async def _read(self, source: Source, count: int) -> None:
        """A log file of that many events, some of them known from an earlier one."""
        store, now = self.parts.store, self.clock.now()
        self._files += 1
        place = source.bucket or "lookup"
        stamp = time.strftime("%Y%m%dT%H%MZ", time.gmtime(now))
        account, region = events.ACCOUNTS[0], events.REGIONS[0]
        name = f"AWSLogs/{account}/CloudTrail/{region}/{account}_CloudTrail_{region}_{stamp}_{self._files:016}.json.gz"
        unit = FoundUnit(intake=source.intakes[0], place=place, name=name, size_bytes=count * 310, labelled_at=now)
        await store.add_units(source.id, [unit])
        [leased] = await store.lease_units(source.id, limit=1, bytes_max=10**9, lease_s=60)
        records = self._records(source.id, count)
        batches = [
            body.freeze(part, source_id=source.id, options=DeliveryOptions(), batch_id=body.new_batch_id())
            for part in cut(records, DeliveryOptions(), source_id=source.id)
        ]
        repeats = count // 6
        end = UnitEnd(unit_id=leased.id, state=UnitState.DONE, records=count + repeats, records_taken=count + repeats)
        counts = Counts(read=count + repeats, duplicate=repeats)
        await store.commit(Commit(source_id=source.id, token=leased.token, batches=batches, units=[end], counts=counts))
        fetched = Condition(state="active")
        await store.change_source(
            source.id, lambda it: (it.but(last_fetch_at=now, next_fetch_at=now + 60, fetch=fetched), ())
        )

    def _records(self, source_id: str, count: int) -> Sequence[Record]:
        chance, now = self.chance, self.clock.now()
        raws = [
            events.api_call(
                chance,
                account=chance.choice(events.ACCOUNTS),
                region=chance.choices(events.REGIONS, (6, 3, 1))[0],
                at=now - chance.uniform(0, 55),
            )
            for _ in range(count)
        ]
        data = b'{"Records":[%b]}' % b",".join(raws)
        return read_records(data, scope=source_id.encode(), depth_max=200, record_bytes_max=2**21).records

    async def _deliver(self, source: Source, *, fails: bool) -> None:
        for batch in await self.parts.store.lease_batches(source.id, limit=5, lease_s=60):
            if fails:
                attempt = self._attempt(batch, "transient", 503, "The receiver answered 503 Service Unavailable.")
                settled = Settlement(state=BatchState.WAITING, attempt=attempt, due_at=self.clock.now() + 3_600)
            elif source.name in ("payments", "build-farm") and self.chance.random() < 0.05:
                said = "The receiver answered 422 Unprocessable Entity."
                attempt = self._attempt(batch, "refused", 422, said, answer=REFUSED)
                settled = Settlement(state=BatchState.DEAD, attempt=attempt)
            else:
                settled = Settlement(state=BatchState.DELIVERED, attempt=self._attempt(batch, "delivered", 200))
            await self.parts.store.settle(batch, settled)

    def _attempt(self, batch: Batch, outcome: str, status: int, error: str = "", answer: str = "ok") -> Attempt:
        now = self.clock.now()
        return Attempt(
            number=batch.attempts + 1,
            started_at=now,
            took_s=self.chance.uniform(0.03, 0.4),
            outcome=outcome,
            status=status,
            error=error,
            answer=answer,
            sent=(AGENT, ("webhook-timestamp", str(int(now))), ("webhook-signature", "v1,***")),
            received=(
                ("content-type", "application/json"),
                ("server", "envoy"),
                ("x-request-id", body.new_batch_id()[4:]),
            ),
        )

    async def _break(self, name: str) -> None:
        """Its receiver does not answer as it should, and its breaker is open."""
        source, now = await self.parts.store.source(self.ids[name]), self.clock.now()
        condition = Condition(
            state="delivery_failing",
            reason="The receiver answered 503 Service Unavailable.",
            remedy="Nothing is lost and it goes on by itself once the receiver takes deliveries again.",
            since_at=now,
        )
        opened = {"open": True, "opened_at": now, "failing_since_at": now, "failures": 9, "probe_at": now + 3_600}
        await self.parts.store.change_lane(source.lane, lambda lane: lane.but(condition=condition, **opened))

    async def _hold(self) -> None:
        """What a user holds, and what AWS does not let be fetched."""
        for each in SOURCES:
            now = self.clock.now()
            if each.condition:
                denied = each.condition.but(since_at=now)
                await self.parts.store.change_source(self.ids[each.name], lambda it, d=denied: (it.but(fetch=d), ()))
            if each.paused:
                await api.pause_source(self.parts, self.ids[each.name])

    async def _spoil(self, name: str) -> None:
        """A file that is none, and two events that cannot be read."""
        store, source_id = self.parts.store, self.ids[name]
        source = await store.source(source_id)
        folder = f"AWSLogs/{events.ACCOUNTS[1]}/CloudTrail/eu-central-1/{events.ACCOUNTS[1]}_CloudTrail_eu-central-1"
        names = [
            f"{folder}_20261015T1400Z_Ab3dE5fG7hJ9kL1m.json.gz",
            f"{folder}_20261015T1405Z_Qr5tU7vW9xY1zA3b.json.gz",
        ]
        found = [
            FoundUnit(intake="s3", place=str(source.bucket), name=each, labelled_at=self.clock.now()) for each in names
        ]
        await store.add_units(source_id, found)
        cut_off, half = await store.lease_units(source_id, limit=2, bytes_max=10**9, lease_s=60)
        bad = [
            NewQuarantined(unit_id=half.id, position=position, reason="not_json", detail=detail, body=raw)
            for position, detail, raw in (
                (
                    3,
                    "It is not JSON: expected a value at byte 212.",
                    b'{"eventVersion":"1.09","eventTime":"2026-10-15T14:02:31Z","eventName":"PutObject","requestParameters":{"key":',
                ),
                (
                    8,
                    "It is not JSON: invalid escape at byte 96.",
                    b'{"eventVersion":"1.09","eventTime":"2026-10-15T14:03:02Z","eventName":"GetObject","key":"\\x00"}',
                ),
            )
        ]
        unread = UnitEnd(
            unit_id=cut_off.id,
            state=UnitState.QUARANTINED,
            reason="not_gzip",
            detail="The file ends before its gzip stream does.",
        )
        done = UnitEnd(unit_id=half.id, state=UnitState.DONE, records=2, records_taken=2)
        await store.commit(Commit(source_id=source_id, token=cut_off.token, units=[unread]))
        counts = Counts(read=2, quarantined=2)
        await store.commit(Commit(source_id=source_id, token=half.token, units=[done], quarantined=bad, counts=counts))
