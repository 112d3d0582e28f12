"""Reading a request's body. Done here rather than by the framework, so that who may not do something is told so
before anything is read, that one answer names every field at fault, and that none repeats what was sent."""

import hashlib
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from trailhook.api.problems import BadRequest, bad_fields
from trailhook.api.schemas import Guards
from trailhook.app import Parts

Body = TypeVar("Body", bound=BaseModel)
_MEDIA_TYPES = frozenset({"application/json", "application/merge-patch+json"})


async def read(request: Request, parts: Parts, model: type[Body]) -> Body:
    """The body as a `model`. Raises `BadRequest` naming every field at fault, or HTTPException (413, 415)."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _MEDIA_TYPES:
        raise HTTPException(415)
    return checked(await request.body(), parts, model)


def checked(document: bytes, parts: Parts, model: type[Body]) -> Body:
    """A JSON document as a `model`. Raises `BadRequest` naming every field at fault."""
    guards = Guards(callbacks=parts.callback_guard, aws=parts.aws_guard)
    try:
        return model.model_validate_json(document, context=guards)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        raise BadRequest(*bad_fields((each["loc"], each) for each in errors)) from None


def canonical_sha256(document: bytes) -> bytes:
    """A hash that is the same for all spellings of the same JSON. Only for documents that were read already."""
    return hashlib.sha256(msgspec.json.encode(msgspec.json.decode(document), order="sorted")).digest()


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """The body of a route for its OpenAPI description; see `openapi.BODIES`."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
