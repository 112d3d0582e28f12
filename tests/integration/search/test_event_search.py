"""Searching a log whose blocks overlap in time, held against going through all of it in order."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support import records
from support.clock import START_AT, FakeClock
from support.store_values import DELIVERED, a_source, freeze, settled_as
from support.stores import STORES, mongo, sqlite
from trailhook import body
from trailhook.clock import rfc3339
from trailhook.cloudtrail.stretch import Record
from trailhook.errors import NotFound, Throttled
from trailhook.model import BatchState
from trailhook.search.base import Asked, Found, Place
from trailhook.search.grammar import parse
from trailhook.search.log import EventSearch
from trailhook.search.tail import Tails
from trailhook.store.base import Limits, Store

NAMES = ("GetObject", "PutObject", "ConsoleLogin")
RARE = "DeleteTrail"


@dataclass
class Log:
    """A store with some batches in it, and what they hold."""

    store: Store
    clock: FakeClock
    tails: Tails = field(default_factory=lambda: Tails(most=1))
    events: list[tuple[Place, str, str]] = field(default_factory=list)
    """Place, name and exact text."""

    @property
    def search(self) -> EventSearch:
        return EventSearch(self.store, self.clock, self.tails, turn_s=0.5)

    @property
    def hurried(self) -> EventSearch:
        """One whose turn is over as soon as it has got anywhere."""
        return EventSearch(self.store, self.clock, self.tails, turn_s=0.0)

    async def add(self, *found: Record, source_id: str = "s1") -> str:
        batch = records.frozen(found, source_id=source_id, batch_id=f"msg_{len(self.events)}_{source_id}")
        await freeze(self.store, batch, source_id=source_id)
        num = (await self.store.batch(batch.id)).num
        for position, each in enumerate(found):
            self.events.append((Place(each.at, num, position), each.event.event_name or "", each.raw.decode()))
        return batch.id

    def expected(self, name: str) -> list[str]:
        return [text for _, each, text in sorted(self.events, reverse=True) if each == name]


def event(number: int, at_s: float, name: str = RARE) -> Record:
    return records.record(number, eventName=name, eventTime=rfc3339(START_AT + at_s)[:19] + "Z")


def texts(found: list[Found]) -> list[str]:
    return [(each.raw or b"").decode() for each in found]


@pytest.fixture(params=STORES)
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    clock = FakeClock()
    opens = (
        mongo(f"{request.getfixturevalue('mongodb_url')}search", clock)
        if request.param == "mongo"
        else sqlite(tmp_path, clock)
    )
    async with opens(Limits(keep_bodies=False)) as store:
        await store.add_source(a_source())
        yield Log(store, clock)


@pytest.fixture
async def filled(log: Log) -> Log:
    """Thirty batches of ten events, each batch anywhere within ten minutes, some seconds many times."""
    chance = random.Random(5)
    for number in range(30):
        start_s = chance.uniform(0, 600)
        await log.add(
            *(event(number * 10 + each, start_s + chance.randrange(90), chance.choice(NAMES)) for each in range(10))
        )
    return log


async def pages(search: EventSearch, asked: Asked, limit: int) -> list[Found]:
    """All pages, each as far back as it says."""
    found: list[Found] = []
    after: Place | None = None
    while True:
        page = await search.page(asked, limit=limit, after=after)
        assert len(page.found) <= limit
        assert all(each.place.at >= page.searched_back_to_at for each in page.found)
        assert after is None or page.next is None or page.next < after, "it does not get any further"
        found += page.found
        after = page.next
        if after is None:
            return found


@pytest.mark.parametrize("limit", [1, 7, 1_000])
async def test_pages_hold_every_event_once_newest_first(filled: Log, limit: int) -> None:
    asked = Asked(query=parse("eventName:PutObject"))
    assert texts(await pages(filled.search, asked, limit)) == filled.expected("PutObject")


@pytest.mark.parametrize("query", ["eventName:PutObject", '"\\"PutObject\\""'])
async def test_a_search_in_a_hurry_finds_the_same(filled: Log, query: str) -> None:
    first = await filled.hurried.page(Asked(query=parse(query)), limit=1_000)
    assert first.next is not None
    assert texts(await pages(filled.hurried, Asked(query=parse(query)), 1_000)) == filled.expected("PutObject")


async def test_an_export_holds_the_same(filled: Log) -> None:
    asked = Asked(query=parse("eventName:PutObject"))
    assert texts([each async for each in filled.search.every(asked)]) == filled.expected("PutObject")
    assert texts([each async for each in filled.search.every(asked, limit=9)]) == filled.expected("PutObject")[:9]


async def test_new_events_do_not_move_the_pages(filled: Log) -> None:
    asked = Asked(query=parse("eventName:PutObject"))
    expected = filled.expected("PutObject")
    first = await filled.search.page(asked, limit=5)
    await filled.add(event(900, 700, "PutObject"), event(901, 650, "PutObject"))
    second = await filled.search.page(asked, limit=5, after=first.next)
    assert texts(first.found + second.found) == expected[:10]


async def test_time_bounds_take_in_the_first_and_leave_out_the_last(log: Log) -> None:
    await log.add(*(event(number, number) for number in range(5)))
    asked = Asked(from_at=START_AT + 1, to_at=START_AT + 3)
    assert [each.at - START_AT for each in (await log.search.page(asked, limit=9)).found] == [2, 1]


async def test_an_event_without_a_time_stands_where_the_oldest_of_its_batch_does(log: Log) -> None:
    await log.add(event(1, 10), records.record(2, eventTime=None), event(3, 30))
    await log.add(event(4, 20), event(5, 5))
    found = (await log.search.page(Asked(), limit=9)).found
    assert [each.at and each.at - START_AT for each in found] == [30, 20, 10, 0, 5] or [
        each.at and each.at - START_AT for each in found
    ] == [30, 20, 0, 10, 5]
    assert [each.place.at - START_AT for each in found] == [30, 20, 10, 10, 5]


async def test_an_event_says_where_it_is(log: Log) -> None:
    batch = await log.add(event(1, 1, "GetObject"), event(2, 2))
    (found,) = (await log.search.page(Asked(query=parse(f"eventName:{RARE}")), limit=9)).found
    assert (found.batch_id, found.position, found.source_id, found.state) == (batch, 1, "s1", BatchState.WAITING)
    assert found.texts["name"] == RARE
    assert found.read_only is True
    assert await log.search.one(batch, 1) == found


@pytest.mark.parametrize("position", [-1, 2])
async def test_what_is_no_event_is_not_found(log: Log, position: int) -> None:
    batch = await log.add(event(1, 1), event(2, 2))
    with pytest.raises(NotFound):
        await log.search.one(batch, position)
    with pytest.raises(NotFound):
        await log.search.one("msg_of_nobody", 0)


async def test_the_link_to_an_event_outlives_the_split_of_its_batch(log: Log) -> None:
    batch_id = await log.add(event(1, 1), event(2, 2))
    before = await log.search.one(batch_id, 1)
    (batch,) = await log.store.lease_batches("s1", limit=1, lease_s=60)
    children = body.halve(batch, source_id="s1", ids=("msg_left", "msg_right"))
    await log.store.settle(batch, settled_as(BatchState.SPLIT, children=children))
    assert (await log.search.one(batch_id, 1)).texts == before.texts
    assert [each.batch_id for each in (await log.search.page(Asked(), limit=9)).found] == ["msg_right", "msg_left"]


async def test_without_records_fields_are_found_and_text_says_what_it_could_not_read(log: Log) -> None:
    await log.add(event(1, 1))
    (batch,) = await log.store.lease_batches("s1", limit=1, lease_s=60)
    await log.store.settle(batch, DELIVERED)
    await log.add(event(2, 2), event(3, 3, "GetObject"))
    by_field = await log.search.page(Asked(query=parse(f"eventName:{RARE}")), limit=9)
    assert [each.raw is None for each in by_field.found] == [False, True]
    assert by_field.unread == 0
    by_text = await log.search.page(Asked(query=parse(f"{RARE} eventName:*")), limit=9)
    assert [each.at - START_AT for each in by_text.found] == [2]
    assert by_text.unread == 1


async def test_a_damaged_body_costs_no_search_the_others(log: Log) -> None:
    await log.add(event(1, 0))
    sound = records.frozen([event(2, 1)], source_id="s1", batch_id="msg_damaged")
    await freeze(log.store, sound.but(body=b"\x1f\x8b no longer gzip"), source_id="s1")
    page = await log.search.page(Asked(query=parse(f"eventName:{RARE}")), limit=10)
    assert [each.raw for each in page.found] == [None, event(1, 0).raw]
    by_text = await log.search.page(Asked(query=parse(RARE)), limit=10)
    assert (texts(by_text.found), by_text.unread) == (log.expected(RARE), 1)


async def test_a_histogram_counts_what_a_search_finds(filled: Log) -> None:
    asked = Asked(query=parse("eventName:PutObject"), from_at=START_AT, to_at=START_AT + 700)
    whole = await filled.search.histogram(asked, buckets=7)
    assert whole.next is None
    expected = [0] * 7
    for place, name, _ in filled.events:
        expected[int((place.at - START_AT) // 100)] += name == "PutObject"
    assert whole.counts == expected


async def test_a_histogram_in_a_hurry_comes_in_parts_that_add_up(filled: Log) -> None:
    asked = Asked(from_at=START_AT, to_at=START_AT + 700)
    part = await filled.hurried.histogram(asked, buckets=7)
    counts, parts = part.counts, 1
    while part.next is not None:
        part = await filled.hurried.histogram(asked, buckets=7, after=part.next)
        counts, parts = [a + b for a, b in zip(counts, part.counts, strict=True)], parts + 1
    assert parts > 1
    assert counts == (await filled.search.histogram(asked, buckets=7)).counts
    assert sum(counts) == 300


async def test_text_cannot_be_counted(log: Log) -> None:
    with pytest.raises(ValueError, match="fields"):
        await log.search.histogram(Asked(query=parse("word"), to_at=START_AT), buckets=1)


async def watched(log: Log, asked: Asked, number: int, since: int | None = None) -> list[str]:
    tail = await log.search.tail(asked, since=since)
    found = []
    async for each in tail.events():
        found.append(each.batch_id)
        if len(found) == number:
            break
    return found


async def test_a_tail_begins_now_and_shows_what_fits(log: Log) -> None:
    await log.add(event(1, 1))
    tail = await log.search.tail(Asked(query=parse(f"eventName:{RARE}")))
    await log.add(event(2, 9, "GetObject"))
    newer = await log.add(event(3, 2), event(4, 1, "GetObject"))
    newest = await log.add(event(5, 3))
    events = tail.events()
    assert [(await anext(events)).batch_id, (await anext(events)).batch_id] == [newer, newest]
    await events.aclose()


async def test_a_tail_takes_up_where_its_watcher_left(log: Log) -> None:
    first = await log.add(event(1, 1))
    second = await log.add(event(2, 2))
    num = (await log.store.batch(first)).num
    assert await watched(log, Asked(), 1, since=num) == [second]
    assert await watched(log, Asked(), 2, since=0) == [first, second]


async def test_a_tail_shows_a_batch_once_though_it_is_split(log: Log) -> None:
    tail = await log.search.tail(Asked())
    whole = await log.add(event(1, 1), event(2, 2))
    events = tail.events()
    assert (await anext(events)).batch_id == whole
    (batch,) = await log.store.lease_batches("s1", limit=1, lease_s=60)
    children = body.halve(batch, source_id="s1", ids=("msg_left", "msg_right"))
    await log.store.settle(batch, settled_as(BatchState.SPLIT, children=children))
    last = await log.add(event(3, 3))
    assert [(await anext(events)).batch_id, (await anext(events)).batch_id] == [whole, last]
    await events.aclose()


async def test_a_tail_ends_when_the_process_stops(log: Log) -> None:
    tail = await log.search.tail(Asked())
    await log.add(event(1, 1))
    found = []
    async for each in tail.events():
        found.append(each)
        log.tails.close()
    assert len(found) == 1


async def test_so_many_may_watch_and_no_more(log: Log) -> None:
    with log.tails.one(), pytest.raises(Throttled), log.tails.one():
        pass
    with log.tails.one():
        pass


async def test_the_log_of_an_unknown_source_cannot_be_watched(log: Log) -> None:
    with pytest.raises(NotFound):
        await log.search.tail(Asked(source_id="nobody"))
