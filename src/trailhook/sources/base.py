"""What a way in promises: to find units, and to read one.

A way in knows nothing of stores, ledgers or webhooks. `jobs.poll` keeps what it finds; `intake` reads it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from trailhook.errors import FetchState
from trailhook.model import Credentials, FoundUnit, Source, Unit, Value, Watermark


class Access(Value, frozen=True, kw_only=True):
    """What it takes to ask AWS on a source's behalf: the source and its opened credentials."""

    source: Source
    credentials: Credentials


class Page(Value, frozen=True, kw_only=True):
    """Some units, and the watermarks that hold once these units (and all pages before) are durable."""

    units: Sequence[FoundUnit] = ()
    marks: Sequence[Watermark] = ()


class Check(Value, frozen=True, kw_only=True):
    """One thing that a source needs, tried out."""

    name: str
    """`identity`, `list`, `get`, `queue`, `lookup`, `callback` …"""
    ok: bool
    detail: str
    remedy: str = ""
    action: str = ""
    """The IAM action that is missing, where that is what failed."""
    state: FetchState | None = None
    """The state that this failure would bring a source into, where a person must act."""


class Reading(Value, frozen=True, kw_only=True):
    """What reading gave, of a way in that may read a unit in part."""

    data: bytes
    """As of a whole unit: compressed."""
    rest: FoundUnit | None = None
    """What of the unit is not in `data`, a unit of its own: it is kept before this one is settled."""
    behind_s: float = 0.0
    """For how long the unit waited to be read because AWS answers no faster."""


class Span(Value, frozen=True, kw_only=True):
    """A part of the past that somebody wants."""

    id: str
    """What makes its windows of LookupEvents others than those of polls."""
    from_at: float
    to_at: float


class Stretch(Value, frozen=True, kw_only=True):
    """What of a span is walked through from its beginning to its end: a region's directory, or its event history."""

    intake: str
    name: str


class Step(Value, frozen=True, kw_only=True):
    """What one step through a stretch found."""

    units: Sequence[FoundUnit] = ()
    after: str
    """Where the next step begins."""
    reached_at: float
    """All before this was looked at."""
    over: bool


class Survey(Value, frozen=True, kw_only=True):
    """What walking through a span would take, judged by few requests."""

    objects: int = 0
    list_requests: int = 0
    lookup_requests: int = 0
    """At least: one for each window that has no more than a page."""
    basis: str
    """What it is judged by, in a sentence."""


class History(Protocol):
    """A way in that can look for what a span of the past has, apart from polls and their watermarks."""

    async def stretches(self, access: Access, span: Span) -> Sequence[Stretch]:
        """What there is to walk through, in no more requests than a poll takes to find it. Raises as `WayIn.poll`."""

    async def survey(self, access: Access, span: Span, stretches: Sequence[Stretch]) -> Survey:
        """Judge what walking would take, by a bounded number of requests. Raises as `WayIn.poll`."""

    async def step(self, access: Access, span: Span, stretch: Stretch, after: str) -> Step:
        """Walk on from `after`, empty at first, by one request or none. Raises as `WayIn.poll`."""


class WayIn(Protocol):
    """One intake of a source: S3 polling, S3 through SQS, LookupEvents."""

    def poll(self, access: Access, marks: Mapping[tuple[str, str], Watermark]) -> AsyncIterator[Page]:
        """Look once and yield what there is, page by page: memory does not grow with the bucket.

        `marks` are the source's watermarks by (place, prefix). Completeness is the promise: every unit of the
        source's window is yielded by some poll, however late or out of order it appeared; units already known
        may be yielded again, and empty pages say that it goes on. Asking for the next page says that this one is
        durable: only then may a way in let go of what brought it (delete its messages). Raises `NeedsAttention` or
        `Transient`.
        """

    async def read(self, access: Access, unit: Unit) -> bytes | Reading:
        """The unit's bytes as stored (still compressed), or a `Reading` of some of it.

        Raises `ObjectGone`, `Invalid` (over the size limit), `NeedsAttention` or `Transient`.
        """

    def check(self, access: Access) -> AsyncIterator[Check]:
        """Try what this way in needs, once and for real, changing nothing (see `sources.checks`).

        What could not be tried because something before it failed is left out.
        """
