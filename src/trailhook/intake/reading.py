"""From the bytes of units to a harvest: inflate, split, filter. Pure, and the work of a processor: not for the loop."""

import logging
from collections.abc import Iterable, Iterator
from typing import Self

from trailhook.cloudtrail.records import Judge, ReadRecords
from trailhook.errors import Invalid
from trailhook.intake.filter import compile_filter
from trailhook.intake.harvest import Harvest, Terms, quarantined
from trailhook.intake.inflate import TooLargeToHold, inflate, inflate_chunks, inflated_sha256
from trailhook.model import UnitEnd, UnitState, Value
from trailhook.settings import Settings

log = logging.getLogger(__name__)


class Bounds(Value, frozen=True, kw_only=True):
    """The settings of the same names."""

    small_unit_bytes_max: int
    inflate_ratio_max: int
    record_depth_max: int
    record_bytes_max: int
    bad_records_max: int
    slice_records_max: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(**{name: getattr(settings, name) for name in cls.__struct_fields__})

    def judge(self, terms: Terms | None = None) -> Judge:
        """Who reads for a source; without its terms, who only counts."""
        return Judge(
            scope=terms.source_id.encode() if terms else b"",
            depth_max=self.record_depth_max,
            record_bytes_max=self.record_bytes_max,
            bad_records_max=self.bad_records_max,
            passes=compile_filter(terms.filter) if terms else None,
            keys_only=terms is not None and terms.keys_only,
        )


class Fetched(Value, frozen=True, kw_only=True):
    """A unit's bytes as they were stored, or why there are none that can be read."""

    unit_id: int
    name: str
    data: bytes = b""
    reason: str = ""
    detail: str = ""

    @classmethod
    def of(cls, unit_id: int, name: str, answer: bytes | Invalid) -> Self:
        if isinstance(answer, Invalid):
            return cls(unit_id=unit_id, name=name, reason=answer.reason, detail=str(answer))
        return cls(unit_id=unit_id, name=name, data=answer)

    def checked(self) -> bytes:
        """The bytes. Raises `Invalid`."""
        if self.reason:
            raise Invalid(self.reason, self.detail)
        return self.data


def read_group(terms: Terms, group: Iterable[Fetched], bounds: Bounds) -> Harvest:
    """Read every unit that is small enough to be held. None that is bad costs its neighbours."""
    harvest = Harvest()
    judge = bounds.judge(terms)
    for each in group:
        try:
            _take(harvest, each, judge, terms, bounds)
        except TooLargeToHold:
            harvest.large.append(each.unit_id)
        except Invalid as error:
            harvest.ends.append(quarantined(each.unit_id, error))
        except Exception as error:
            log.exception("a unit could not be read", extra={"source": terms.source_id, "unit": each.name})
            harvest.ends.append(quarantined(each.unit_id, Invalid("unexpected", type(error).__name__)))
    return harvest


def _take(harvest: Harvest, fetched: Fetched, judge: Judge, terms: Terms, bounds: Bounds) -> None:
    data = fetched.checked()
    read = judge.whole(inflate(data, bytes_max=bounds.small_unit_bytes_max, ratio_max=bounds.inflate_ratio_max))
    sha256 = sha256_of(data, terms, bounds)
    harvest.take(fetched.unit_id, read)
    count = read.elements
    harvest.ends.append(
        UnitEnd(unit_id=fetched.unit_id, state=UnitState.DONE, records=count, records_taken=count, sha256=sha256)
    )


def sha256_of(data: bytes, terms: Terms, bounds: Bounds) -> bytes:
    """Of what the file inflates to, if the source is to be verified. It inflates anew: a tenth of reading it."""
    return inflated_sha256(data, ratio_max=bounds.inflate_ratio_max) if terms.verify_integrity else b""


def count_large(data: bytes, bounds: Bounds) -> int:
    """How many elements a large unit has, read to its end. Raises `Invalid`."""
    return bounds.judge().count(inflate_chunks(data, ratio_max=bounds.inflate_ratio_max))


def slices_of(data: bytes, terms: Terms, bounds: Bounds, *, skip: int = 0) -> Iterator[ReadRecords]:
    """The records of a large unit, slice by slice, behind the first `skip` elements."""
    chunks = inflate_chunks(data, ratio_max=bounds.inflate_ratio_max)
    return bounds.judge(terms).slices(chunks, slice_records_max=bounds.slice_records_max, skip=skip)
