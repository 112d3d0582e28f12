"""The OpenAPI description, and a page that shows it: plain HTML, no script, nothing from elsewhere."""

import re
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse

from trailhook.api import problems
from trailhook.api.auth import READ
from trailhook.api.backfill import StartBackfill
from trailhook.api.replay import StartReplay
from trailhook.api.schemas import AddSource, ChangeSource, CreateToken, TryFilter

BODIES = (AddSource, ChangeSource, CreateToken, StartBackfill, StartReplay, TryFilter)
"""Read by `bodies.read`, so that the framework does not know them."""
DESCRIPTION = """\
Trailhook forwards AWS CloudTrail events to webhooks: every event once, signed, never silently lost.

Every call but `/healthz` and a bare `/readyz` takes `Authorization: Bearer TOKEN`. Refusals are RFC 9457 problem
documents that name each field at fault and repeat nothing that was sent. Times are RFC 3339 in UTC. Lists come in
pages: while `next` is not null, ask again with `?cursor=` set to it."""
TAGS = [
    {"name": "sources", "description": "What is fetched from where, and sent where to."},
    {"name": "deliveries", "description": "Batches on their way, and dead letters."},
    {"name": "events", "description": "The log of events, searched and watched."},
    {"name": "quarantine", "description": "What could not be read."},
    {"name": "tokens", "description": "Access to this API."},
    {"name": "health", "description": "Probes, metrics and this description."},
]


def describer(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What `app.openapi` is to be: made once, when first asked for."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    return describe


def _describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, tags=TAGS, routes=app.router.routes
    )
    _, bodies = models_json_schema(
        [(model, "validation") for model in (*BODIES, problems.Problem)], ref_template="#/components/schemas/{model}"
    )
    document["components"]["schemas"].update(bodies["$defs"])
    return document


router = APIRouter(tags=["health"])


@router.get(
    "/openapi.json",
    operation_id="openapi",
    summary="This description",
    dependencies=[READ],
    responses=problems.documented(),
)
async def openapi(request: Request) -> JSONResponse:
    """OpenAPI 3.1."""
    return JSONResponse(request.app.openapi())


@router.get(
    "/docs",
    operation_id="docs",
    summary="This description for people",
    dependencies=[READ],
    response_class=HTMLResponse,
    responses=problems.documented(),
)
async def docs(request: Request) -> HTMLResponse:
    """A page."""
    return HTMLResponse(_page(request.app.openapi()), headers={"content-security-policy": PAGE_POLICY})


PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_NAMED = re.compile(r"`([^`]+)`")
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}
td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #d8dee4}
h3 code{background:#eef2f6;padding:.1rem .4rem;border-radius:.25rem}
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}td,th{border-color:#30363d}
h3 code{background:#21262d}a{color:#79b8ff}}"""


def _page(document: dict[str, Any]) -> str:
    operations = [
        (method, path, operation) for path, each in document["paths"].items() for method, operation in each.items()
    ]
    info = document["info"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])} API</title>",
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>",
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1>{_prose(info['description'])}",
    ]
    for tag in document["tags"]:
        parts.append(f"<h2>{escape(tag['name'])}</h2>{_prose(tag['description'])}")
        for method, path, operation in operations:
            if tag["name"] in operation["tags"]:
                parts += _operation(method, path, operation)
    parts.append("<h2>Schemas</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += _schema(name, schema)
    return "".join(parts)


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(each)}</p>" for each in text.split("\n\n"))


def _inline(text: str) -> str:
    """Descriptions name things in backticks, as Markdown does."""
    return _NAMED.sub(r"<code>\1</code>", escape(text))


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<h3 id='{escape(operation['operationId'])}'><code>{method.upper()} {escape(path)}</code> "
    yield f"{escape(operation['summary'])}</h3>{_prose(operation.get('description', ''))}<table>"
    for parameter in operation.get("parameters", ()):
        yield _row(parameter["name"], parameter["in"], parameter.get("description", ""))
    if "requestBody" in operation:
        yield _row("body", _type(operation["requestBody"]["content"]["application/json"]["schema"]), "")
    for status, answer in sorted(operation["responses"].items()):
        schemas = [_type(each.get("schema", {})) for each in answer.get("content", {}).values()]
        yield _row(status, "".join(schemas), answer["description"])
    yield "</table>"


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f"<h3 id='{escape(name)}'><code>{escape(name)}</code></h3>{_prose(schema.get('description', ''))}<table>"
    for field, each in schema.get("properties", {}).items():
        yield _row(field, _type(each), each.get("description", ""))
    yield "</table>"


def _row(name: str, kind: str, text: str) -> str:
    return f"<tr><td><code>{escape(name)}</code><td>{kind}<td>{_inline(text)}"


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words, as HTML."""
    if reference := schema.get("$ref", "").rpartition("/")[2]:
        return f"<a href='#{escape(reference)}'>{escape(reference)}</a>"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(map(_type, schema[several]))
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    return ", ".join(f"<code>{escape(str(each))}</code>" for each in choices) or escape(schema.get("type", ""))
