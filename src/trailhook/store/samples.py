"""What a store promises of many sources at once, and of how their counts have grown; see `store.base`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from trailhook.model import Counts, Lane, SourceTotals, Value

MINUTE_S = 60
HOUR_S = 3_600
STEPS_S = (MINUTE_S, HOUR_S)
"""How far apart samples are kept: by the minute for a day, by the hour as long as the log."""
MINUTES_KEPT_S = 86_400.0
DAYS_KEPT_MIN = 2
"""Samples by the hour are kept at least so long: no series may lose its last one (see `QUIET_S_MAX`)."""
QUIET_S_MAX = 86_400.0
"""Counts that do not change are sampled once a day."""


class Sample(Value, frozen=True, kw_only=True):
    """What was counted for a source up to a time."""

    at: float
    counts: Counts


class Overview(Protocol):
    """What is asked of many sources at once, and how their counts have grown."""

    async def totals_of(self, source_ids: Collection[str]) -> Mapping[str, SourceTotals]:
        """`Sources.totals` of several; those that are gone are not in it."""

    async def sum_of_counts(self) -> Counts:
        """What is counted for all sources together."""

    async def lanes(self, keys: Collection[str]) -> Mapping[str, Lane]:
        """`Outbox.lane` of several."""

    async def sample(self) -> int:
        """Keep what is counted now for each source, beside earlier samples, and return for how many.

        The first in each minute (and each hour) counts, and only of counts that have changed since the one before, or
        that were not sampled for `QUIET_S_MAX`. Samples older than `MINUTES_KEPT_S` (by the hour: than retention and
        `DAYS_KEPT_MIN`) are forgotten, those of removed sources at once or soon.
        """

    async def samples(
        self, source_ids: Collection[str], *, step_s: int, since_at: float
    ) -> Mapping[str, Sequence[Sample]]:
        """The samples since then, oldest first, led by the last one before, if there is any. `step_s`: see `STEPS_S`.

        A source without any has an empty list.
        """
