"""Who reads groups of units, and freezes what of them is new: threads of this process, or other processes."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Protocol

from trailhook.body import LaidOut
from trailhook.intake.harvest import Found, Harvest, Terms, freeze
from trailhook.intake.reading import Bounds, Fetched, read_group
from trailhook.model import NewBatch


class Group(Protocol):
    """A group of units that has been read, wherever its records are held."""

    @property
    def found(self) -> Found:
        """What it held."""

    async def freeze(self, known: Collection[bytes]) -> Sequence[NewBatch]:
        """Batches of all its records but the `known` ones; again with more of those, if another was faster.

        Raises `ReaderLost`.
        """


class Reader(Protocol):
    """Reads. What it is given it does not keep, and what it makes of it is the same whoever does it."""

    groups: int
    """How many groups of a source it pays to have under way."""

    def read(self, terms: Terms, fetched: Sequence[Fetched]) -> AbstractAsyncContextManager[Group]:
        """Inflate, split and filter; the records are held until the block ends. Raises `ReaderLost`."""


class InThreads:
    """Reads in threads of this process, of which one at a time computes: two would get in each other's way."""

    groups = 2  # while one is fetched or committed, the other is read

    def __init__(self, bounds: Bounds, laid_out: LaidOut | None = None) -> None:
        self._bounds = bounds
        self._laid_out = laid_out
        self._computing = asyncio.Lock()

    @asynccontextmanager
    async def read(self, terms: Terms, fetched: Sequence[Fetched]) -> AsyncIterator[Group]:
        async with self._computing:
            group = await asyncio.to_thread(self._read, terms, fetched)
        yield group

    def _read(self, terms: Terms, fetched: Sequence[Fetched]) -> "InHand":
        return InHand(terms, read_group(terms, fetched, self._bounds), self._laid_out, self._computing)


class InHand:
    """A group whose records are here."""

    def __init__(
        self,
        terms: Terms,
        harvest: Harvest,
        laid_out: LaidOut | None = None,
        computing: AbstractAsyncContextManager[Any] | None = None,
    ) -> None:
        self._terms = terms
        self._stretches = harvest.stretches
        self._laid_out = laid_out
        self._computing = computing or nullcontext()
        self.found = harvest.found()

    async def freeze(self, known: Collection[bytes]) -> Sequence[NewBatch]:
        async with self._computing:
            return await asyncio.to_thread(freeze, self._terms, self._stretches, known, self._laid_out)
