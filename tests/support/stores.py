"""The stores that the contract suites run on."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from support.clock import FakeClock
from trailhook.store.base import Limits, Store
from trailhook.store.sqlite import SqliteStore

DEFAULT_LIMITS = Limits()


class OpenStore(Protocol):
    """Opens the test's own store; opening it again finds what was left there."""

    def __call__(self, limits: Limits = DEFAULT_LIMITS) -> AbstractAsyncContextManager[Store]: ...


def sqlite(directory: Path, clock: FakeClock) -> OpenStore:
    def open_store(limits: Limits = DEFAULT_LIMITS) -> AbstractAsyncContextManager[Store]:
        return SqliteStore.open(directory / "trailhook.sqlite", clock=clock, limits=limits)

    return open_store


STORES: dict[str, Callable[[Path, FakeClock], OpenStore]] = {"sqlite": sqlite}
"""By name: what makes a test's own store out of an empty directory and a clock."""
