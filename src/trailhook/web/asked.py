"""Which deliveries somebody wants to see, or to do something about: from an address or a form to the store's query."""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from trailhook.api.deliveries import STATUSES
from trailhook.api.problems import BadField, BadRequest
from trailhook.delivery.outcome import Outcome
from trailhook.model import Value
from trailhook.store.lists import BatchQuery

CHARACTERS_MAX = 2_000


class Asked(Value, frozen=True, kw_only=True):
    """A filter over deliveries, each part empty where it is not used."""

    source: str = ""
    state: str = ""
    from_: str = ""
    to: str = ""
    outcome: str = ""
    error: str = ""
    """With `outcome`: of dead letters, how the last attempt ended."""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "Asked":
        """From the fields of an address or a form. Raises `BadRequest`."""
        asked = cls(
            **{name: given.get(name.rstrip("_"), "").strip()[:CHARACTERS_MAX] for name in cls.__struct_fields__}
        )
        if asked.state and asked.state not in STATUSES:
            raise BadRequest(BadField(field="state", message=f"must be one of {', '.join(STATUSES)}"))
        if asked.outcome and asked.outcome not in tuple(Outcome):
            raise BadRequest(BadField(field="outcome", message=f"must be one of {', '.join(Outcome)}"))
        asked.query()
        return asked

    @property
    def fields(self) -> dict[str, str]:
        """The parts that are used, by the names of their fields."""
        named = {name.rstrip("_"): getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in named.items() if value}

    def address(self, **more: str) -> str:
        """The same as the query of an address."""
        return urlencode({**self.fields, **more})

    def query(self) -> BatchQuery:
        """What the store is asked. Raises `BadRequest` for what is no time."""
        query = BatchQuery(
            source_id=self.source or None,
            states=[STATUSES[self.state]] if self.state else [],
            ended=(self.outcome, self.error) if self.outcome else None,
        )
        if self.from_:
            query = query.but(frozen_from_at=_at("from", self.from_))
        return query.but(frozen_to_at=_at("to", self.to)) if self.to else query


def _at(field: str, text: str) -> float:
    """A time as forms (without an offset: UTC) and addresses write it."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(BadField(field=field, message="must be a time such as 2026-01-31T12:00")) from None
