"""CloudTrail's log files in an S3 bucket, found by listing.

A poll walks the directories from the source's prefix down to the regions (accounts and regions appear over time)
and lists each region's directory from its watermark minus the look-back, for files turn up late and in any order.
Now and then it *reconciles*: it lists the whole time that AWS may still redeliver in, and counts what is no log.

Memory: one page of a listing for each request in flight, and the prefixes still to be listed.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

from trailhook.clock import Clock
from trailhook.cloudtrail.keys import Directory, Ignored, Level, LogKey, classify, day_directory, locate
from trailhook.errors import AccessDenied, Misconfigured
from trailhook.model import FoundUnit, Rhythm, Unit, Value, Watermark
from trailhook.net.base import Transport
from trailhook.settings import DAY_S, Settings
from trailhook.silence import continued
from trailhook.sources.aws import AwsHttp, OnRequest
from trailhook.sources.aws_identity import CredentialProvider
from trailhook.sources.base import Access, Check, Page
from trailhook.sources.checks import by_reading
from trailhook.sources.s3_client import Place, S3Client
from trailhook.sources.s3_listing import Listed, Listing

_Entry = tuple[Listed, LogKey | Ignored]

INTAKE = "s3"
NOTHING_HEARD = Rhythm()
UNKNOWN_LEVELS_MAX = 3
"""How many directories that are not CloudTrail's may lie between the source's prefix and `AWSLogs/`."""


class S3Polling:
    """The `WayIn` of S3 by listing."""

    def __init__(
        self,
        transport: Transport,
        provider: CredentialProvider,
        settings: Settings,
        clock: Clock,
        on_request: OnRequest | None = None,
    ) -> None:
        self._client = S3Client(AwsHttp(transport, clock, on_request), provider, settings)
        self._provider = provider
        self._settings = settings
        self._clock = clock

    def poll(self, access: Access, marks: Mapping[tuple[str, str], Watermark]) -> AsyncIterator[Page]:
        """See `WayIn.poll`. A denied prefix does not keep the others from being listed: it raises at the end."""
        return _Poll(self._client, access, marks, self._settings, self._clock.now()).pages()

    async def read(self, access: Access, unit: Unit) -> bytes:
        """See `WayIn.read`. An object written again since it was listed is `ObjectGone`: it is another unit by now."""
        return await self._client.read(access, unit)

    def check(self, access: Access) -> AsyncIterator[Check]:
        """See `WayIn.check`. It walks as a first poll does, and gets an object, for KMS says no only then."""
        return by_reading(
            self.poll(access, {}),
            self.read,
            self._provider,
            access,
            find="list",
            found="Listing works.",
            where="s3Prefix says where to look, to the letter, and startFrom from when.",
        )


class _Branch(Value, frozen=True, kw_only=True):
    """A directory to walk through: list what is directly in it."""

    prefix: str
    unknown_levels: int = 0
    token: str = ""


class _Leaf(Value, frozen=True, kw_only=True):
    """A region's directory (or a prefix inside one) to list wholly, from the day of `from_at` on."""

    prefix: str
    root: str
    logs: bool
    from_at: float
    settled_from_at: float = math.inf
    settled_to_at: float = 0.0
    """What was due since the former and is labelled before the latter was found by earlier polls, and may have been
    forgotten since: to list more of the past must not bring it again."""
    reconciling: bool
    newest_at: float = 0.0
    """The newest label seen so far."""
    rhythm: Rhythm
    """Of the labels seen so far; unless all of the past is listed anew, of those before it, too."""
    token: str = ""

    def past(self, keys: Iterable[LogKey | Ignored]) -> "_Leaf":
        """The same, having seen these keys."""
        labels = [key.labelled_at for key in keys if isinstance(key, LogKey)]
        return self.but(newest_at=max(self.newest_at, *labels, 0.0), rhythm=continued(self.rhythm, labels))


class _Poll:
    """One poll of one source, as of `now`. A step is one request; what it finds are more steps, and units."""

    def __init__(
        self,
        client: S3Client,
        access: Access,
        marks: Mapping[tuple[str, str], Watermark],
        settings: Settings,
        now: float,
    ) -> None:
        source = access.source
        if not source.bucket:
            raise Misconfigured("The source names no bucket.", "Set s3Bucket.")
        self._client = client
        self._access = access
        self._marks = marks
        self._settings = settings
        self._now = now
        self._source = source
        self._place = Place(bucket=source.bucket, endpoint_url=source.endpoint_url, region=source.region)
        self._redelivery_at = now - settings.reconcile_days * DAY_S
        self._sweeping = self._is_due(self._mark_of(source.prefix))
        self._prefixes = 0

    async def pages(self) -> AsyncIterator[Page]:
        """Run the steps, a bounded number at a time, and yield what each finds, if nothing, as it comes."""
        waiting = list(self._first())
        running: dict[asyncio.Task[Listing], _Branch | _Leaf] = {}
        denied: AccessDenied | None = None
        try:
            while waiting or running:
                while waiting and len(running) < self._settings.aws_concurrency:
                    step = waiting.pop()
                    running[asyncio.create_task(self._list(step))] = step
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in [each for each in running if each.done()]:
                    if isinstance(refusal := task.exception(), AccessDenied):
                        denied = denied or refusal
                        del running[task]
                        continue
                    listing, step = task.result(), running.pop(task)
                    entries = [(each, classify(each.key)) for each in listing.objects]
                    if isinstance(step, _Leaf):
                        step = step.past(key for _, key in entries)
                    waiting.extend(self._steps_after(step, listing))
                    yield self._page(step, entries, last=not listing.next_token)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        if self._sweeping and not locate(self._source.prefix).root:
            yield Page(marks=[self._new_mark(self._source.prefix, 0.0, reconciled=True)])
        if denied:
            raise denied

    async def _list(self, step: _Branch | _Leaf) -> Listing:
        if isinstance(step, _Branch):
            return await self._client.list_page(
                self._access, self._place, prefix=step.prefix, delimiter="/", token=step.token
            )
        start_after = day_directory(step.root, step.from_at) if step.from_at > 0 else ""
        return await self._client.list_page(
            self._access, self._place, prefix=step.prefix, start_after=start_after, token=step.token
        )

    def _first(self) -> Iterator[_Branch | _Leaf]:
        prefix = self._source.prefix
        where = locate(prefix)
        if where.level is not Level.REGION:
            yield _Branch(prefix=prefix)
        elif where.logs or self._sweeping:
            yield self._leaf(prefix, where)

    def _steps_after(self, step: _Branch | _Leaf, listing: Listing) -> Iterator[_Branch | _Leaf]:
        """The rest of this listing, and the directories found on this page."""
        if listing.next_token == step.token != "":
            raise Misconfigured("The listing repeats itself without end.", "Correct endpointUrl.")
        if isinstance(step, _Branch):
            for prefix in listing.prefixes:
                yield from self._descend(step, prefix)
        if listing.next_token:
            yield step.but(token=listing.next_token)

    def _descend(self, step: _Branch, prefix: str) -> Iterator[_Branch | _Leaf]:
        where = locate(prefix)
        unknown_levels = step.unknown_levels + (where.level is Level.ABOVE)
        wanted = where.logs or self._sweeping
        if where.level is Level.FOREIGN or not wanted or unknown_levels > UNKNOWN_LEVELS_MAX:
            return
        self._count_prefix()
        if where.level is Level.REGION:
            yield self._leaf(prefix, where)
        else:
            yield _Branch(prefix=prefix, unknown_levels=unknown_levels)

    def _count_prefix(self) -> None:
        self._prefixes += 1
        if self._prefixes > self._settings.discovery_prefixes_max:
            raise Misconfigured(
                f"There are more than {self._settings.discovery_prefixes_max:,} directories under the prefix.",
                "Set s3Prefix to where AWSLogs/ is, or raise TRAILHOOK_DISCOVERY_PREFIXES_MAX.",
            )

    def _leaf(self, prefix: str, where: Directory) -> _Leaf:
        mark = self._mark_of(prefix if where.logs else self._source.prefix)
        reconciling = self._is_due(mark)
        from_at = self._from_at(mark, reconciling)
        rhythm = Rhythm() if mark is None or reconciling else mark.rhythm
        leaf = _Leaf(
            prefix=prefix, root=where.root, logs=where.logs, from_at=from_at, reconciling=reconciling, rhythm=rhythm
        )
        if mark is None:
            return leaf
        settled_to_at = min(self._usual_at(mark), self._redelivery_at)
        return leaf.but(settled_from_at=mark.start_from_at, settled_to_at=settled_to_at)

    def _from_at(self, mark: Watermark | None, reconciling: bool) -> float:
        """The oldest label to list; 0 for all.

        Never listed yet, or not that far back: from `start_from_at`, and what AWS may have delivered since then under
        an older label.
        """
        if mark is None or self._source.start_from_at < mark.start_from_at:
            start_at = min(self._source.start_from_at, self._now)
            return max(0.0, start_at - (self._now - self._redelivery_at))
        usual_at = self._usual_at(mark)
        return min(usual_at, self._redelivery_at) if reconciling else usual_at

    def _usual_at(self, mark: Watermark) -> float:
        return max(0.0, min(mark.mark_at, self._now) - self._settings.look_back_s)

    def _is_due(self, mark: Watermark | None) -> bool:
        """Whether it is time to reconcile; also when the last time lies ahead, for then the clock was wrong."""
        return mark is None or not 0 <= self._now - mark.reconciled_at < self._settings.reconcile_every_s

    def _mark_of(self, prefix: str) -> Watermark | None:
        return self._marks.get((self._place.bucket, prefix))

    def _page(self, step: _Branch | _Leaf, entries: Sequence[_Entry], *, last: bool) -> Page:
        """What one answer brings: its units, and after the last one of a listing the mark. Often neither."""
        units = [self._found(listed, key) for listed, key in entries if self._is_wanted(step, listed, key)]
        marks: list[Watermark] = []
        if last and isinstance(step, _Leaf) and (step.logs or step.prefix == self._source.prefix):
            mark = self._new_mark(step.prefix, step.newest_at, reconciled=step.reconciling, rhythm=step.rhythm)
            marks = [mark] if mark != self._mark_of(step.prefix) else []
        return Page(units=units, marks=marks)

    def _new_mark(
        self, prefix: str, newest_at: float, *, reconciled: bool, rhythm: Rhythm = NOTHING_HEARD
    ) -> Watermark:
        """Never lower than before, and never moved ahead of now by a label that lies there.

        Once reconciled, a quiet prefix's mark follows the window of redelivery: what is older is settled, and
        need not be known (by then it may have been forgotten) to be left alone.
        """
        old = self._mark_of(prefix)
        settled_at = self._redelivery_at + self._settings.look_back_s if reconciled else 0.0
        return Watermark(
            intake=INTAKE,
            place=self._place.bucket,
            prefix=prefix,
            mark_at=max(min(max(newest_at, settled_at), self._now), old.mark_at if old else 0.0),
            reconciled_at=self._now if reconciled or old is None else old.reconciled_at,
            start_from_at=min(self._source.start_from_at, old.start_from_at if old else self._source.start_from_at),
            rhythm=rhythm if rhythm.files or old is None else old.rhythm,
        )

    def _is_wanted(self, step: _Branch | _Leaf, listed: Listed, key: LogKey | Ignored) -> bool:
        """Whether it belongs to this poll: logs by `start_from_at` and label, the rest only to be counted."""
        latest_at = max(key.labelled_at, listed.modified_at)
        if isinstance(step, _Branch):
            return self._sweeping and latest_at >= self._redelivery_at
        if isinstance(key, Ignored):
            return latest_at >= step.from_at
        due = key.labelled_at >= step.from_at and latest_at >= self._source.start_from_at
        return due and not self._is_settled(step, key.labelled_at, latest_at)

    def _is_settled(self, step: _Leaf, labelled_at: float, latest_at: float) -> bool:
        listed_from_at = step.settled_from_at - self._settings.reconcile_days * DAY_S
        return latest_at >= step.settled_from_at and listed_from_at <= labelled_at < step.settled_to_at

    def _found(self, listed: Listed, key: LogKey | Ignored) -> FoundUnit:
        return unit_of(listed, key, self._place, region=self._client.region(self._place))


def unit_of(listed: Listed, key: LogKey | Ignored, place: Place, *, region: str) -> FoundUnit:
    """An object as the unit that it is, whoever lists it: polls and backfills must mean the same one."""
    return FoundUnit(
        intake=INTAKE,
        place=place.bucket,
        name=listed.key,
        version=listed.etag,
        endpoint_url=place.endpoint_url,
        region=region,
        size_bytes=listed.size_bytes,
        labelled_at=key.labelled_at,
        modified_at=listed.modified_at,
        ignored=key.kind if isinstance(key, Ignored) else None,
    )
