"""Whether everything that CloudTrail delivered was forwarded, hour by hour, held against CloudTrail's own digests.

An hour of a trail is proved when its digest is signed by CloudTrail and in order with the one before it, and every log
file that it lists was taken in with the hash that it lists. What is listed, was never taken in and still lies in the
bucket becomes a unit here, and is read as if a poll had found it.

Time goes in windows of some hours, each looked at by itself, so that memory does not grow with the range.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final

from trailhook.clock import Clock
from trailhook.cloudtrail.chain import HOUR_S, Chain, Span, lone
from trailhook.cloudtrail.digests import Digest, LogFile
from trailhook.cloudtrail.keys import DigestKey, Ignored, classify
from trailhook.errors import Invalid
from trailhook.intake.inflate import inflated_sha256
from trailhook.model import FoundUnit, Job, Source, Unit, UnitState, Value
from trailhook.queue.base import Queue
from trailhook.settings import DAY_S, Settings
from trailhook.sources.base import Access
from trailhook.sources.digests import Digests, PublicKeys, RegionOf
from trailhook.store.base import Store

WINDOW_S: Final = 6 * HOUR_S
AROUND_S: Final = 2 * HOUR_S
"""How far around a window its neighbours are looked for: a digest's hour, and some."""
NAMES_MAX: Final = 500
"""Log files looked up at a time."""
READS_MAX: Final = 4
"""Log files read again at a time; each is held whole."""


class State(StrEnum):
    """What is known of an hour, best first."""

    PROVED = "proved"
    NO_DIGEST = "no_digest"
    BAD_DIGEST = "bad_digest"
    MISSING = "missing"
    ALTERED = "altered"


class Why(StrEnum):
    """Why a log file that a digest lists does not count as forwarded."""

    REFETCHED = "refetched"
    """It was never taken in; it is a unit now."""
    WAITING = "waiting"
    QUARANTINED = "quarantined"
    GONE = "gone"
    """It was never taken in, and is not in the bucket any more."""
    UNPROVED = "unproved"
    """It was taken in when no hash was kept, and is not in the bucket any more as it was then."""
    BEFORE_START = "before_start"
    FORGOTTEN = "forgotten"
    """It is so old that units are not remembered: it may have been forwarded, and is not fetched again."""
    NOT_READ = "not_read"
    """Its key is not that of a log that Trailhook reads."""


class Missing(Value, frozen=True, kw_only=True):
    """A log file that is not proved to have been forwarded."""

    key: str
    why: Why


class Altered(Value, frozen=True, kw_only=True):
    """A log file that was taken in with another content than CloudTrail delivered."""

    key: str
    expected: bytes
    found: bytes
    also_expected: bool
    """Whether it was taken in with the right content, too."""


class Hour(Value, frozen=True, kw_only=True):
    """One hour of one trail in a region of an account. The lists hold the first few, the numbers count all."""

    account: str
    region: str
    span: Span
    trail: str
    state: State
    listed: int = 0
    proved: int = 0
    outside: int = 0
    """Listed and not this source's to forward: they lie outside its prefix, or in another bucket."""
    missing: Sequence[Missing] = ()
    missing_count: int = 0
    altered: Sequence[Altered] = ()
    altered_count: int = 0


class Spot(Value, frozen=True, kw_only=True):
    """Where a page ended: so many hours into a window of a region."""

    directory: str
    at: float
    skip: int = 0


class Proof(Value, frozen=True, kw_only=True):
    """A page of hours, region by region, and where the next one begins."""

    hours: Sequence[Hour]
    next: Spot | None


class Completeness:
    """Answers for one source at a time."""

    def __init__(
        self,
        *,
        store: Store,
        queue: Queue,
        digests: Digests,
        access: Callable[[Source], Access],
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._queue = queue
        self._digests = digests
        self._access = access
        self._settings = settings
        self._clock = clock

    async def page(self, source: Source, from_at: float, to_at: float, *, after: Spot | None, limit: int) -> Proof:
        """Up to `limit` hours of [from_at, to_at), fewer when that takes longer than `completeness_turn_s`.

        Raises `NeedsAttention` or `Transient` when AWS does not answer, and nothing is known then.
        """
        access = self._access(source)
        end_at = self._clock.now() + self._settings.completeness_turn_s
        hours: list[Hour] = []
        spot = after or Spot(directory="", at=from_at)
        async for region in self._digests.regions(access, start=spot.directory):
            if region.directory != spot.directory:
                spot = Spot(directory=region.directory, at=from_at)
            look = await self._look(access, region, from_at, to_at)
            while spot.at < to_at:
                if hours and (len(hours) >= limit or self._clock.now() > end_at):
                    return Proof(hours=hours, next=spot)
                found = (await look.window(spot.at, min(spot.at + WINDOW_S, to_at)))[spot.skip :]
                room = limit - len(hours)
                hours += found[:room]
                if len(found) > room:
                    return Proof(hours=hours, next=spot.but(skip=spot.skip + room))
                spot = Spot(directory=region.directory, at=spot.at + WINDOW_S)
        return Proof(hours=hours, next=None)

    async def _look(self, access: Access, region: RegionOf, from_at: float, to_at: float) -> "_Look":
        around = (from_at - AROUND_S, min(to_at + AROUND_S, self._clock.now()))
        # Those written later were signed with later keys.
        keys = await self._digests.public_keys(access, region.region, min(around), max(*around, self._clock.now()))
        trails = {key.trail async for key in self._digests.keys(access, region.directory, *around)}
        compare = _Compare(self._store, self._queue, self._digests, access, self._settings, self._clock)
        return _Look(self._digests, access, region, sorted(trails) or [""], keys, compare, from_at)


class _Look:
    """At one region of an account."""

    def __init__(
        self,
        digests: Digests,
        access: Access,
        region: RegionOf,
        trails: Sequence[str],
        public_keys: PublicKeys,
        compare: "_Compare",
        from_at: float,
    ) -> None:
        self._digests = digests
        self._access = access
        self._region = region
        self._trails = trails
        self._public_keys = public_keys
        self._compare = compare
        self._from_at = from_at

    async def window(self, from_at: float, to_at: float) -> list[Hour]:
        """The hours of a window, trail by trail. No trail at all is one without digests."""
        keys: defaultdict[str, list[DigestKey]] = defaultdict(list)
        late: defaultdict[str, list[DigestKey]] = defaultdict(list)
        around = (from_at - AROUND_S, to_at + AROUND_S)
        async for key in self._digests.keys(self._access, self._region.directory, *around):
            (late if key.backfill else keys)[key.trail].append(key)
        hours = []
        for trail in self._trails:
            for spans in (self._spans(keys[trail], from_at, to_at), self._late(late[trail], from_at, to_at)):
                async for span in spans:
                    hours.append(await self._hour(trail, span))  # noqa: PERF401 - one digest is held at a time
        return hours

    async def _spans(self, keys: Sequence[DigestKey], from_at: float, to_at: float) -> AsyncIterator[Span]:
        chain = Chain(from_at, to_at, begins=from_at == self._from_at)
        before = [key for key in keys if key.labelled_at <= from_at]
        for key in before[-1:] + list(keys[len(before) :]):
            if chain.done:
                return
            if (read := await self._read(key)) is not None:
                for span in chain.take(key, read):
                    yield span
        for span in chain.end():
            yield span

    async def _late(self, keys: Sequence[DigestKey], from_at: float, to_at: float) -> AsyncIterator[Span]:
        """What was listed later, of hours that begin in the window: each by itself, for no chain has them."""
        for key in keys:
            if from_at < key.labelled_at <= to_at + AROUND_S and (read := await self._read(key)) is not None:
                span = lone(key, read)
                if from_at <= span.start_at < to_at:
                    yield span

    async def _read(self, key: DigestKey) -> Digest | Invalid | None:
        try:
            return await self._digests.digest(self._access, key.key, self._public_keys)
        except Invalid as error:
            return error

    async def _hour(self, trail: str, span: Span) -> Hour:
        state = State.BAD_DIGEST if span.key else State.NO_DIGEST
        hour = Hour(account=self._region.account, region=self._region.region, span=span, trail=trail, state=state)
        return hour if span.digest is None else await self._compare.hour(hour, span.digest.log_files)


class _Compare:
    """Holds what digests list against what was taken in."""

    def __init__(
        self, store: Store, queue: Queue, digests: Digests, access: Access, settings: Settings, clock: Clock
    ) -> None:
        self._store = store
        self._queue = queue
        self._digests = digests
        self._access = access
        self._source = access.source
        self._settings = settings
        self._clock = clock
        self._looking = asyncio.Semaphore(settings.aws_concurrency)
        self._reading = asyncio.Semaphore(READS_MAX)

    async def hour(self, hour: Hour, files: Sequence[LogFile]) -> Hour:
        """The hour with what came of its log files."""
        missing: list[Missing] = []
        altered: list[Altered] = []
        missing_count = altered_count = proved = outside = 0
        for at in range(0, len(files), NAMES_MAX):
            some = files[at : at + NAMES_MAX]
            ours = [file for file in some if self._is_ours(file)]
            outside += len(some) - len(ours)
            for each in await self._judge_all(ours):
                match each:
                    case Missing():
                        missing_count += 1
                        missing += [each] if len(missing) < self._settings.completeness_details_max else []
                    case Altered():
                        altered_count += 1
                        altered += [each] if len(altered) < self._settings.completeness_details_max else []
                    case None:
                        proved += 1
        return hour.but(
            state=State.ALTERED if altered else State.MISSING if missing else State.PROVED,
            span=hour.span.but(digest=None),
            listed=len(files),
            proved=proved,
            outside=outside,
            missing=missing,
            missing_count=missing_count,
            altered=altered,
            altered_count=altered_count,
        )

    def _is_ours(self, file: LogFile) -> bool:
        return file.bucket == self._source.bucket and file.key.startswith(self._source.prefix)

    async def _judge_all(self, files: Sequence[LogFile]) -> list[Missing | Altered | None]:
        known: defaultdict[str, list[Unit]] = defaultdict(list)
        if self._source.bucket and files:
            names = [file.key for file in files]
            for unit in await self._store.units_named(self._source.id, self._source.bucket, names):
                known[unit.name].append(unit)
        judged = await asyncio.gather(*(self._judge(file, known[file.key]) for file in files))
        found = [each for each in judged if isinstance(each, FoundUnit)]
        if found:
            await self._store.add_units(self._source.id, found)
            await self._queue.hint(Job(kind="intake", source_id=self._source.id))
        return [Missing(key=each.name, why=Why.REFETCHED) if isinstance(each, FoundUnit) else each for each in judged]

    async def _judge(self, file: LogFile, units: Sequence[Unit]) -> Missing | Altered | FoundUnit | None:
        """None where it is proved; the unit to add where it was never taken in and can be."""
        taken = [unit for unit in units if unit.state is UnitState.DONE]
        hashes = [sha256 for unit in taken if (sha256 := await self._sha256(unit))]
        if other := [sha256 for sha256 in hashes if sha256 != file.sha256]:
            right = file.sha256 in hashes
            return Altered(key=file.key, expected=file.sha256, found=other[-1], also_expected=right)
        if hashes:
            return None
        if taken:
            return Missing(key=file.key, why=Why.UNPROVED)
        return await self._never_taken(file, {unit.state for unit in units})

    async def _never_taken(self, file: LogFile, states: Iterable[UnitState]) -> Missing | FoundUnit:
        key = classify(file.key)
        if UnitState.WAITING in states:
            return Missing(key=file.key, why=Why.WAITING)
        if UnitState.QUARANTINED in states:
            return Missing(key=file.key, why=Why.QUARANTINED)
        if isinstance(key, Ignored):
            return Missing(key=file.key, why=Why.NOT_READ)
        if UnitState.IGNORED in states:
            return Missing(key=file.key, why=Why.BEFORE_START)
        remembered_s = max(self._settings.look_back_s, self._settings.reconcile_days * DAY_S)
        if key.labelled_at < self._clock.now() - remembered_s:
            return Missing(key=file.key, why=Why.FORGOTTEN)
        async with self._looking:
            found = await self._digests.found(self._access, file.key, key.labelled_at)
        if found is None:
            return Missing(key=file.key, why=Why.GONE)
        if max(found.labelled_at, found.modified_at) < self._source.start_from_at:
            return Missing(key=file.key, why=Why.BEFORE_START)
        return found

    async def _sha256(self, unit: Unit) -> bytes | None:
        """Of what was taken in, read again where it was not kept; None if it cannot be had any more."""
        if unit.sha256:
            return unit.sha256
        try:
            async with self._reading:
                data = await self._digests.log_file(self._access, unit)
                return await asyncio.to_thread(inflated_sha256, data, ratio_max=self._settings.inflate_ratio_max)
        except Invalid:
            return None
