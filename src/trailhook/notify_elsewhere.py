"""Notices to where people look: chat, mail, pagers, by the operator's own Apprise URLs (`TRAILHOOK_NOTIFY_URLS`).

The URLs hold secrets: they are named by their number, never by their text, and what Apprise says is not passed on.
"""

import asyncio
import logging
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from trailhook import __version__
from trailhook.clock import Clock
from trailhook.errors import SettingsError, Transient
from trailhook.model import NewBatch, Source, Untold, Value
from trailhook.settings import Settings
from trailhook.store.base import NOTIFY_FAILING, Store
from trailhook.telemetry import Metrics

if TYPE_CHECKING:
    import apprise

log = logging.getLogger(__name__)

RECOVERED = "source.recovered"
TURN_S = 60.0
"""No further notice of a source is begun after this: its lease holds for that, waiting, and sending."""
WAIT_S, WAIT_S_MAX = 15.0, 900.0


class Failing(Value, frozen=True, kw_only=True):
    """Kept in the store while a URL takes nothing."""

    since_at: float


class NotifyUrls:
    """The URLs, each behind a thread of its own while it is asked: Apprise blocks, and makes its own connections."""

    def __init__(self, urls: Sequence[str], *, timeout_s: float) -> None:
        """Raises `SettingsError` naming each that Apprise does not understand by its number."""
        targets = [_target(url) for url in urls]
        if wrong := [str(number) for number, target in enumerate(targets, 1) if target is None]:
            raise SettingsError(
                f"TRAILHOOK_NOTIFY_URLS: Apprise does not understand number {', '.join(wrong)} of {len(urls)} "
                "(a comma inside a URL is written %2C)"
            )
        self._targets = [target for target in targets if target is not None]
        self._timeout_s = timeout_s
        self._turns = [asyncio.Lock() for _ in self._targets]
        self._failing: set[int] = set()

    def __len__(self) -> int:
        return len(self._targets)

    async def send(self, number: int, title: str, text: str, *, good: bool) -> None:
        """Return once it was taken: one at a time for each URL, and what comes meanwhile waits while that goes well.

        Raises `Transient` if it was not, or if the one before it was not.
        """
        turn = await self._turn(number)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()

        def ended(taken: bool) -> None:
            (self._failing.discard if taken else self._failing.add)(number)
            turn.release()
            if not answer.done():
                answer.set_result(taken)

        def work() -> None:
            taken = _notify(self._targets[number - 1], title, text, good=good)
            if not loop.is_closed():
                loop.call_soon_threadsafe(ended, taken)

        # A daemon: one that hangs must not keep the process from stopping, as a pool's threads would.
        threading.Thread(target=work, name=f"notify-{number}", daemon=True).start()
        try:
            taken = await asyncio.wait_for(answer, self._timeout_s)
        except TimeoutError:
            self._failing.add(number)
            raise Transient(f"no answer in {self._timeout_s:g} s") from None
        if not taken:
            raise Transient("it was not taken")

    async def _turn(self, number: int) -> asyncio.Lock:
        """The sole right to send there, to be released. Nobody waits for one that fails only to fail as well."""
        turn = self._turns[number - 1]
        if not turn.locked():
            await turn.acquire()
            return turn
        if number not in self._failing:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await turn.acquire()
                if number not in self._failing:
                    return turn
                turn.release()
        raise Transient("the notice before it was not taken")


def _target(url: str) -> "apprise.Apprise | None":
    import apprise  # noqa: PLC0415 - with all that it knows it takes a second, and many installations have no such URL

    asset = apprise.AppriseAsset(
        app_id="Trailhook", app_desc=f"Trailhook {__version__}", storage_mode=apprise.PersistentStoreMode.MEMORY
    )
    target = apprise.Apprise(asset=asset)
    return target if target.add(url) and len(target) else None


def _notify(target: "apprise.Apprise", title: str, text: str, *, good: bool) -> bool:
    """Blocks. Whatever a plug-in of Apprise raises is its failure: what it says could hold the URL."""
    import apprise  # noqa: PLC0415 - see above

    kind = apprise.NotifyType.SUCCESS if good else apprise.NotifyType.WARNING
    try:
        return bool(target.notify(title=title, body=text, notify_type=kind, body_format=apprise.NotifyFormat.TEXT))
    except Exception as error:  # noqa: BLE001 - the outermost of its thread
        log.warning("a notification plug-in failed unexpectedly (%s)", type(error).__name__)
        return False


class Elsewhere:
    """Passes on what sources have kept for these URLs: at least once, in their order for each URL."""

    def __init__(self, store: Store, urls: NotifyUrls, settings: Settings, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._urls = urls
        self._settings = settings
        self._clock = clock
        self._metrics = metrics

    async def run(self, source_id: str) -> None:
        """Pass on what is due for one source. A URL that fails keeps none of the others waiting. Raises `NotFound`."""
        lease = await self._store.lease(f"notify:{source_id}", TURN_S + 2 * self._settings.notify_timeout_s + 5.0)
        if lease is None:
            return
        try:
            await self._pass_on(source_id)
        finally:
            await self._store.release(lease)

    async def _pass_on(self, source_id: str) -> None:
        began_at = self._clock.now()
        failed: set[int] = set()
        for untold in (await self._store.source(source_id)).untold:
            if self._clock.now() - began_at > TURN_S:
                return
            if untold.due_at <= self._clock.now() or untold.due_at > self._clock.now() + 2 * WAIT_S_MAX:
                reached = await self._send(untold, failed)
                failed |= set(untold.to) - reached
                await self._remember(source_id, untold, reached)
            else:
                failed |= set(untold.to)  # what is later in order waits for it

    async def _send(self, untold: Untold, failed: Collection[int]) -> set[int]:
        """The numbers that have taken it, or are no more."""
        numbers = [number for number in untold.to if number not in failed and number <= len(self._urls)]
        taken = await asyncio.gather(*(self._send_one(untold, number) for number in numbers))
        gone = {number for number in untold.to if number > len(self._urls)}
        return gone | {number for number, ok in zip(numbers, taken, strict=True) if ok}

    async def _send_one(self, untold: Untold, number: int) -> bool:
        why = ""
        try:
            await self._urls.send(number, untold.title, untold.text, good=untold.type == RECOVERED)
        except Transient as error:
            why = str(error)
        self._metrics.notice(number, "failed" if why else "sent")
        await self._mark(number, why)
        return not why

    async def _mark(self, number: int, why: str) -> None:
        """Keep, and log once, whether a URL fails: `trailhook doctor` shows it."""
        now = self._clock.now()
        before: bytes | None = None

        def change(present: bytes | None) -> bytes | None:
            nonlocal before
            before = present
            return (present or msgspec.json.encode(Failing(since_at=now))) if why else None

        await self._store.change_document(NOTIFY_FAILING, str(number), change)
        if why and before is None:
            log.warning("notices to number %d of TRAILHOOK_NOTIFY_URLS fail: %s", number, why)
        elif before is not None and not why:
            log.info("notices to number %d of TRAILHOOK_NOTIFY_URLS arrive again", number)

    async def _remember(self, source_id: str, untold: Untold, reached: Collection[int]) -> None:
        now = self._clock.now()
        left = tuple(number for number in untold.to if number not in reached)
        attempts = untold.attempts + 1
        given_up = bool(left) and now - untold.at >= self._settings.notify_give_up_after_s
        due_at = now + min(WAIT_S_MAX, WAIT_S * 2.0 ** min(untold.attempts, 10))
        after = untold.but(to=left, attempts=attempts, due_at=due_at) if left and not given_up else None

        def change(source: Source) -> tuple[Source, Sequence[NewBatch]]:
            kept = (after if each.id == untold.id else each for each in source.untold)
            return source.but(untold=tuple(each for each in kept if each is not None)), ()

        await self._store.change_source(source_id, change)
        if given_up:
            for number in left:
                self._metrics.notice(number, "given_up")
            where = ", ".join(map(str, left))
            told = {"source": source_id}
            log.error(
                "a notice was never taken by number %s of TRAILHOOK_NOTIFY_URLS: %s", where, untold.title, extra=told
            )
