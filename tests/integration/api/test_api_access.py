"""Who is let in, to what, and that no answer ever holds a secret."""

import base64
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from support.asgi import Client
from support.bodies import SECRET_KEY, credentials, source_body
from support.parts import ADMIN, freeze, quarantine_record, quarantine_unit
from support.samples import record
from trailhook.api.server import create_app
from trailhook.app import Parts
from trailhook.model import Attempt, BatchState
from trailhook.security.tokens import Scope
from trailhook.store.base import Settlement

OPEN = {("GET", "/healthz"), ("GET", "/readyz")}
SESSION_TOKEN = "CanarySessionToken//////////abcdefghijklmnopqrstuvwxyz0123456789"
HEADER = "Bearer CanaryHeaderValue0123456789"
EXTERNAL_ID = "CanaryExternalId"


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Every (method, path) that the application answers."""
    found = [(method, str(each.path)) for each in iter_route_contexts(app.routes) for method in each.methods or ()]
    assert len(found) > 20
    return found


async def test_every_route_but_the_probes_needs_a_token(api: Client, parts: Parts) -> None:
    for token in (None, "", "th_wrong", "x" * 2_000):
        stranger = Client(api.app, token)
        for method, path in routes(create_app(parts)):
            reply = await stranger.call(method, path.replace("{id}", "x"), b"{" if method == "POST" else None)
            if (method, path) in OPEN:
                assert reply.status == 200
            else:
                assert (reply.status, reply.json["status"]) == (401, 401), (method, path)
                assert reply.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("target", ["/readyz?verbose", "/readyz?verbose=1", "/nowhere", "/", "/healthz/", "//healthz"])
async def test_nothing_else_is_told_to_strangers(api: Client, target: str) -> None:
    assert (await Client(api.app).call("GET", target)).status == 401


@pytest.mark.parametrize("authorization", ["Basic dGg6eA==", f"Bearer{ADMIN}", ADMIN, "Bearer", "Bearer "])
async def test_only_a_bearer_token_is_a_token(api: Client, authorization: str) -> None:
    reply = await Client(api.app).call("GET", "/sources", headers={"authorization": authorization})
    assert reply.status == 401


async def test_the_scheme_may_be_written_in_any_case(api: Client) -> None:
    reply = await Client(api.app).call("GET", "/sources", headers={"authorization": f"bearer {ADMIN}"})
    assert reply.status == 200


async def test_a_scope_includes_the_lesser_ones_and_no_more(api: Client, parts: Parts) -> None:
    """Which scope a route needs is read from the API's own description."""
    needed = {"read": 0, "write": 1, "admin": 2}
    paths = (await api.get("/openapi.json"))["paths"]
    for scope in Scope:
        text, _ = await parts.tokens.create(scope, [scope])
        client = Client(api.app, text)
        for path, methods in paths.items():
            for method, operation in methods.items():
                scopes = [name for each in operation["security"] for name in each.get("token", [])]
                reply = await client.call(method.upper(), path.replace("{id}", "x"), b"{" if method == "post" else None)
                allowed = all(needed[name] <= needed[scope] for name in scopes)
                assert (reply.status != 403) == allowed, (scope, method, path)
                if not allowed:
                    assert scopes[0] in reply.json["detail"]


async def test_tokens_are_made_shown_once_listed_and_revoked(api: Client) -> None:
    created = await api.post("/tokens", {"name": "ci", "scopes": ["read"]})
    assert created["token"].startswith("th_")
    client = Client(api.app, created["token"])
    assert (await client.call("GET", "/sources")).status == 200
    listed = (await api.get("/tokens"))["tokens"]
    assert {each["name"] for each in listed} == {"bootstrap", "ci"}
    assert all(set(each) == {"id", "name", "scopes", "createdAt", "lastUsedAt"} for each in listed)
    reply = await api.call("DELETE", f"/tokens/{created['id']}")
    assert reply.json == {"id": created["id"], "revoked": True}
    assert (await client.call("GET", "/sources")).status == 401
    assert (await api.call("DELETE", f"/tokens/{created['id']}")).status == 404


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("name", {"scopes": ["read"]}),
        ("scopes", {"name": "x"}),
        ("scopes", {"name": "x", "scopes": []}),
        ("scopes.0", {"name": "x", "scopes": ["canary"]}),
        ("token", {"name": "x", "scopes": ["read"], "token": "canary"}),
    ],
)
async def test_a_bad_token_request_is_refused(api: Client, field: str, body: dict[str, Any]) -> None:
    reply = await api.call("POST", "/tokens", body)
    assert (reply.status, reply.fields) == (422, [field])
    assert b"canary" not in reply.body


async def test_pages_of_tokens_hold_every_token_once(api: Client) -> None:
    for number in range(4):
        await api.post("/tokens", {"name": f"t{number}", "scopes": ["read"]})
    first = await api.get("/tokens?limit=3")
    second = await api.get(f"/tokens?limit=3&cursor={first['next']}")
    names = [each["name"] for each in first["tokens"] + second["tokens"]]
    assert sorted(names) == ["bootstrap", "t0", "t1", "t2", "t3"]
    assert second["next"] is None


async def test_no_secret_is_in_any_answer_of_any_route(api: Client, parts: Parts) -> None:
    secret = credentials(
        accessKeyId="ASIACANARYCANARY0001",
        sessionToken=SESSION_TOKEN,
        roleArn="arn:aws:iam::123456789012:role/Reader",
        externalId=EXTERNAL_ID,
    )
    body = source_body(credentials=secret, delivery={"headers": {"Authorization": HEADER}})
    key = {"idempotency-key": "canary"}
    added = (await api.call("POST", "/add-source", body, headers=key)).json
    api.replies.clear()
    batch = await freeze(parts, added["id"], [record(1)])
    await quarantine_unit(parts, added["id"])
    await quarantine_record(parts, added["id"], b"{")
    leased = await parts.store.lease_batches(added["id"], limit=1, lease_s=60)
    attempt = Attempt(number=1, started_at=1.0, took_s=1.0, outcome="transient", status=500)
    await parts.store.settle(leased[0], Settlement(state=BatchState.WAITING, attempt=attempt, due_at=1.0))
    quarantined = [each["id"] for each in (await api.get("/quarantine"))["quarantine"]]
    ids = {"sources": [added["id"]], "deliveries": [batch], "quarantine": quarantined, "tokens": ["x"]}
    for method, path in sorted(routes(create_app(parts)), key=lambda route: route[0] == "DELETE"):
        if "rotate" not in path:
            for each in ids.get(path.split("/")[1], [added["id"]]):
                await api.call(method, path.replace("{id}", each), body if method != "GET" else None)
    broken = credentials(accessKeyId="ASIACANARYCANARY0001", sessionToken=SESSION_TOKEN + " ", region=HEADER)
    await api.call("POST", "/add-source", source_body(credentials=broken), headers=key)
    await api.call("GET", f"/deliveries/{batch}?body=true")
    assert len(api.replies) > 25
    raw_secret = base64.b64decode(added["signingSecret"].removeprefix("whsec_"))
    canaries = [SECRET_KEY, SESSION_TOKEN, HEADER, EXTERNAL_ID, "ASIACANARYCANARY0001", added["signingSecret"], ADMIN]
    for reply in api.replies:
        assert raw_secret not in reply.body
        for canary in (*canaries, HEADER.removeprefix("Bearer ")):
            assert canary.encode() not in reply.body
