"""A span of the past in CloudTrail's event history: nothing is looked for, windows are cut. It reaches back 90 days."""

from collections.abc import Sequence

from trailhook.clock import Clock
from trailhook.model import FoundUnit
from trailhook.settings import Settings
from trailhook.sources.base import Access, Span, Step, Stretch, Survey
from trailhook.sources.lookup import INTAKE, UNITS_PER_PAGE
from trailhook.sources.lookup_windows import KEPT_S, LOOKS, WINDOW_S, cut, window_name


class LookupHistory:
    """The `History` of LookupEvents."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    async def stretches(self, access: Access, span: Span) -> Sequence[Stretch]:
        """See `History.stretches`: each category of each region, none if all of the span is forgotten by now."""
        source = access.source
        if span.to_at <= self._oldest_at():
            return []
        return [
            Stretch(intake=INTAKE, name=f"{region}/{category}")
            for region in source.regions or (source.region,)
            for category in LOOKS
        ]

    async def survey(self, access: Access, span: Span, stretches: Sequence[Stretch]) -> Survey:  # noqa: ARG002
        """See `History.survey`. It takes no request."""
        from_at = max(span.from_at, self._oldest_at())
        windows = -(-max(0, int(span.to_at - from_at)) // WINDOW_S)
        cut_off = " What is older than 90 days is forgotten." if from_at > span.from_at else ""
        return Survey(
            lookup_requests=windows * len(stretches),
            basis=f"LookupEvents takes a request for each quarter of an hour in each of {len(stretches)} histories, "
            f"more where there is more than a page, at two a second.{cut_off}",
        )

    async def step(self, access: Access, span: Span, stretch: Stretch, after: str) -> Step:
        """See `History.step`."""
        region, _, category = stretch.name.partition("/")
        from_at = max(int(after or span.from_at), self._oldest_at())
        windows = cut(from_at, int(span.to_at))[:UNITS_PER_PAGE]
        reached_at = windows[-1].end_at if windows else int(span.to_at)
        return Step(
            units=[
                FoundUnit(
                    intake=INTAKE,
                    place=region,
                    name=window_name(category, window),
                    version=span.id,
                    endpoint_url=access.source.endpoint_url,
                    region=region,
                    size_bytes=self._settings.group_bytes_max,  # one at a time: polls take turns at AWS, too
                    labelled_at=window.start_at,
                    modified_at=self._clock.now(),
                    backfill=True,
                )
                for window in windows
            ],
            after=str(reached_at),
            reached_at=reached_at,
            over=reached_at >= int(span.to_at),
        )

    def _oldest_at(self) -> int:
        return int(self._clock.now()) - KEPT_S
