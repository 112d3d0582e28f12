"""How keys lie in rows: few of them, and each key in one."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from support.clock import FakeClock
from support.store_values import DAY_S, a_key, a_source, some_keys
from support.stores import empty
from trailhook.errors import KeysTaken
from trailhook.store.base import Commit, Limits
from trailhook.store.mongo import MongoStore
from trailhook.store.mongo.ledger import KEYS_PER_QUESTION, KEYS_PER_ROW


class Opened:
    """A store with one source, and what its ledger is made of."""

    def __init__(self, store: MongoStore, ledger: Any) -> None:
        self.store = store
        self._ledger = ledger

    async def claim(self, start: int, number: int) -> None:
        await self.store.commit(Commit(source_id="s1", token=0, keys=some_keys(start, number)))

    async def rows(self) -> list[list[bytes]]:
        """The keys of each row, the row that was seen longest ago first."""
        return [row["keys"] for row in await self._ledger.find(sort=[("_id", 1)]).to_list()]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def opened(mongodb_url: str, clock: FakeClock) -> AsyncIterator[Opened]:
    url = f"{mongodb_url}ledger"
    await empty(url)
    async with (
        MongoStore.open(url, clock=clock, limits=Limits()) as store,
        AsyncMongoClient[dict[str, Any]](url) as client,
    ):
        await store.add_source(a_source())
        yield Opened(store, client.get_default_database()["ledger"])


async def test_keys_that_come_together_lie_in_few_rows(opened: Opened) -> None:
    await opened.claim(0, 1_000)
    await opened.claim(1_000, 1)
    rows = await opened.rows()
    assert sorted(map(len, rows)) == [1, 1_000 % KEYS_PER_ROW, *[KEYS_PER_ROW] * (1_000 // KEYS_PER_ROW)]
    assert sorted(key for row in rows for key in row) == some_keys(0, 1_001)


@pytest.mark.parametrize("known", [0, KEYS_PER_QUESTION - 1, KEYS_PER_QUESTION, KEYS_PER_QUESTION + 1])
async def test_a_claim_finds_a_known_key_on_either_side_of_a_question(opened: Opened, known: int) -> None:
    await opened.claim(known, 1)
    with pytest.raises(KeysTaken):
        await opened.claim(0, KEYS_PER_QUESTION + 2)
    assert await opened.rows() == [[a_key(known)]]


async def test_keys_seen_again_leave_their_row_and_a_row_without_keys_goes(opened: Opened, clock: FakeClock) -> None:
    await opened.claim(0, 2 * KEYS_PER_ROW)
    clock.advance(2 * DAY_S)
    seen = [*some_keys(0, KEYS_PER_ROW), a_key(KEYS_PER_ROW + 5)]
    assert await opened.store.known_keys("s1", seen) == set(seen)
    left, *moved = await opened.rows()
    assert left == [key for key in some_keys(KEYS_PER_ROW, KEYS_PER_ROW) if key not in seen]
    assert Counter(key for row in moved for key in row) == Counter(seen)


async def test_a_key_seen_again_the_same_day_stays_where_it_is(opened: Opened, clock: FakeClock) -> None:
    await opened.claim(0, 10)
    before = await opened.rows()
    clock.advance(DAY_S - 3_601)
    await opened.store.known_keys("s1", some_keys(0, 5))
    assert await opened.rows() == before
