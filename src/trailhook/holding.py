"""Reading log files only as CloudTrail vouches for them, for sources with `holdUntilVerified`.

It wraps a way in: to find is as ever, to read waits for a digest that lists the file, and holds the content against the
hash that it lists.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

from trailhook.cloudtrail.keys import LogKey, classify
from trailhook.errors import Invalid
from trailhook.intake.inflate import inflated_sha256
from trailhook.model import Unit, Watermark
from trailhook.settings import Settings
from trailhook.sources.base import Access, Check, Page, Reading, WayIn
from trailhook.sources.vouchers import Vouchers


class Verified:
    """A way in (see `sources.base.WayIn`) whose log files wait to be vouched for, where the source asks for it."""

    def __init__(self, way: WayIn, vouchers: Vouchers, settings: Settings) -> None:
        self._way = way
        self._vouchers = vouchers
        self._settings = settings

    def poll(self, access: Access, marks: Mapping[tuple[str, str], Watermark]) -> AsyncIterator[Page]:
        """See `WayIn.poll`."""
        return self._way.poll(access, marks)

    def check(self, access: Access) -> AsyncIterator[Check]:
        """See `WayIn.check`."""
        return self._way.check(access)

    async def read(self, access: Access, unit: Unit) -> bytes | Reading:
        """See `WayIn.read`. Raises `Held` too, and `Invalid("altered")` with both hashes."""
        if not access.source.hold_until_verified or not isinstance(classify(unit.name), LogKey):
            return await self._way.read(access, unit)
        expected = await self._vouchers.sha256(access, unit)
        read = await self._way.read(access, unit)
        data = read.data if isinstance(read, Reading) else read
        found = await asyncio.to_thread(inflated_sha256, data, ratio_max=self._settings.inflate_ratio_max)
        if found != expected:
            raise Invalid(
                "altered",
                "it is not what CloudTrail delivered: "
                f"its SHA-256 is {found.hex()}, and that in the digest {expected.hex()}",
            )
        return read
