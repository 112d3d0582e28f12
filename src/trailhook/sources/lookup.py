"""CloudTrail's event history, by LookupEvents: no bucket needed, 90 days deep, management events and Insights.

A unit is a frozen window of time. Reading it pages to its end and makes a log file of it, as CloudTrail would have
written one, so that all that follows is the same as for an object of S3. LookupEvents answers newest first; a
window that has more pages than one reading may take is read down to some moment, and what lies before that moment
becomes a window of its own. So no page is ever asked for twice, and neither time nor memory depends on the account.
"""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import count

import msgspec
from isal import isal_zlib

from trailhook.clock import Clock
from trailhook.cloudtrail.splitter import split
from trailhook.errors import Invalid, Misconfigured, NeedsAttention, ObjectGone, Throttled, Transient
from trailhook.model import FoundUnit, Source, Unit, Watermark
from trailhook.net.base import Transport
from trailhook.settings import Settings
from trailhook.sources.aws import AwsHttp, OnRequest
from trailhook.sources.aws_identity import CredentialProvider
from trailhook.sources.base import Access, Check, Page, Reading
from trailhook.sources.checks import failed
from trailhook.sources.lookup_budget import Accounts, Book, LookupBudget
from trailhook.sources.lookup_client import Found, FoundPage, LookupClient, Place
from trailhook.sources.lookup_windows import KEPT_S, LOOKS, Look, Planned, Window, plan, read_window_name, window_name

INTAKE = "lookup"
READ_S = 30.0
"""One reading of a window asks for no more pages after this: a quarter of the lease on its unit."""
PAGES_MAX = 200
UNITS_PER_PAGE = 500
THROTTLED_S_MAX = 8.0
_THROTTLED_S = 0.5
_GZIP = 31
_QUICK = 1


class LookupEvents:
    """The `WayIn` of LookupEvents."""

    def __init__(
        self,
        transport: Transport,
        provider: CredentialProvider,
        settings: Settings,
        clock: Clock,
        on_request: OnRequest | None = None,
        *,
        documents: Book,
        rng: random.Random,
    ) -> None:
        http = AwsHttp(transport, clock, on_request)
        self._provider = provider
        self._client = LookupClient(http, provider, settings)
        self._accounts = Accounts(http, provider, settings)
        self._budget = LookupBudget(documents, clock)
        self._settings = settings
        self._clock = clock
        self._rng = rng

    async def poll(self, access: Access, marks: Mapping[tuple[str, str], Watermark]) -> AsyncIterator[Page]:
        """See `WayIn.poll`. Plans windows; a region that cannot be asked plans none, and raises once all the others
        have had theirs.
        """
        failure: NeedsAttention | Transient | None = None
        for region in _regions(access.source):
            planned = list(self._planned(access.source, region, marks))
            try:
                if planned and self._is_doubtful(access.source, region, marks):
                    await self._probe(access, region)
            except (NeedsAttention, Transient) as error:
                failure = failure or error
                continue
            for category, each in planned:
                for page in self._pages(access.source, region, category, each, marks):
                    yield page
        if failure is not None:
            raise failure

    async def read(self, access: Access, unit: Unit) -> Reading:
        """See `WayIn.read`. Throttling is met with patience, up to a point where what was read so far is enough."""
        category, window = read_window_name(unit.name)
        now = self._clock.now()
        if window.end_at > now:
            raise Transient(
                "The window has not ended: this machine's clock went back.", retry_after_s=window.end_at - now
            )
        oldest_at = int(now) - KEPT_S
        if window.end_at < oldest_at:
            raise ObjectGone("gone", "CloudTrail's event history ends after 90 days.")
        window = window.but(start_at=max(window.start_at, oldest_at))
        data, rest = await self._take(access, unit, category, window)
        is_history = window.end_at < access.source.created_at
        return Reading(
            data=data,
            rest=_found(unit, category, rest) if rest else None,
            behind_s=0.0 if is_history else max(0.0, now - unit.modified_at),
        )

    async def check(self, access: Access) -> AsyncIterator[Check]:
        """See `WayIn.check`. It costs a request in each region."""
        try:
            await self._provider.keys(access)
        except (NeedsAttention, Transient) as error:
            yield failed("identity", error)
            return
        yield Check(name="identity", ok=True, detail="There are keys to sign with.")
        for region in _regions(access.source):
            try:
                await self._probe(access, region)
            except (NeedsAttention, Transient) as error:
                yield failed("lookup", error)
            else:
                yield Check(name="lookup", ok=True, detail=f"LookupEvents answers in {region}.")

    # ------------------------------------------------------------------------------------------------ planning

    def _planned(
        self, source: Source, region: str, marks: Mapping[tuple[str, str], Watermark]
    ) -> Sequence[tuple[str, Planned]]:
        now = self._clock.now()
        return [
            (category, each)
            for category, looks in LOOKS.items()
            for each in plan(
                looks,
                _marks_of(looks, region, category, marks),
                start_from_at=source.start_from_at,
                now=now,
            )
        ]

    def _is_doubtful(self, source: Source, region: str, marks: Mapping[tuple[str, str], Watermark]) -> bool:
        """Whether it is unknown that the region answers: while it does, its windows tell, and a probe is a waste."""
        return {source.fetch.state, source.reading.state} != {"active"} or not any(
            place == region for place, _ in marks
        )

    async def _probe(self, access: Access, region: str) -> None:
        now = int(self._clock.now())
        place = Place(region=region, endpoint_url=access.source.endpoint_url)
        window = Window(start_at=now - 1, end_at=now)
        await self._page(access, place, "management", window, "", now + READ_S)

    def _pages(
        self,
        source: Source,
        region: str,
        category: str,
        planned: Planned,
        marks: Mapping[tuple[str, str], Watermark],
    ) -> list[Page]:
        """The units of one look, the mark with the last of them."""
        prefix = _prefix(category, planned.look.name)
        old = marks.get((region, prefix))
        began = old is not None and old.start_from_at <= self._clock.now()
        start_from_at = min(source.start_from_at, old.start_from_at) if old and began else source.start_from_at
        mark = Watermark(
            intake=INTAKE, place=region, prefix=prefix, mark_at=planned.mark_at, start_from_at=start_from_at
        )
        first = FoundUnit(
            intake=INTAKE,
            place=region,
            name="",
            version=planned.look.name,
            endpoint_url=source.endpoint_url,
            region=region,
            size_bytes=self._settings.group_bytes_max // self._settings.aws_concurrency,
            modified_at=self._clock.now(),
        )
        units = [_found(first, category, window) for window in planned.windows]
        pages = [Page(units=units[at : at + UNITS_PER_PAGE]) for at in range(0, len(units), UNITS_PER_PAGE)]
        return [*pages, Page(marks=[mark])]

    # ------------------------------------------------------------------------------------------------- reading

    async def _take(self, access: Access, unit: Unit, category: str, window: Window) -> tuple[bytes, Window | None]:
        """The log file of a window, down to where reading stopped, and the window before that, if it did."""
        place = Place(region=unit.region, endpoint_url=unit.endpoint_url)
        until_at = self._clock.now() + READ_S
        log = _LogFile(self._settings)
        token, reached_at = "", window.end_at
        for pages in count(1):
            if token and reached_at == window.end_at:  # one second of so many events: there is no stopping in it
                until_at = self._clock.now() + READ_S
            try:
                page = await self._page(access, place, category, window, token, until_at)
            except Transient:
                if reached_at == window.end_at:
                    raise
                break
            if token and page.next_token == token:
                raise Misconfigured("The answer repeats itself without end.", "Correct endpointUrl.")
            token = page.next_token
            log.add(page.events)
            reached_at = min([reached_at, *(int(each.at) for each in page.events)])
            if not token:
                return log.end(), None
            enough = pages >= PAGES_MAX or self._clock.now() >= until_at
            if enough and reached_at < window.end_at:
                break
        return log.end(), window.but(end_at=max(reached_at, window.start_at))

    async def _page(
        self, access: Access, place: Place, category: str, window: Window, token: str, until_at: float
    ) -> FoundPage:
        """One page in its turn; after throttling again, in another turn and with full jitter, until `until_at`."""
        account = await self._accounts.account(access)
        for tries in count():
            await self._budget.turn(account, place.region, by_at=until_at)
            try:
                return await self._client.page(access, place, category, window, token=token)
            except Throttled as error:
                ceiling_s = min(THROTTLED_S_MAX, _THROTTLED_S * 2**tries)
                wait_s = error.retry_after_s or self._rng.uniform(0.0, ceiling_s)
                if self._clock.now() + wait_s > until_at:
                    raise
                await self._clock.sleep(wait_s)
        raise AssertionError("not reached")


class _LogFile:
    """A log file in the making, compressed as it grows."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._packer = isal_zlib.compressobj(level=_QUICK, wbits=_GZIP)
        self._parts: list[bytes] = []
        self._bytes = 0
        self._before = b'{"Records":['

    def add(self, events: Sequence[Found]) -> None:
        """Raises `Invalid` when it grows beyond what an object may have."""
        for event in events:
            self._write(self._before + _element(event, self._settings.record_bytes_max))
            self._before = b","

    def end(self) -> bytes:
        opening = b"" if self._before == b"," else self._before
        self._write(opening + b"]}")
        return b"".join([*self._parts, self._packer.flush()])

    def _write(self, plain: bytes) -> None:
        part = self._packer.compress(plain)
        self._parts.append(part)
        self._bytes += len(part)
        if self._bytes > self._settings.object_bytes_max:
            raise Invalid("too_large", f"The window has more than {self._settings.object_bytes_max:,} bytes.")


def _element(event: Found, record_bytes_max: int) -> bytes:
    """The record as CloudTrail wrote it; what would tear the list apart goes into it as a string, which is no record
    and ends in quarantine as it came.
    """
    raw = event.record.encode()
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return raw if _is_one_element(raw, record_bytes_max) else msgspec.json.encode(event.record)
    return raw


def _is_one_element(raw: bytes, record_bytes_max: int) -> bool:
    try:
        return [*split([b'{"Records":[', raw, b"]}"], element_bytes_max=record_bytes_max)] == [[raw]]
    except Invalid:
        return False


def _regions(source: Source) -> Sequence[str]:
    return source.regions or (source.region,)


def _marks_of(
    looks: Sequence[Look], region: str, category: str, marks: Mapping[tuple[str, str], Watermark]
) -> Mapping[str, Watermark]:
    found = {look.name: marks.get((region, _prefix(category, look.name))) for look in looks}
    return {name: mark for name, mark in found.items() if mark is not None}


def _prefix(category: str, look: str) -> str:
    return f"{category}/{look}"


def _found(like: FoundUnit, category: str, window: Window) -> FoundUnit:
    """The unit of a window, planned together with another."""
    return FoundUnit(
        **{name: getattr(like, name) for name in FoundUnit.__struct_fields__ if name not in ("name", "labelled_at")},
        name=window_name(category, window),
        labelled_at=window.start_at,
    )
