"""Reading what a form sent."""

from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

MEDIA_TYPE = "application/x-www-form-urlencoded"
FIELDS_MAX = 200


async def fields(request: Request) -> Mapping[str, str]:
    """A form's fields, the last of each name, without the spaces around them. Raises HTTPException (400, 415)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise HTTPException(415)
    try:
        found = parse_qs((await request.body()).decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise HTTPException(400) from None
    return {name: values[-1].replace("\r\n", "\n").strip() for name, values in found.items()}
