"""The mark of a move from one store to another. Both bear it, so that never two homes, nor half of one, are served.

It is written here before the first row is there, and changed to `moved` here before it leaves there.
"""

from typing import Literal

import msgspec

from trailhook.errors import SettingsError
from trailhook.model import Value

MARK = ("move", "mark")
"""Kind and key of the document; a store bears one mark or none."""


class Mark(Value, frozen=True, kw_only=True):
    """What one move has come to."""

    id: str
    """The same in both stores."""
    phase: Literal["copying", "moved"]
    home: str
    """Where to, without user or password."""

    def pack(self) -> bytes:
        return msgspec.json.encode(self)


def marked(document: bytes | None) -> Mark | None:
    """The mark in a document."""
    return None if document is None else msgspec.json.decode(document, type=Mark)


def refuse_old_home(mark: Mark | None) -> None:
    """Raise `SettingsError` if what bears `mark` has begun to move away."""
    if mark is None:
        return
    if mark.phase == "moved":
        raise SettingsError(f"this data has moved to {mark.home}: set TRAILHOOK_MONGODB_URL, and use it there")
    raise SettingsError(
        f"this data is being moved to {mark.home}: finish that with the same `trailhook migrate --to …`, "
        "or take it back with `--rollback`"
    )


def refuse_new_home(mark: Mark | None) -> None:
    """Raise `SettingsError` if what bears `mark` is the unfinished copy of another store."""
    if mark is not None:
        raise SettingsError(
            "this database is the unfinished copy of an embedded installation: finish that with the same "
            "`trailhook migrate --to …`, or take it back with `--rollback`"
        )
