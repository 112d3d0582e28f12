"""What routes share: the parts, pages of lists, and query parameters that are taken seriously."""

import base64
import binascii
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Path, Query
from fastapi.dependencies.models import Dependant
from starlette.requests import Request

from trailhook.api.problems import BadField, BadRequest
from trailhook.app import Parts
from trailhook.model import Value

T = TypeVar("T")


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


PartsOf = Annotated[Parts, Depends(_parts)]
Id = Annotated[str, Path(alias="id")]
_NUMBERS = range(2**63)
"""What the stores take for one."""


def known_queries(request: Request) -> None:
    """Refuse a query parameter that the route does not know: a misspelt filter must not mean no filter."""
    known = _query_names(request.scope["route"].dependant)
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        raise BadRequest(BadField(field="query", message=f"takes only these parameters here: {_listed(known)}"))


def _query_names(dependant: Dependant) -> set[str]:
    names = {param.alias for param in dependant.query_params}
    return names.union(*map(_query_names, dependant.dependencies))


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


class Page(Value, frozen=True, kw_only=True):
    """Which part of a list is asked for: up to `limit` items behind the one that `after` tells of."""

    limit: int
    after: Any = None


def _page(
    parts: PartsOf,
    limit: Annotated[int | None, Query(ge=1, description="How many at most.")] = None,
    cursor: Annotated[str | None, Query(max_length=512, description="`next` of the page before.")] = None,
) -> Page:
    most = parts.settings.page_limit_max
    if limit is not None and limit > most:
        raise BadRequest(BadField(field="limit", message=f"must be at most {most}"))
    return Page(limit=limit or most, after=None if cursor is None else _from_cursor(cursor))


PageOf = Annotated[Page, Depends(_page)]


def cursor_of(place: object) -> str:
    """`place` as an opaque text for `?cursor=`."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _from_cursor(cursor: str) -> Any:
    try:
        place = msgspec.json.decode(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise bad_cursor() from None
    if isinstance(place, int) and place not in _NUMBERS:
        raise bad_cursor()
    return place


def place_of(cursor: str, kind: type[T]) -> T:
    """What `cursor_of` made this of. Raises `BadRequest` if it did not, or of something else."""
    try:
        return msgspec.convert(_from_cursor(cursor), kind)
    except msgspec.ValidationError:
        raise bad_cursor() from None


def bad_cursor() -> BadRequest:
    """For a cursor that no answer of ours has ever held."""
    return BadRequest(BadField(field="cursor", message="is not the `next` of an answer"))


def placed(page: Page, kind: type[T]) -> T | None:
    """Where the page begins. Raises `BadRequest` if the cursor is another list's."""
    try:
        return None if page.after is None else msgspec.convert(page.after, kind)
    except msgspec.ValidationError:
        raise bad_cursor() from None
