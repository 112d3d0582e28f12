"""`python -m support.dying ROLE VERB WHEN COUNT`: a process of Trailhook that dies at a commit boundary.

It ends as by kill -9 the COUNTth time that it is about to call (`before`) or has just returned from (`after`) VERB of
its store: what the verb did is durable or it is not, and nobody was told.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

from trailhook import serving
from trailhook.app import Parts
from trailhook.settings import load
from trailhook.store.base import Store, Turn
from trailhook.telemetry import configure_logging


class DyingStore:
    """The store it wraps, but for one verb."""

    def __init__(self, store: Store, verb: str, when: str, count: int) -> None:
        self._store = store
        self._verb = verb
        self._when = when
        self._left = count

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        return self._deadly(real) if name == self._verb else real

    def _deadly(self, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            if self._when == "before":
                self._die_if_due()
                return await real(*args, **kwargs)
            result = await real(*args, **kwargs)
            if _has_changed_something(args, result):
                self._die_if_due()
            return result

        return call

    def _die_if_due(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _has_changed_something(arguments: tuple[Any, ...], result: object) -> bool:
    """A lease of nothing is no boundary."""
    if isinstance(result, Turn):
        _, settlements, *_ = arguments
        return bool(settlements or result.batches)
    return result is None or bool(result)


def main(role: str, verb: str, when: str, count: str) -> None:
    def fit(parts: Parts) -> Parts:
        return replace(parts, store=cast(Store, DyingStore(parts.store, verb, when, int(count))))

    settings = load(os.environ)
    configure_logging(settings, sys.stderr)
    asyncio.run(serving.serve(serving.ROLES[role], settings, announce=lambda text: print(text, flush=True), fit=fit))


if __name__ == "__main__":
    main(*sys.argv[1:])
