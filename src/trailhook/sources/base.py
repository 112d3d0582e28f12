"""What a way in promises: to find units, and to read one.

A way in knows nothing of stores, ledgers or webhooks. `jobs.poll` keeps what it finds; `intake` reads it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from trailhook.model import Credentials, FoundUnit, Source, Unit, Value, Watermark

AVAILABLE_INTAKES = frozenset({"s3"})
"""The ways in that are built. A source that asks for another is refused."""


class Access(Value, frozen=True, kw_only=True):
    """What it takes to ask AWS on a source's behalf: the source and its opened credentials."""

    source: Source
    credentials: Credentials


class Page(Value, frozen=True, kw_only=True):
    """Some units, and the watermarks that hold once these units (and all pages before) are durable."""

    units: Sequence[FoundUnit] = ()
    marks: Sequence[Watermark] = ()


class WayIn(Protocol):
    """One intake of a source: S3 polling, S3 through SQS, LookupEvents."""

    def poll(self, access: Access, marks: Mapping[tuple[str, str], Watermark]) -> AsyncIterator[Page]:
        """Look once and yield what there is, page by page: memory does not grow with the bucket.

        `marks` are the source's watermarks by (place, prefix). Completeness is the promise: every unit of the
        source's window is yielded by some poll, however late or out of order it appeared; units already known
        may be yielded again. Raises `NeedsAttention` or `Transient`.
        """

    async def read(self, access: Access, unit: Unit) -> bytes:
        """The unit's bytes as stored (still compressed).

        Raises `ObjectGone`, `Invalid` (over the size limit), `NeedsAttention` or `Transient`.
        """
