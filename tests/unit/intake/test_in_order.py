"""Several pieces of work at a time, whose turns come in the order in which they were begun."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from trailhook.intake.in_order import InOrder, Turn


class Work:
    """Pieces that go on when they are told to, and note when their turn came."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.turns: list[str] = []
        self.go: dict[str, asyncio.Event] = {}

    def piece(self, name: str, failing: Exception | None = None) -> Callable[[Turn], Coroutine[Any, Any, None]]:
        self.go[name] = asyncio.Event()

        async def work(turn: Turn) -> None:
            self.begun.append(name)
            await self.go[name].wait()
            if failing:
                raise failing
            await turn()
            self.turns.append(name)

        return work


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_turns_come_in_the_order_of_beginning_whoever_is_ready_first() -> None:
    work = Work()
    async with InOrder(3) as groups:
        for name in ("a", "b"):
            await groups.begin(work.piece(name), weight=5)
        work.go["b"].set()
        await settled()
        assert (work.begun, work.turns, groups.weight) == (["a", "b"], [], 10)
        work.go["a"].set()
    assert work.turns == ["a", "b"]


async def test_no_more_are_under_way_than_allowed() -> None:
    work = Work()
    async with InOrder(1) as groups:
        beginning = asyncio.create_task(groups.begin(work.piece("a")))
        await settled()
        assert not beginning.done()
        work.go["a"].set()
        await beginning
        assert groups.weight == 0


async def test_one_that_fails_costs_the_others_nothing_and_is_told() -> None:
    work = Work()

    async def run() -> None:
        async with InOrder(3) as groups:
            await groups.begin(work.piece("a", failing=ValueError("a")))
            await groups.begin(work.piece("b"))
            for event in work.go.values():
                event.set()

    with pytest.raises(ValueError, match="a"):
        await run()
    assert work.turns == ["b"]


async def test_what_is_cancelled_cancels_all_that_is_under_way() -> None:
    work = Work()

    async def run() -> None:
        async with InOrder(3) as groups:
            for name in ("a", "b"):
                await groups.begin(work.piece(name))

    running = asyncio.create_task(run())
    await settled()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (work.begun, work.turns) == (["a", "b"], [])
