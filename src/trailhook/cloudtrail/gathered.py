"""A stretch in the making: what is known of records, taken from a few of them at a time while these are at hand."""

from collections.abc import Sequence

from msgspec.structs import astuple

from trailhook.cloudtrail.event import SEARCHED, Event, Identity, Once, Times, side_by_side
from trailhook.cloudtrail.identity import Keys, Raw
from trailhook.cloudtrail.stretch import Stretch

_ACCOUNT = SEARCHED.index("account")


class Gathered:
    """Either `add` or `add_keys`, as often as there are records, and then `stretch`."""

    def __init__(self, keys: Keys, times: Times, texts: Once[str]) -> None:
        self._made_keys, self._made_times, self._made_texts = keys, times, texts
        self._keys: list[bytes] = []
        self._times: list[int] = []
        self._read_only: list[bool | None] = []
        self._texts: list[list[str]] = []

    def add_keys(self, events: Sequence[Identity], raws: Sequence[Raw]) -> None:
        """The keys of the next records."""
        event_ids, times, accounts = zip(*map(astuple, events), strict=True)
        self._add_keys(raws, list(map(self._made_texts.__getitem__, accounts)), event_ids, self._made_times.of(times))

    def add(self, events: Sequence[Event], raws: Sequence[Raw]) -> None:
        """The next records, while they are at hand."""
        self._texts = self._texts or [[] for _ in SEARCHED]
        fields = side_by_side(events)
        made = [list(map(self._made_texts.__getitem__, found)) for found in fields.searched()]
        for texts, more in zip(self._texts, made, strict=True):
            texts.extend(more)
        self._add_keys(raws, made[_ACCOUNT], fields.event_id, self._made_times.of(fields.event_time))
        self._read_only += fields.read_only

    def _add_keys(
        self, raws: Sequence[Raw], accounts: Sequence[str], event_ids: Sequence[str | None], times: Sequence[int]
    ) -> None:
        self._keys += self._made_keys.of_all(raws, accounts, event_ids, times)
        self._times += times

    def stretch(self, text: bytes, starts: Sequence[int]) -> Stretch:
        """All of them, which are `text`: see `Stretch`."""
        return Stretch(
            text=text,
            starts=starts,
            keys=self._keys,
            times=self._times,
            read_only=self._read_only,
            texts=self._texts,
        )
