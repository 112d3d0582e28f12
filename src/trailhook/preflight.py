"""Trying a source out: each thing it needs, done once for real, with what to do about those that fail."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from trailhook import body
from trailhook.clock import Clock, rfc3339
from trailhook.cloudtrail.policy import keys_policy, minimal_policy
from trailhook.delivery.outcome import Outcome, Verdict
from trailhook.errors import KeyUnavailable, NeedsAttention
from trailhook.model import NewBatch, Source, Value
from trailhook.sources.base import Access, Check, WayIn
from trailhook.sources.checks import failed

Ping = Callable[[Source, NewBatch], Awaitable[Verdict]]


class Report(Value, frozen=True, kw_only=True):
    """What came of it."""

    checks: tuple[Check, ...]
    policy: dict[str, Any]
    """The least that the identity which fetches must be allowed."""
    keys_policy: dict[str, Any] | None
    """The same for the access key, where it only assumes a role."""

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


class Preflight:
    """Tries sources out, registered or not: it moves no state, and what it finds is not kept."""

    def __init__(
        self,
        *,
        ways: Mapping[str, WayIn],
        access: Callable[[Source], Access],
        ping: Ping,
        within_s: float,
        clock: Clock,
    ) -> None:
        self._ways = ways
        self._access = access
        self._ping = ping
        self._within_s = within_s
        self._clock = clock

    async def run(self, source: Source) -> Report:
        """Try everything the source needs, all at the same time.

        What could not be tried because something before it failed is left out. Whatever a way in has not shown after
        `within_s` counts as failed.
        """
        fetching, calling = await asyncio.gather(self.fetching(source), self.calling(source))
        checks = (*fetching, calling)
        return Report(checks=checks, policy=minimal_policy(source), keys_policy=keys_policy(source))

    async def fetching(self, source: Source) -> Sequence[Check]:
        """Try each way in; what two of them found alike, such as their identity, is there once."""
        try:
            access = self._access(source)
        except NeedsAttention as error:
            return [failed("identity", error)]
        found = await asyncio.gather(*(self._entering(intake, access) for intake in source.intakes))
        return list(dict.fromkeys(check for checks in found for check in checks))

    async def _entering(self, intake: str, access: Access) -> Sequence[Check]:
        checks: list[Check] = []
        try:
            async with asyncio.timeout(self._within_s):
                async for check in self._ways[intake].check(access):
                    checks.append(check)  # noqa: PERF401 - what was found before the time was up counts
        except TimeoutError:
            detail = f"It could not be tried within {self._within_s:g} seconds."
            checks.append(Check(name=intake, ok=False, detail=detail, remedy="Try again in a while."))
        return checks

    async def calling(self, source: Source) -> Check:
        """A signed `source.test` to the callback."""
        data = {"sourceId": source.id, "sourceName": source.name, "sentAt": rfc3339(self._clock.now())}
        notice = body.notice("source.test", data, batch_id=body.new_batch_id())
        try:
            verdict = await self._ping(source, notice)
        except KeyUnavailable:
            return Check(name="callback", ok=False, detail="The stored signing secret cannot be opened.")
        if verdict.outcome is Outcome.DELIVERED:
            return Check(name="callback", ok=True, detail="The receiver took a signed source.test.")
        return Check(name="callback", ok=False, detail=verdict.error, remedy=verdict.remedy)
