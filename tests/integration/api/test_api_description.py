"""The API describes itself truthfully; its probes and metrics tell how things are."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from support.asgi import Client
from support.bodies import source_body
from support.clock import FakeClock
from support.parts import freeze
from support.samples import record
from trailhook.api.server import create_app
from trailhook.app import Parts


@pytest.fixture
async def document(api: Client) -> Any:
    return await api.get("/openapi.json")


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


async def test_every_route_is_described(document: Any, parts: Parts) -> None:
    app = create_app(parts)
    routes = {(method, each.path) for each in iter_route_contexts(app.routes) for method in each.methods or ()}
    assert routes == {(method.upper(), path) for method, path, _ in operations(document)}


async def test_every_operation_has_words_answers_and_its_parameters(document: Any) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert set(operation["tags"]) <= tags
        assert any(status.startswith("2") for status in operation["responses"])
        placed = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
        assert placed == set(re.findall(r"{(\w+)}", path))
        for status, answer in operation["responses"].items():
            assert answer["description"]
            if status >= "4" and path != "/readyz":
                assert list(answer["content"]) == ["application/problem+json"], (method, path, status)


async def test_every_operation_but_the_liveness_probe_names_its_scheme(document: Any) -> None:
    schemes = document["components"]["securitySchemes"]
    for method, path, operation in operations(document):
        named = {name for each in operation["security"] for name in each}
        assert named <= set(schemes)
        assert bool(named) == (path != "/healthz"), (method, path)


async def test_every_reference_leads_to_a_schema_and_every_schema_is_used(document: Any) -> None:
    named = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert named == set(document["components"]["schemas"])


async def test_bodies_are_described_where_they_are_read(document: Any) -> None:
    with_body = {operation["operationId"] for _, _, operation in operations(document) if "requestBody" in operation}
    assert with_body == {"addSource", "changeSource", "createToken", "replaySource", "startBackfill", "testFilter"}
    schema = document["components"]["schemas"]["AddSource"]
    assert set(schema["required"]) == {"sourceType", "credentials", "callbackUrl"}


async def test_documented_refusals_are_the_ones_given(document: Any, api: Client) -> None:
    """Whatever a clumsy client gets, the description has."""
    for method, path, operation in operations(document):
        for target in (path.replace("{id}", "x"), path.replace("{id}", "x") + "?nonsense"):
            for body in (None, b"{", b" " * 300_000):
                reply = await api.call(method.upper(), target, body)
                assert str(reply.status) in operation["responses"], (method, target, reply.status)


async def test_the_page_shows_every_operation_and_loads_nothing(document: Any, api: Client) -> None:
    reply = await api.call("GET", "/docs")
    page = reply.body.decode()
    assert reply.headers["content-type"].startswith("text/html")
    for _, path, operation in operations(document):
        assert f"id='{operation['operationId']}'" in page
        assert path in page
    assert not re.search(r"<script|src=|<link|url\(|@import", page)
    assert "default-src 'none'" in reply.headers["content-security-policy"]


async def test_links_of_the_page_lead_somewhere(api: Client) -> None:
    page = (await api.call("GET", "/docs")).body.decode()
    links = set(re.findall(r"href='#(\w+)'", page))
    assert links
    assert links <= set(re.findall(r"id='(\w+)'", page))


# ------------------------------------------------------------------------------------------- probes and metrics


async def test_the_probes_tell_strangers_one_word(api: Client) -> None:
    stranger = Client(api.app)
    assert await stranger.get("/healthz") == {"status": "ok"}
    assert await stranger.get("/readyz") == {"status": "ready"}
    assert await api.get("/readyz?verbose") == {"status": "ready", "parts": {"store": "ok", "queue": "ok"}}


async def test_metrics_tell_how_things_are(api: Client, parts: Parts, clock: FakeClock) -> None:
    active = (await api.post("/add-source", source_body()))["id"]
    paused = (await api.post("/add-source", source_body()))["id"]
    await api.post(f"/sources/{paused}/pause")
    await freeze(parts, active, [record(1)])
    parts.metrics.events(active, "read", 3)
    reply = await api.call("GET", "/metrics")
    lines = reply.body.decode().splitlines()
    assert reply.headers["content-type"].startswith("text/plain")
    assert f'trailhook_events_total{{outcome="read",source="{active}"}} 3.0' in lines
    assert f'trailhook_source_up{{source="{active}",status="active"}} 1.0' in lines
    assert f'trailhook_source_up{{source="{paused}",status="paused"}} 0.0' in lines
    assert f'trailhook_lag_seconds{{source="{paused}"}} 0.0' in lines
    assert 'trailhook_queue_jobs{state="waiting"} 2.0' in lines
    lag = next(line for line in lines if line.startswith("trailhook_lag_seconds") and active in line)
    assert float(lag.split()[1]) > 0


async def test_a_removed_source_leaves_the_metrics(api: Client) -> None:
    source = (await api.post("/add-source", source_body()))["id"]
    assert source.encode() in (await api.call("GET", "/metrics")).body
    await api.call("DELETE", f"/remove-source/{source}")
    assert source.encode() not in (await api.call("GET", "/metrics")).body
