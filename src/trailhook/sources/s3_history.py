"""A span of the past in an S3 bucket: its region directories, listed from one day to another, page by page.

Files are chosen by the time in their names. Where to go on is the last key seen: that outlives any listing, its
process, and S3's own tokens.
"""

import asyncio
import math
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from trailhook.clock import Clock
from trailhook.cloudtrail.keys import Level, LogKey, classify, day_directory, locate
from trailhook.errors import Misconfigured
from trailhook.model import Value
from trailhook.net.base import Transport
from trailhook.settings import DAY_S, HOUR_S, Settings
from trailhook.sources.aws import AwsHttp, OnRequest
from trailhook.sources.aws_identity import CredentialProvider
from trailhook.sources.base import Access, Span, Step, Stretch, Survey
from trailhook.sources.s3 import INTAKE, UNKNOWN_LEVELS_MAX, unit_of
from trailhook.sources.s3_client import PAGE_KEYS_MAX, Place, S3Client

T = TypeVar("T")

FILED_LATE_S = HOUR_S
"""A file holds what happened before the time in its name: some minutes, with room for a late one."""
SURVEYED_MAX = 32
"""Directories that a survey looks into; more are judged by these."""
SAMPLES = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85)
"""Where in the span a survey looks into a directory that is more than one page."""


class S3History:
    """The `History` of S3 by listing."""

    def __init__(
        self,
        transport: Transport,
        provider: CredentialProvider,
        settings: Settings,
        clock: Clock,
        on_request: OnRequest | None = None,
    ) -> None:
        self._client = S3Client(AwsHttp(transport, clock, on_request), provider, settings)
        self._settings = settings

    async def stretches(self, access: Access, span: Span) -> Sequence[Stretch]:  # noqa: ARG002 - directories are ageless
        """See `History.stretches`: every region's directory under the source's prefix, in order."""
        level, found = [(access.source.prefix, 0)], []
        where = locate(access.source.prefix)
        if where.level is Level.REGION:
            found, level = ([access.source.prefix] if where.logs else []), []
        while level:
            listed = await self._together([self._directories(access, prefix) for prefix, _ in level])
            level, above = [], level
            for (_, unknown_levels), prefixes in zip(above, listed, strict=True):
                for prefix in prefixes:
                    where = locate(prefix)
                    depth = unknown_levels + (where.level is Level.ABOVE)
                    if where.level is Level.FOREIGN or not where.logs or depth > UNKNOWN_LEVELS_MAX:
                        continue
                    if where.level is Level.REGION:
                        found.append(prefix)
                    else:
                        level.append((prefix, depth))
            if len(level) + len(found) > self._settings.discovery_prefixes_max:
                raise Misconfigured("There are too many directories under the prefix.", "Set s3Prefix deeper.")
        return [Stretch(intake=INTAKE, name=prefix) for prefix in sorted(found)]

    async def survey(self, access: Access, span: Span, stretches: Sequence[Stretch]) -> Survey:
        """See `History.survey`. At most seven requests for each of `SURVEYED_MAX` directories."""
        chosen = [stretches[index] for index in _evenly(len(stretches), SURVEYED_MAX)]
        judged = await self._together([self._judge(access, span, stretch) for stretch in chosen])
        share = len(stretches) / len(chosen) if chosen else 1.0
        whole = sum(each.whole for each in judged)
        return Survey(
            objects=round(share * sum(each.objects for each in judged)),
            list_requests=round(share * sum(max(1, math.ceil(each.objects / PAGE_KEYS_MAX)) for each in judged)),
            basis=f"{whole} of {len(stretches)} directories were counted, {len(chosen) - whole} sampled at "
            f"{1 + len(SAMPLES)} days, {len(stretches) - len(chosen)} taken to be like those.",
        )

    async def step(self, access: Access, span: Span, stretch: Stretch, after: str) -> Step:
        """See `History.step`: one page of the listing."""
        root, place = locate(stretch.name).root, _place(access)
        listing = await self._client.list_page(
            access, place, prefix=stretch.name, start_after=after or day_directory(root, span.from_at)
        )
        to_at = span.to_at + FILED_LATE_S
        keys = [(listed, classify(listed.key)) for listed in listing.objects]
        labels = [key.labelled_at for _, key in keys if isinstance(key, LogKey)]
        last = listing.objects[-1].key if listing.objects else ""
        if after and last and last <= after:
            raise Misconfigured("The listing repeats itself without end.", "Correct endpointUrl.")
        over = not listing.next_token or not last or last >= day_directory(root, to_at + DAY_S)
        return Step(
            units=[
                unit_of(listed, key, place, region=self._client.region(place)).but(backfill=True)
                for listed, key in keys
                if isinstance(key, LogKey) and span.from_at <= key.labelled_at < to_at
            ],
            after=last,
            reached_at=span.to_at if over else min(span.to_at, max([span.from_at, *labels])),
            over=over,
        )

    # --------------------------------------------------------------------------------------------- in few requests

    async def _directories(self, access: Access, prefix: str) -> Sequence[str]:
        """What is directly in a directory."""
        found: list[str] = []
        token = ""
        while True:
            listing = await self._client.list_page(access, _place(access), prefix=prefix, delimiter="/", token=token)
            found += listing.prefixes
            if listing.next_token in ("", token):
                return found
            token = listing.next_token

    async def _judge(self, access: Access, span: Span, stretch: Stretch) -> "_Judged":
        """How many files of the span a directory has: counted if they are one page, else by how dense they lie."""
        first = await self.step(access, span, stretch, "")
        if first.over:
            return _Judged(objects=len(first.units), whole=True)
        rates: list[float] = []
        for part in SAMPLES:
            at = _midnight(span.from_at + part * (span.to_at - span.from_at))
            if at > first.reached_at:
                sample = await self.step(access, span, stretch, day_directory(locate(stretch.name).root, at))
                rates.append(len(sample.units) / max(60.0, sample.reached_at - at))
        rates = rates or [len(first.units) / max(60.0, first.reached_at - span.from_at)]
        rest = (span.to_at - first.reached_at) * sum(rates) / len(rates)
        objects = len(first.units) + round(rest)
        return _Judged(objects=objects, whole=False)

    async def _together(self, asking: Sequence[Coroutine[Any, Any, T]]) -> Sequence[T]:
        """All answers, a bounded number of requests at a time; the first failure once all have ended."""
        room = asyncio.Semaphore(self._settings.aws_concurrency)

        async def ask(one: Coroutine[Any, Any, T]) -> T:
            async with room:
                return await one

        answers = await asyncio.gather(*map(ask, asking), return_exceptions=True)
        found: list[T] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            found.append(answer)
        return found


class _Judged(Value, frozen=True, kw_only=True):
    """One directory's part of a survey."""

    objects: int
    whole: bool


def _place(access: Access) -> Place:
    source = access.source
    if not source.bucket:
        raise Misconfigured("The source names no bucket.", "Set s3Bucket.")
    return Place(bucket=source.bucket, endpoint_url=source.endpoint_url, region=source.region)


def _midnight(at: float) -> float:
    return datetime.fromtimestamp(at, UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


def _evenly(number: int, most: int) -> Sequence[int]:
    """Up to `most` of the numbers below `number`, spread evenly."""
    return range(number) if number <= most else [index * number // most for index in range(most)]
