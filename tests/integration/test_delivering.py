"""The deliverer over a real store and a transport that answers when the test says so."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from support.clock import FakeClock
from support.parts import parts_on
from support.store_values import a_source, freeze
from trailhook import body
from trailhook.app import Parts
from trailhook.delivery.deliver import Deliverer
from trailhook.errors import NotFound, StoreUnavailable
from trailhook.model import Batch, BatchKind, BatchState, Counts
from trailhook.net.base import Answer, Request, Transport
from trailhook.security.secrets import new_signing_secret
from trailhook.store.base import Held, Plan, Settlement, Store, Turn

BATCHES = 6
SHUTDOWN_S = 0.2


class Trips:
    """The store it wraps; `before` is awaited before each trip, with how many there were."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.number = 0
        self.before: Callable[[int], Awaitable[None]] = self._nothing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def _nothing(self, _: int) -> None:
        return

    async def settle_and_lease(
        self, source_id: str, settlements: Sequence[tuple[Batch, Settlement]], plan: Plan, *, lease_s: float, held: Held
    ) -> Turn:
        self.number += 1
        await self.before(self.number)
        return await self._store.settle_and_lease(source_id, settlements, plan, lease_s=lease_s, held=held)


class Receiver:
    """A transport whose receiver answers as `answering` says, asked by the number of the request."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.bodies: list[bytes] = []
        self.answering: Callable[[int], Awaitable[int]] = self._well

    async def _well(self, _: int) -> int:
        return 200

    async def send(self, request: Request) -> Answer:
        self.sent.append(dict(request.headers)["webhook-id"])
        self.bodies.append(request.body)
        return Answer(status=await self.answering(len(self.sent)), headers=[], body=b"")


class Delivering:
    """A source with batches `b1`, `b2`, …, each of one event, on its way."""

    def __init__(self, parts: Parts) -> None:
        self.laid_out = body.LaidOut(10_000)
        self.store = parts.store
        self.trips = Trips(parts.store)
        self.receiver = Receiver()
        self.deliverer = Deliverer(
            store=cast(Store, self.trips),
            transport=cast(Transport, self.receiver),
            secrets=parts.secrets,
            tell=self._tell,
            settings=parts.settings,
            clock=parts.clock,
            metrics=parts.metrics,
            rng=random.Random(1),
            laid_out=self.laid_out,
        )

    async def _tell(self, _: str) -> None:
        return

    async def states(self) -> str:
        """A letter for each batch: `d` where it is delivered, `w` where it waits."""
        letters = {BatchState.DELIVERED: "d", BatchState.WAITING: "w"}
        return "".join([letters[(await self.store.batch(name)).state] for name in self.names])

    @property
    def names(self) -> list[str]:
        return [f"b{number}" for number in range(1, BATCHES + 1)]


@asynccontextmanager
async def _delivering(path: Path, **settings: Any) -> AsyncIterator[Delivering]:
    async with parts_on(path, clock=FakeClock(), shutdown_s=SHUTDOWN_S, **settings) as parts:
        sealed = {"signing": parts.secrets.seal_signing("s1", [new_signing_secret()])}
        await parts.store.add_source(a_source().but(sealed=sealed))
        delivering = Delivering(parts)
        batches = [body.notice("x", name, batch_id=name) for name in delivering.names]
        await freeze(parts.store, *(batch.but(kind=BatchKind.EVENTS, count=1) for batch in batches))
        yield delivering


@pytest.fixture
async def delivering(tmp_path: Path) -> AsyncIterator[Delivering]:
    async with _delivering(tmp_path, in_flight_max=2) as delivering:
        yield delivering


async def test_what_is_answered_together_is_settled_in_one_trip_with_the_next_lease(delivering: Delivering) -> None:
    await delivering.deliverer.run("s1")
    assert await delivering.states() == "dddddd"
    assert sorted(delivering.receiver.sent) == delivering.names
    assert (await delivering.store.totals("s1")).counts == Counts(read=6, sent=6)
    assert delivering.trips.number == 1 + BATCHES / 2


async def test_a_stop_hands_back_what_was_being_leased_and_keeps_what_was_taken(delivering: Delivering) -> None:
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def before(number: int) -> None:
        if number == 2:
            under_way.set()
            await go_on.wait()

    delivering.trips.before = before
    running = asyncio.create_task(delivering.deliverer.run("s1"))
    await under_way.wait()
    running.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert delivering.receiver.sent == ["b1", "b2"]
    assert await delivering.states() == "ddwwww"
    again = await delivering.store.lease_batches("s1", limit=9, lease_s=60.0)
    assert [(batch.id, batch.attempts, batch.uncertain) for batch in again] == [
        (name, 0, False) for name in delivering.names[2:]
    ]


async def test_a_stop_waits_for_requests_in_flight_and_settles_them(delivering: Delivering) -> None:
    answers = asyncio.Event()

    async def answering(number: int) -> int:
        await answers.wait()
        return 200 if number == 1 else 500

    delivering.receiver.answering = answering
    running = asyncio.create_task(delivering.deliverer.run("s1"))
    while len(delivering.receiver.sent) < 2:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.sleep(0)
    answers.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await delivering.states() == "dwwwww"
    assert [len(await delivering.store.attempts(name)) for name in ("b1", "b2", "b3")] == [1, 1, 0]


async def test_a_request_that_outlasts_the_stop_is_given_up_and_its_lease_stays(delivering: Delivering) -> None:
    async def answering(number: int) -> int:
        if number == 2:
            await asyncio.Event().wait()
        return 200

    delivering.receiver.answering = answering
    running = asyncio.create_task(delivering.deliverer.run("s1"))
    while await delivering.states() != "dwdddd":
        pass
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await delivering.store.lease_batches("s1", limit=9, lease_s=60.0) == []


async def test_when_a_trip_fails_requests_in_flight_end_and_each_is_settled_by_itself(delivering: Delivering) -> None:
    answers = asyncio.Event()

    async def answering(number: int) -> int:
        if number == 2:
            await answers.wait()
        return 200

    async def before(number: int) -> None:
        if number == 2:
            asyncio.get_running_loop().call_later(0.01, answers.set)
            raise StoreUnavailable("away")

    delivering.receiver.answering = answering
    delivering.trips.before = before
    with pytest.raises(StoreUnavailable):
        await delivering.deliverer.run("s1")
    assert await delivering.states() == "ddwwww"
    assert delivering.receiver.sent == ["b1", "b2"]


async def test_a_success_counts_for_the_lane_that_it_was_sent_to(delivering: Delivering) -> None:
    old = a_source().lane
    await delivering.store.change_lane(old, lambda lane: lane.but(failures=3))
    await delivering.store.change_lane("new", lambda lane: lane.but(failures=2))

    async def answering(number: int) -> int:
        if number == 1:
            await delivering.store.change_source("s1", lambda source: (source.but(lane="new", paused_at=1.0), ()))
        return 200

    delivering.receiver.answering = answering
    await delivering.deliverer.run("s1")
    assert await delivering.states() == "ddwwww"
    assert ((await delivering.store.lane(old)).failures, (await delivering.store.lane("new")).failures) == (0, 2)


async def test_a_batch_discarded_under_its_request_stays_so_and_the_other_is_settled(delivering: Delivering) -> None:
    async def answering(number: int) -> int:
        if number == 1:
            await delivering.store.discard_batch("b1")
        return 200

    delivering.receiver.answering = answering
    await delivering.deliverer.run("s1")
    assert (await delivering.store.batch("b1")).state is BatchState.DISCARDED
    assert (await delivering.store.totals("s1")).counts == Counts(read=6, sent=5, discarded=1)


async def test_a_batch_that_nobody_may_probe_with_is_handed_back(delivering: Delivering) -> None:
    """Somebody else claims the probe between the lease and ours."""
    lane = a_source().lane
    await delivering.store.change_lane(lane, lambda lane: lane.but(open=True, opened_at=1.0))

    claim = delivering.store.change_lane

    async def too_late(key: str, change: Any) -> Any:
        await claim(key, lambda lane: lane.but(probing=True, probe_at=FakeClock().now() + 60.0))
        return await claim(key, change)

    delivering.trips.change_lane = too_late  # type: ignore[attr-defined]
    await delivering.deliverer.run("s1")
    assert delivering.receiver.sent == []
    assert len(await delivering.store.lease_batches("s1", limit=9, lease_s=60.0)) == BATCHES


async def test_what_was_laid_out_is_sent_and_what_is_held_no_longer_is_read_late(delivering: Delivering) -> None:
    laid_out = b"as it was laid out"
    kept, dropped = [(await delivering.store.batch(name)).sha256 for name in ("b1", "b2")]
    delivering.laid_out.keep(kept, laid_out)
    delivering.laid_out.keep(dropped, b"not for long")

    async def before(_: int) -> None:  # between the lease, which leaves the body out, and the request
        delivering.laid_out.holds = lambda sha256: sha256 in (kept, dropped)  # type: ignore[method-assign]
        delivering.laid_out.take(await delivering.store.batch("b2"))

    delivering.trips.before = before
    await delivering.deliverer.run("s1")
    bodies = dict(zip(delivering.receiver.sent, delivering.receiver.bodies, strict=True))
    assert (bodies["b1"], bodies["b2"]) == (laid_out, b'{"type":"x","data":"b2"}')
    assert await delivering.states() == "dddddd"


async def test_a_batch_whose_body_has_gone_with_its_source_is_not_sent(delivering: Delivering) -> None:
    delivering.laid_out.holds = lambda sha256: True  # type: ignore[method-assign]
    turned = delivering.trips.settle_and_lease

    async def then_removed(*args: Any, **kwargs: Any) -> Turn:
        turn = await turned(*args, **kwargs)
        await delivering.store.remove_source("s1")
        return turn

    delivering.trips.settle_and_lease = then_removed  # type: ignore[method-assign]
    with pytest.raises(NotFound):  # of the next trip, once the batches are let go
        await delivering.deliverer.run("s1")
    assert delivering.receiver.sent == []
