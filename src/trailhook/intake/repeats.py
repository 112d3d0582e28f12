"""Whether it pays to ask the ledger before batches are frozen."""

from collections.abc import Collection

LOOKS = 8
"""After so many groups without a repeat none is expected any more: at worst one group in nine is frozen in vain."""

MOSTLY = 0.8
"""From this share on it pays to read keys only, and the fields of what is new in a second reading."""


class Repeats:
    """Which sources have had events again of late.

    Asking the ledger first is in vain where nothing comes twice: then claiming the keys is answer enough, for it fails
    if one of them is known. Where something does, a group that was frozen as if it did not is frozen again.
    """

    def __init__(self) -> None:
        self._looks: dict[str, int] = {}
        """How many groups to look before, by source; none where it has no entry."""
        self._known: set[str] = set()
        """The sources whose last group was known, most of it."""

    def expected(self, source_id: str) -> bool:
        """Whether to ask the ledger before freezing the source's next group."""
        return source_id in self._looks

    def met(self, source_id: str) -> None:
        """A claim found that one of its keys was known."""
        self._looks[source_id] = LOOKS

    def mostly(self, source_id: str) -> bool:
        """Whether the source's next group is expected to hold little that is new."""
        return source_id in self._known

    def looked(self, source_id: str, keys: Collection[bytes], known: Collection[bytes]) -> None:
        """The ledger was asked for these keys, and this is what it knew."""
        if len(known) >= MOSTLY * len(keys) > 0:
            self._known.add(source_id)
        else:
            self._known.discard(source_id)
        if known:
            self.met(source_id)
        elif (left := self._looks.pop(source_id, 0) - 1) > 0:
            self._looks[source_id] = left
