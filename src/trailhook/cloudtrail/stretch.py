"""A stretch of records, side by side: their bytes in one piece, and each field that is searched by as a list.

Between reading a file and freezing its batches nothing is asked of a record by itself, so there is no object for one:
twenty thousand of a dozen fields each are spread over all memory by the time they are frozen, and fetching them from
there took longer than reading them.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate, compress, pairwise
from typing import Final, Self

import msgspec
from msgspec.structs import replace

from trailhook.cloudtrail.event import Event, side_by_side

SEPARATOR_BYTES: Final = 1
"""Between two records, in a log file as in the body of a batch, whatever its layout."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One event by itself."""

    raw: bytes
    """As CloudTrail wrote it, byte for byte."""
    key: bytes
    """What makes it itself, in the ledger: see `identity`."""
    at: int
    """Its eventTime in seconds since the epoch, 0 if it has none that is a time."""
    event: Event
    alone: bool = False
    """Good JSON that some readers refuse (a lone surrogate): it travels in a batch of its own."""


class Stretch(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Records in their order. Every list has one entry for each."""

    text: bytes
    """Holds them one behind another, with one byte between two; before the first and behind the last may be more."""
    starts: Sequence[int]
    """Where each begins in `text`; one more at the end, as if another followed."""
    keys: Sequence[bytes]
    times: Sequence[int]
    """In seconds since the epoch, 0 for a record without a time."""
    read_only: Sequence[bool | None] = ()
    texts: Sequence[Sequence[str]] = ()
    """One list for each of `event.SEARCHED`, in that order; a missing text is empty. Both are empty where only the keys
    have been read.
    """
    alone: bool = False
    """Of each: see `Record.alone`."""

    @classmethod
    def of(cls, record: Record) -> Self:
        """A stretch of one."""
        read_only, texts = searched([record.event])
        return cls(
            text=record.raw,
            starts=(0, len(record.raw) + SEPARATOR_BYTES),
            keys=(record.key,),
            times=(record.at,),
            read_only=read_only,
            texts=texts,
            alone=record.alone,
        )

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def whole(self) -> memoryview:
        """All its records and what is between them."""
        return memoryview(self.text)[self.starts[0] : self.starts[-1] - SEPARATOR_BYTES]

    def raws(self) -> list[bytes]:
        """Each record's exact bytes."""
        return [self.text[start : end - SEPARATOR_BYTES] for start, end in pairwise(self.starts)]

    def part(self, start: int, end: int) -> "Stretch":
        """Some of the records. No bytes are copied."""
        if end - start == len(self):
            return self
        return replace(
            self,
            starts=self.starts[start : end + 1],
            keys=self.keys[start:end],
            times=self.times[start:end],
            read_only=self.read_only[start:end],
            texts=[texts[start:end] for texts in self.texts],
        )

    def chosen(self, wanted: Sequence[bool]) -> "Stretch":
        """Those records for which `wanted`, as long as the stretch, is true."""
        return replace(
            self.written(compress(self.raws(), wanted)),
            keys=list(compress(self.keys, wanted)),
            times=list(compress(self.times, wanted)),
            read_only=list(compress(self.read_only, wanted)),
            texts=[list(compress(texts, wanted)) for texts in self.texts],
        )

    def written(self, raws: Iterable[bytes], separator: bytes = b",") -> "Stretch":
        """The same with other bytes for each record."""
        text, starts = laid_together(raws, separator)
        return replace(self, text=text, starts=starts)


def searched(events: Sequence[Event]) -> tuple[Sequence[bool | None], Sequence[Sequence[str]]]:
    """A `Stretch`'s `read_only` and `texts`."""
    fields = side_by_side(events)
    return fields.read_only, [[text or "" for text in texts] for texts in fields.searched()]


def laid_together(raws: Iterable[bytes], separator: bytes = b",") -> tuple[bytes, list[int]]:
    """A `Stretch`'s text and starts."""
    each = list(raws)
    return separator.join(each), list(accumulate((len(raw) + SEPARATOR_BYTES for raw in each), initial=0))
