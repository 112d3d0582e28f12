"""Which hash CloudTrail vouches for, of a log file that waits to be read.

A signature is enough to believe a digest what it lists; that no digest is missing is another question, which
`completeness` answers. The digests around a log file are listed again every few minutes until one lists it, and what
they list is held, within bounds, for all the files of their hours.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from trailhook.clock import Clock
from trailhook.cloudtrail.keys import DigestKey, inside_account
from trailhook.errors import Held, Invalid, NeedsAttention, Transient
from trailhook.model import Unit
from trailhook.settings import DAY_S, HOUR_S, Settings
from trailhook.sources.base import Access
from trailhook.sources.digests import Digests, PublicKeys

log = logging.getLogger(__name__)

LOOK_EVERY_S = 600.0
"""Digests come hourly, for each region at a minute of its own: this is how much later a file may be read."""
PATIENT_S, SELDOM_S = 3 * HOUR_S, HOUR_S / 2
"""What no digest lists for so long is looked for less often: there may be years of it."""
BEFORE_S, BEHIND_S = 300.0, 3 * HOUR_S
"""How far before and behind the time of a file the digests end that may list it."""
FAILED_S = 5.0
"""So long nobody asks again what could not be asked."""
DAYS_MAX, NAMES_MAX = 20_000, 200_000
"""Days of regions, and log files listed by digests, that are held: a few MB, and some 60."""
_MINUTE_S = 60.0


class _Day:
    """What is known of the digests of one region around one day."""

    def __init__(self, place: str, directory: str, region: str, at: float) -> None:
        self.place = place
        self.directory = directory
        self.region = region
        self.at = at
        self.lock = asyncio.Lock()
        self.looked_at = -math.inf
        self.digests: Sequence[DigestKey] = ()
        self.refused: set[str] = set()
        """Those that prove nothing, as far as could be seen at the last look."""
        self.public_keys: PublicKeys | None = None
        self.failed: tuple[float, NeedsAttention | Transient] | None = None


class Vouchers:
    """Knows the digests of many sources."""

    def __init__(self, digests: Digests, settings: Settings, clock: Clock) -> None:
        self._digests = digests
        self._overdue_s = settings.hold_unverified_s_max
        self._clock = clock
        self._days: OrderedDict[tuple[str, str, str, float], _Day] = OrderedDict()
        self._listed: OrderedDict[tuple[str, str, str], Mapping[str, bytes]] = OrderedDict()
        self._names = 0

    async def sha256(self, access: Access, unit: Unit) -> bytes:
        """The hash that a digest lists for a log file's inflated content.

        Raises `Held` while none does, `NeedsAttention` or `Transient` when AWS does not answer.
        """
        access = access.but(source=access.source.but(bucket=unit.place))
        now, due_at = self._clock.now(), math.inf
        for from_at, to_at in _spans(unit, now):
            day = self._day(access, unit, from_at)
            async with day.lock:
                sha256 = await self._find(access, day, unit.name, from_at, to_at)
            if sha256 is not None:
                return sha256
            due_at = min(due_at, self._due_at(day, to_at - BEHIND_S))
        raise Held(
            "No digest lists it yet.",
            due_at=math.ceil(due_at / _MINUTE_S) * _MINUTE_S,
            overdue=now - unit.labelled_at > self._overdue_s and now - unit.found_at > PATIENT_S,
        )

    def _day(self, access: Access, unit: Unit, at: float) -> _Day:
        inside = inside_account(unit.name)
        region = inside.region if inside else None
        if inside is None or region is None:
            raise Invalid("not_read", "its key is not that of a log file")
        day = _Day(unit.place, inside.directory(region), region, at // DAY_S * DAY_S)
        key = (access.source.id, day.place, day.directory, day.at)
        day = self._days.setdefault(key, day)
        self._days.move_to_end(key)
        if len(self._days) > DAYS_MAX:
            self._days.popitem(last=False)
        return day

    async def _find(self, access: Access, day: _Day, name: str, from_at: float, to_at: float) -> bytes | None:
        """In what is known, and else in what a new look shows, if it is time for one."""
        if day.failed is not None and 0 <= self._clock.now() - day.failed[0] < FAILED_S:
            raise day.failed[1]
        day.failed = None
        try:
            sha256 = await self._among(access, day, name, from_at, to_at)
            if sha256 is None and not 0 <= self._clock.now() - day.looked_at < LOOK_EVERY_S:
                await self._look(access, day)
                sha256 = await self._among(access, day, name, from_at, to_at)
        except (NeedsAttention, Transient) as error:
            day.failed = (self._clock.now(), error)
            raise
        return sha256

    async def _among(self, access: Access, day: _Day, name: str, from_at: float, to_at: float) -> bytes | None:
        for key in day.digests:
            if from_at <= key.labelled_at <= to_at:
                sha256 = (await self._listed_by(access, day, key)).get(name)
                if sha256 is not None:
                    return sha256
        return None

    async def _look(self, access: Access, day: _Day) -> None:
        around = (day.at, day.at + 2 * DAY_S + BEFORE_S + BEHIND_S)
        day.digests = [key async for key in self._digests.keys(access, day.directory, *around)]
        day.looked_at = self._clock.now()
        if day.refused:
            day.refused.clear()
            day.public_keys = None

    async def _listed_by(self, access: Access, day: _Day, key: DigestKey) -> Mapping[str, bytes]:
        """What a digest lists, by name: nothing, if it proves nothing."""
        if key.key in day.refused:
            return {}
        at = (access.source.id, day.place, key.key)
        if at not in self._listed:
            listed = await self._read(access, day, key)
            if listed is None:
                return {}
            self._keep(at, listed)
        self._listed.move_to_end(at)
        return self._listed[at]

    async def _read(self, access: Access, day: _Day, key: DigestKey) -> Mapping[str, bytes] | None:
        if day.public_keys is None:
            now = self._clock.now()
            day.public_keys = await self._digests.public_keys(access, day.region, min(day.at, now), now)
        try:
            digest = await self._digests.digest(access, key.key, day.public_keys)
        except Invalid as error:
            log.warning("a digest proves nothing: %s: %s", key.key, error, extra={"source": access.source.id})
            digest = None
        if digest is None:
            day.refused.add(key.key)
            return None
        return {file.key: file.sha256 for file in digest.log_files if file.bucket == day.place}

    def _keep(self, at: tuple[str, str, str], listed: Mapping[str, bytes]) -> None:
        self._listed[at] = listed
        self._names += len(listed) + 1
        while self._names > NAMES_MAX and len(self._listed) > 1:
            self._names -= len(self._listed.popitem(last=False)[1]) + 1

    def _due_at(self, day: _Day, at: float) -> float:
        """When the next digest can be there that may list a file of that time."""
        now = self._clock.now()
        if now - at > PATIENT_S:
            return now + SELDOM_S
        newest: dict[str, float] = {}
        for key in day.digests:
            newest[key.trail] = max(newest.get(key.trail, 0.0), key.labelled_at)
        ends = [label_at + math.ceil((at - label_at) / HOUR_S) * HOUR_S for label_at in newest.values()]
        return min(max(day.looked_at + LOOK_EVERY_S, min(ends, default=0.0)), now + 2 * HOUR_S)


def _spans(unit: Unit, now: float) -> Iterator[tuple[float, float]]:
    """Where the digests end that may list it: around its label, and around when it was written."""
    label_at = unit.labelled_at
    written_at = max(min(unit.modified_at, now), label_at)
    if written_at - label_at < DAY_S:
        yield label_at - BEFORE_S, written_at + BEHIND_S
    else:
        yield label_at - BEFORE_S, label_at + BEHIND_S
        yield written_at - BEFORE_S, written_at + BEHIND_S
