"""Every refusal of the API, as RFC 9457 problem documents. Nothing that was sent comes back in one."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from trailhook.errors import Conflict, KeyUnavailable, NotFound, Refused, StoreUnavailable, TrailhookError, Transient
from trailhook.model import Value

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5.0
"""What a client is told when our own store cannot say when it will be back."""


class BadField(Value, frozen=True, kw_only=True):
    """One field that cannot stay as it is, and why. Neither ever holds what was sent."""

    field: str
    message: str


class BadRequest(TrailhookError):
    """Some fields of a request cannot be accepted: 422, naming each."""

    def __init__(self, *errors: BadField) -> None:
        super().__init__("The request has fields that cannot be accepted.")
        self.errors = errors


class Forbidden(TrailhookError):
    """The token's scopes do not cover this: 403. The message names the one that would."""


class TooLarge(TrailhookError):
    """The body is over the limit: 413."""


class FieldProblem(BaseModel):
    """One field of the request that cannot be accepted."""

    field: str = Field(examples=["credentials.region"])
    message: str = Field(examples=["must be the code of a region, such as us-east-1"])


class Problem(BaseModel):
    """A refusal (RFC 9457). `detail` is a sentence for people; `errors` names each field at fault."""

    model_config = ConfigDict(json_schema_extra={"required": ["type", "title", "status", "detail", "errors"]})

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str
    errors: list[FieldProblem] = []


_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""RFC 9110's words, where older Pythons have older ones: a title must not change with the interpreter."""
_DETAILS = {
    400: "The request could not be read.",
    401: "A token is needed: Authorization: Bearer TOKEN.",
    404: "There is nothing here by that path or id.",
    405: "This path does not take this method.",
    413: "The request is larger than TRAILHOOK_REQUEST_BYTES_MAX.",
    415: "The body must be JSON: Content-Type: application/json.",
    422: "The request has fields that cannot be accepted.",
    500: "Something unexpected happened here; the log says what.",
    503: "Trailhook cannot reach its own store just now. Try again.",
}


_BUSY = "What is needed for this does not answer just now, or is asked too much already. Try again."


def problem(
    status: int, detail: str = "", *, errors: Iterable[BadField] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """A problem document as an answer; without `detail` the usual sentence for that status."""
    content = {
        "type": "about:blank",
        "title": _title(status),
        "status": status,
        "detail": detail or _DETAILS.get(status, _title(status)),
        "errors": [{"field": each.field, "message": each.message} for each in errors],
    }
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def _title(status: int) -> str:
    return _TITLES.get(status) or HTTPStatus(status).phrase


_STATUSES = {Forbidden: 403, NotFound: 404, Conflict: 409, TooLarge: 413, Refused: 422}
_SPEAKING = (Forbidden, Conflict, Refused)
"""Errors whose own words are for the client."""


def of(error: TrailhookError) -> Response:
    """The answer to an error that we know; 500 if it is none that a request should meet."""
    if isinstance(error, BadRequest):
        return problem(422, errors=error.errors)
    if isinstance(error, Transient):
        wait_s = math.ceil(error.retry_after_s or RETRY_AFTER_S)
        detail = "" if isinstance(error, StoreUnavailable) else _BUSY
        return problem(503, detail, headers={"retry-after": str(max(1, wait_s))})
    if isinstance(error, KeyUnavailable):
        return problem(500, "A stored secret cannot be opened with the master keys at hand.")
    status = next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), 500)
    return problem(status, str(error) if isinstance(error, _SPEAKING) else "")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route for its OpenAPI description, beside those that every route may give."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": _title(status), "content": content}
        for status in sorted({401, 403, 422, 500, 503, *statuses})
    }


def install(app: FastAPI) -> None:
    """Let the framework's own refusals be problem documents too."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    wrong_method = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    return problem(error.status_code, headers={"allow": _allowed(request)} if wrong_method else error.headers)


def _allowed(request: Request) -> str:
    """Every method that the path takes: the framework tells those of one of its routes only."""
    methods = [
        method
        for method in ("GET", "POST", "PATCH", "DELETE")
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.router.routes
        )
    ]
    return ", ".join(["GET", "HEAD", *methods[1:]] if "GET" in methods else methods)


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    return problem(422, errors=bad_fields((each["loc"][1:], each) for each in error.errors()))


# ------------------------------------------------------------------------------------------- naming bad fields

_OPEN_ENDED = frozenset({"headers", "include", "exclude"})
"""Objects whose keys are the user's own: errors name them, not their keys."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not a field that can be given here",
    "json_invalid": "is not valid JSON",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "list_type": "must be a list",
    "string_type": "must be text",
    "string_too_short": "must have {min_length:,} or more characters",
    "string_too_long": "must have at most {max_length:,} characters",
    "too_short": "must hold {min_length:,} or more entries",
    "too_long": "must hold at most {max_length:,} entries",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "greater_than_equal": "must be at least {ge:,}",
    "less_than_equal": "must be at most {le:,}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
}
"""Our words for pydantic's kinds of errors; in braces what the rule says, never what was given."""


def bad_fields(errors: Iterable[tuple[Sequence[int | str], Mapping[str, Any]]]) -> list[BadField]:
    """pydantic's errors, each with where it is, in our words; values are never among them."""
    return [BadField(field=_named(place), message=_sentence(each)) for place, each in errors]


def _sentence(error: Mapping[str, Any]) -> str:
    ours = _SENTENCES.get(error["type"])
    return str(error["msg"]) if ours is None else ours.format_map(error.get("ctx", {}))


def _named(place: Sequence[int | str]) -> str:
    parts: list[str] = []
    for part in place:
        parts.append(str(part) if isinstance(part, int) or _NAME.fullmatch(part) else "?")
        if part in _OPEN_ENDED:
            break
    return ".".join(parts) or "body"
