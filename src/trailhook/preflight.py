"""Trying a source out: each thing it needs, done once for real, with what to do about those that fail."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from trailhook import body
from trailhook.clock import Clock, rfc3339
from trailhook.cloudtrail.policy import keys_policy, minimal_policy
from trailhook.delivery.outcome import Outcome, Verdict
from trailhook.errors import KeyUnavailable
from trailhook.model import NewBatch, Source, Value
from trailhook.sources.base import Access, Check, WayIn

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
    """Tries sources out; writes nothing and moves no state."""

    def __init__(
        self, *, ways: Mapping[str, WayIn], access: Callable[[Source], Access], ping: Ping, clock: Clock
    ) -> None:
        self._ways = ways
        self._access = access
        self._ping = ping
        self._clock = clock

    async def run(self, source: Source) -> Report:
        """Try everything the source needs; a check that could not be made because another failed is left out."""
        checks = [check async for check in self._fetching(source)]
        checks.append(await self._calling(source))
        return Report(checks=tuple(checks), policy=minimal_policy(source), keys_policy=keys_policy(source))

    async def _fetching(self, source: Source) -> AsyncIterator[Check]:
        try:
            access = self._access(source)
        except KeyUnavailable:
            yield Check(name="credentials", ok=False, detail="The stored credentials cannot be opened.")
            return
        for intake in source.intakes:
            async for check in self._ways[intake].check(access):
                yield check

    async def _calling(self, source: Source) -> Check:
        data = {"sourceId": source.id, "sourceName": source.name, "sentAt": rfc3339(self._clock.now())}
        notice = body.notice("source.test", data, batch_id=body.new_batch_id())
        try:
            verdict = await self._ping(source, notice)
        except KeyUnavailable:
            return Check(name="callback", ok=False, detail="The stored signing secret cannot be opened.")
        if verdict.outcome is Outcome.DELIVERED:
            return Check(name="callback", ok=True, detail="The receiver took a signed source.test.")
        return Check(name="callback", ok=False, detail=verdict.error, remedy=verdict.remedy)
