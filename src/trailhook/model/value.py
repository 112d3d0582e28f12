"""What all values are."""

from typing import Self

import msgspec


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value with keyword-only fields; `msgspec` turns it into JSON for the stores and back."""

    def but(self, **changes: object) -> Self:
        """The same value with some fields changed."""
        return msgspec.structs.replace(self, **changes)
