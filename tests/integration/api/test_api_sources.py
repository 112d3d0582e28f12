"""Registering, changing and removing sources, as a client of the API sees it."""

import asyncio
import json

import pytest

from support.asgi import Client
from support.bodies import SECRET_KEY, credentials, source_body
from support.clock import START_AT, FakeClock
from support.parts import freeze, quarantine_record, quarantine_unit, unit_of
from support.samples import record
from trailhook.api.bodies import canonical_sha256
from trailhook.api.idempotency import Registrations
from trailhook.api.registration import new_seed, new_source
from trailhook.api.schemas import AddSource, Guards
from trailhook.api.sources import SIGNING_SECRETS_MAX
from trailhook.app import Parts
from trailhook.clock import rfc3339
from trailhook.errors import FetchState
from trailhook.model import BatchState, Condition, FoundUnit
from trailhook.security.secrets import shown_once
from trailhook.store.base import Settlement
from trailhook.store.lists import BatchQuery

DAY_S = 86_400.0


async def change(parts: Parts, source_id: str, **fields: object) -> None:
    await parts.store.change_source(source_id, lambda source: (source.but(**fields), ()))


async def break_lane(parts: Parts, source_id: str) -> None:
    source = await parts.store.source(source_id)
    failing = Condition(state="delivery_failing", reason="It answers 500.", remedy="Look there.", since_at=START_AT)
    await parts.store.change_lane(
        source.lane, lambda lane: lane.but(open=True, condition=failing, probe_at=START_AT + 900, opened_at=START_AT)
    )


async def test_the_contracts_example_is_enough(api: Client, parts: Parts) -> None:
    reply = await api.call("POST", "/add-source", source_body())
    assert reply.status == 201
    source = reply.json
    assert reply.headers["location"] == f"/sources/{source['id']}"
    assert source.pop("signingSecret").startswith("whsec_")
    assert source.pop("warnings") == []
    assert source == await api.get(f"/sources/{source['id']}")
    assert source["credentials"] == {
        "accessKeyId": "****MPLE",
        "roleArn": None,
        "region": "us-east-1",
        "expiration": None,
    }
    assert source["status"] == source["fetch"]["state"] == source["delivery"]["state"] == "active"
    assert source["intake"] == ["s3"]
    assert source["startFrom"] == rfc3339(START_AT - DAY_S)
    given = source_body()
    for name in ("sourceType", "name", "logFetchInterval", "callbackUrl", "s3Bucket", "s3Prefix"):
        assert source[name] == given[name]


async def test_what_was_given_is_what_is_kept(api: Client, parts: Parts) -> None:
    source = await api.post(
        "/add-source",
        source_body(
            name=None,
            credentials=credentials(
                accessKeyId="ASIAIOSFODNN7EXAMPLE",
                sessionToken="a-session-token-of-some-length",
                roleArn="arn:aws-us-gov:iam::123456789012:role/path/Reader",
                externalId="an:external/id",
            ),
            startFrom="beginning",
            filter={
                "include": {"userIdentity.arn": ["*alice"]},
                "exclude": {"eventName": ["Get*", "List*"]},
                "redact": ["requestParameters.password"],
            },
            delivery={"format": "ndjson", "maxEvents": 7, "headers": {"X-Key": "value"}, "ordered": True},
        ),
    )
    kept = await parts.store.source(source["id"])
    opened = parts.secrets.credentials(kept)
    assert opened.secret_access_key == SECRET_KEY
    assert opened.session_token == "a-session-token-of-some-length"
    assert opened.external_id == "an:external/id"
    assert parts.secrets.headers(kept) == {"X-Key": "value"}
    assert source["name"] == "cloudtrail-logs"
    assert source["startFrom"] == "beginning"
    assert source["filter"] == {
        "include": {"userIdentity.arn": ["*alice"]},
        "exclude": {"eventName": ["Get*", "List*"]},
        "redact": ["requestParameters.password"],
    }
    assert source["delivery"]["headers"] == {"X-Key": "***"}
    assert (source["delivery"]["format"], source["delivery"]["maxEvents"]) == ("ndjson", 7)
    assert source["delivery"]["maxBytes"] == 900 * 1024


async def test_keys_may_be_left_out_for_the_machines_own_identity(api: Client) -> None:
    source = await api.post("/add-source", source_body(credentials={"region": "eu-central-1"}))
    assert source["credentials"] == {
        "accessKeyId": None,
        "roleArn": None,
        "region": "eu-central-1",
        "expiration": None,
    }


async def test_a_new_source_is_looked_at_at_once(api: Client, parts: Parts) -> None:
    await api.post("/add-source", source_body())
    assert (await parts.queue.depth())["waiting"] == 1
    assert [job.kind for job in await parts.store.due()] == ["poll"]


async def test_a_source_that_another_doubles_is_warned_about(api: Client) -> None:
    first = await api.post("/add-source", source_body())
    other = await api.post("/add-source", source_body(s3Prefix="elsewhere/"))
    assert other["warnings"] == []
    second = await api.post("/add-source", source_body())
    assert [first["id"] in warning for warning in second["warnings"]] == [True]


# ------------------------------------------------------------------------------------------------- idempotency


async def add_with_key(api: Client, key: str, **fields: object) -> tuple[int, dict[str, str], dict[str, object]]:
    reply = await api.call("POST", "/add-source", source_body(**fields), headers={"idempotency-key": key})
    return reply.status, reply.headers, reply.json


async def test_the_same_key_and_body_register_once_and_get_the_same_answer(api: Client, clock: FakeClock) -> None:
    _, headers, first = await add_with_key(api, "key-1")
    assert "idempotent-replayed" not in headers
    clock.advance(DAY_S - 1)
    status, headers, second = await add_with_key(api, "key-1")
    assert (status, headers["idempotent-replayed"]) == (201, "true")
    assert second == first
    assert len((await api.get("/sources"))["sources"]) == 1


async def test_the_spelling_of_the_body_does_not_matter_to_a_key(api: Client) -> None:
    _, _, first = await add_with_key(api, "key-1")
    turned = json.dumps(dict(reversed(source_body().items())), indent=3).encode()
    again = await api.call("POST", "/add-source", turned, headers={"idempotency-key": "key-1"})
    assert again.json["id"] == first["id"]


async def test_a_key_used_with_another_body_is_a_conflict(api: Client) -> None:
    await add_with_key(api, "key-1")
    status, _, problem = await add_with_key(api, "key-1", name="other")
    assert status == 409
    assert "Idempotency-Key" in str(problem["detail"])
    assert len((await api.get("/sources"))["sources"]) == 1


async def test_a_key_is_forgotten_after_a_day(api: Client, clock: FakeClock) -> None:
    _, _, first = await add_with_key(api, "key-1")
    clock.advance(DAY_S)
    status, _, second = await add_with_key(api, "key-1", name="other")
    assert status == 201
    assert second["id"] != first["id"]


async def test_two_requests_with_one_key_at_a_time_register_once(api: Client) -> None:
    answers = await asyncio.gather(*(add_with_key(api, "key-1") for _ in range(5)))
    assert {status for status, _, _ in answers} == {201}
    assert len({json.dumps(answer) for _, _, answer in answers}) == 1
    assert len((await api.get("/sources"))["sources"]) == 1


async def test_a_replay_never_brings_a_removed_source_back(api: Client) -> None:
    _, _, first = await add_with_key(api, "key-1")
    await api.call("DELETE", f"/remove-source/{first['id']}")
    status, _, again = await add_with_key(api, "key-1")
    assert (status, again["id"]) == (201, first["id"])
    assert (await api.get("/sources"))["sources"] == []


@pytest.mark.parametrize("added", [False, True])
async def test_a_registration_that_was_cut_short_is_completed_by_its_key(
    api: Client, parts: Parts, clock: FakeClock, *, added: bool
) -> None:
    body = json.dumps(source_body()).encode()
    seed = new_seed(clock.now())
    await Registrations(parts.store, parts.vault, clock).claim("key-1", canonical_sha256(body), seed)
    if added:
        guards = Guards(callbacks=parts.callback_guard, aws=parts.aws_guard)
        given = AddSource.model_validate_json(body, context=guards)
        await parts.store.add_source(new_source(given, seed, parts.secrets))
    status, headers, answer = await add_with_key(api, "key-1")
    assert (status, answer["id"]) == (201, seed.source_id)
    assert ("idempotent-replayed" in headers) == added
    kept = await parts.store.source(seed.source_id)
    assert parts.secrets.signing(kept, clock.now()) == [seed.signing.secret]
    assert answer["signingSecret"] == shown_once(seed.signing)


# ------------------------------------------------------------------------------------------------------ listing


async def test_sources_at_work_come_first_and_broken_ones_are_never_hidden(api: Client, parts: Parts) -> None:
    ids = [(await api.post("/add-source", source_body(name=f"s{number}")))["id"] for number in range(4)]
    denied = Condition(state=FetchState.ACCESS_DENIED, reason="No.", remedy="Allow it.", since_at=START_AT)
    await change(parts, ids[0], fetch=denied)
    await api.post(f"/sources/{ids[2]}/pause")
    listed = (await api.get("/sources"))["sources"]
    assert {source["id"] for source in listed} == set(ids)
    assert [source["status"] for source in listed][:2] == ["active", "active"]
    assert {source["status"] for source in listed[2:]} == {"access_denied", "paused"}
    only = await api.get("/sources?status=access_denied")
    assert [source["id"] for source in only["sources"]] == [ids[0]]
    assert only["sources"][0]["fetch"]["remedy"] == "Allow it."


async def test_pages_of_sources_hold_every_source_once(api: Client) -> None:
    ids = [(await api.post("/add-source", source_body()))["id"] for _ in range(5)]
    seen: list[str] = []
    target = "/sources?limit=2"
    while True:
        page = await api.get(target)
        assert len(page["sources"]) <= 2
        seen += [source["id"] for source in page["sources"]]
        if page["next"] is None:
            break
        target = f"/sources?limit=2&cursor={page['next']}"
    assert sorted(seen) == sorted(ids)


# ----------------------------------------------------------------------------------------------------- changing


@pytest.fixture
async def source_id(api: Client) -> str:
    return str((await api.post("/add-source", source_body(delivery={"headers": {"X-Key": "value"}})))["id"])


async def patch(api: Client, source_id: str, **fields: object) -> dict[str, object]:
    reply = await api.call("PATCH", f"/sources/{source_id}", fields)
    assert reply.status == 200, reply.body
    answer: dict[str, object] = reply.json
    return answer


async def test_a_patch_changes_what_it_names_and_nothing_else(api: Client, source_id: str) -> None:
    before = await api.get(f"/sources/{source_id}")
    after = await patch(api, source_id, name="renamed", logFetchInterval=60, delivery={"maxEvents": 5})
    differing = {name for name in before if before[name] != after[name]}
    assert differing == {"name", "logFetchInterval", "delivery", "nextFetchAt"} - (
        {"nextFetchAt"} if before["nextFetchAt"] == after["nextFetchAt"] else set()
    )
    assert after == await api.get(f"/sources/{source_id}")


async def test_null_clears_what_is_optional(api: Client, source_id: str) -> None:
    await patch(api, source_id, filter={"include": {"eventName": ["A*"]}}, delivery={"format": "ndjson"})
    after = await patch(api, source_id, filter=None, s3Prefix=None, delivery={"format": None})
    assert after["filter"] is None
    assert after["s3Prefix"] == ""
    assert after["delivery"]["format"] == "envelope"  # type: ignore[index]


@pytest.mark.parametrize("name", ["name", "credentials", "logFetchInterval", "callbackUrl", "startFrom"])
async def test_null_is_refused_where_there_must_be_something(api: Client, source_id: str, name: str) -> None:
    reply = await api.call("PATCH", f"/sources/{source_id}", {name: None})
    assert (reply.status, reply.fields) == (422, [name])


@pytest.mark.parametrize("name", ["id", "sourceType", "status", "createdAt", "signingSecret"])
async def test_what_makes_a_source_itself_cannot_be_changed(api: Client, source_id: str, name: str) -> None:
    reply = await api.call("PATCH", f"/sources/{source_id}", {name: "aws_cloudtrail"})
    assert (reply.status, reply.fields) == (422, [name])


async def test_new_credentials_replace_the_old_as_a_whole(api: Client, parts: Parts, source_id: str) -> None:
    role = "arn:aws:iam::123456789012:role/Reader"
    await patch(api, source_id, credentials={"roleArn": role})
    kept = await parts.store.source(source_id)
    opened = parts.secrets.credentials(kept)
    assert (opened.access_key_id, opened.secret_access_key, opened.role_arn) == (None, None, role)
    assert (kept.region, kept.access_key_last4) == ("us-east-1", "")


async def test_the_region_alone_may_be_changed(api: Client, parts: Parts, source_id: str) -> None:
    await patch(api, source_id, credentials={"region": "eu-west-1"})
    kept = await parts.store.source(source_id)
    assert kept.region == "eu-west-1"
    assert parts.secrets.credentials(kept).secret_access_key == SECRET_KEY


async def test_new_credentials_end_what_was_wrong_with_the_old(
    api: Client, parts: Parts, source_id: str, clock: FakeClock
) -> None:
    expired = Condition(state=FetchState.CREDENTIALS_EXPIRED, reason="Over.", remedy="New ones.", since_at=START_AT)
    await change(parts, source_id, fetch=expired, reading=expired, failures=9, next_fetch_at=START_AT + 9_000)
    assert (await api.get(f"/sources/{source_id}"))["status"] == "credentials_expired"
    clock.advance(100)
    after = await patch(api, source_id, credentials=credentials(accessKeyId="AKIAIOSFODNN7OTHER00"))
    assert after["status"] == "active"
    assert after["nextFetchAt"] == rfc3339(START_AT + 100)
    assert [job.kind for job in await parts.store.due()] == ["poll"]


async def test_another_callback_host_does_not_get_to_see_the_headers(api: Client, parts: Parts, source_id: str) -> None:
    before = await parts.store.source(source_id)
    await patch(api, source_id, callbackUrl="https://example.com/other")
    same_host = await parts.store.source(source_id)
    assert parts.secrets.headers(same_host) == {"X-Key": "value"}
    assert same_host.lane != before.lane
    after = await patch(api, source_id, callbackUrl="https://example.org/webhook")
    assert after["delivery"]["headers"] == {}  # type: ignore[index]
    assert parts.secrets.headers(await parts.store.source(source_id)) == {}


async def test_headers_given_with_a_new_callback_are_kept(api: Client, parts: Parts, source_id: str) -> None:
    await patch(
        api, source_id, callbackUrl="https://example.org/webhook", delivery={"headers": {"Authorization": "Basic x"}}
    )
    assert parts.secrets.headers(await parts.store.source(source_id)) == {"Authorization": "Basic x"}


async def test_a_patch_that_changes_nothing_writes_nothing(api: Client, parts: Parts, source_id: str) -> None:
    before = await parts.store.source(source_id)
    await patch(api, source_id, name=before.name, delivery={"format": "envelope"})
    assert await parts.store.source(source_id) == before


async def test_an_empty_patch_is_refused(api: Client, source_id: str) -> None:
    reply = await api.call("PATCH", f"/sources/{source_id}", {})
    assert (reply.status, reply.fields) == (422, ["body"])


async def test_a_source_that_loses_its_bucket_becomes_one_of_lookup_events(api: Client, source_id: str) -> None:
    assert (await patch(api, source_id, s3Bucket=None))["intake"] == ["lookup"]


async def test_a_source_cannot_lose_the_bucket_of_a_way_in_it_names(api: Client, source_id: str) -> None:
    reply = await api.call("PATCH", f"/sources/{source_id}", {"s3Bucket": None, "intake": ["s3", "lookup"]})
    assert (reply.status, reply.fields) == (422, ["s3Bucket"])


async def test_a_new_start_is_kept_and_looked_for_at_once(
    api: Client, parts: Parts, source_id: str, clock: FakeClock
) -> None:
    await change(parts, source_id, next_fetch_at=START_AT + 9_000)
    after = await patch(api, source_id, startFrom="2025-01-01T00:00:00Z")
    assert after["startFrom"] == "2025-01-01T00:00:00.000Z"
    assert after["nextFetchAt"] == rfc3339(START_AT)


# ---------------------------------------------------------------------------------------------- looking after it


async def test_a_fetch_is_due_at_once(api: Client, parts: Parts, source_id: str) -> None:
    await change(parts, source_id, next_fetch_at=START_AT + 9_000)
    reply = await api.call("POST", f"/sources/{source_id}/fetch")
    assert (reply.status, reply.json["nextFetchAt"]) == (202, rfc3339(START_AT))


async def test_a_paused_source_is_not_fetched(api: Client, parts: Parts, source_id: str) -> None:
    await api.post(f"/sources/{source_id}/pause")
    assert await parts.store.due() == []
    assert (await api.call("POST", f"/sources/{source_id}/fetch")).status == 409


async def test_time_paused_is_added_up_once_it_ends(
    api: Client, parts: Parts, source_id: str, clock: FakeClock
) -> None:
    for _ in range(2):
        await api.post(f"/sources/{source_id}/pause")
        clock.advance(100)
        assert (await api.post(f"/sources/{source_id}/pause"))["status"] == "paused"
        clock.advance(100)
        assert (await api.post(f"/sources/{source_id}/resume"))["status"] == "active"
    assert (await parts.store.source(source_id)).paused_total_s == 400


async def test_resuming_lets_a_failing_callback_be_tried_at_once(api: Client, parts: Parts, source_id: str) -> None:
    await break_lane(parts, source_id)
    assert (await api.get(f"/sources/{source_id}"))["status"] == "delivery_failing"
    await api.post(f"/sources/{source_id}/resume")
    source = await parts.store.source(source_id)
    assert (await parts.store.lane(source.lane)).probe_at == START_AT


async def test_a_rotated_secret_signs_beside_the_new_one_until_the_overlap_ends(
    api: Client, parts: Parts, clock: FakeClock
) -> None:
    added = await api.post("/add-source", source_body())
    clock.advance(50)
    rotated = await api.post(f"/sources/{added['id']}/rotate-secret")
    assert rotated["signingSecret"] != added["signingSecret"]
    assert rotated["previousUntil"] == rfc3339(START_AT + 50 + DAY_S)
    source = await parts.store.source(added["id"])
    assert len(parts.secrets.signing(source, clock.now())) == 2
    clock.advance(DAY_S + 1)
    assert len(parts.secrets.signing(source, clock.now())) == 1


async def test_secrets_that_sign_are_never_too_many(api: Client, source_id: str, clock: FakeClock) -> None:
    for _ in range(SIGNING_SECRETS_MAX - 1):
        await api.post(f"/sources/{source_id}/rotate-secret")
    assert (await api.call("POST", f"/sources/{source_id}/rotate-secret")).status == 409
    clock.advance(DAY_S + 1)
    assert (await api.call("POST", f"/sources/{source_id}/rotate-secret")).status == 200


async def test_status_counts_everything_and_adds_up(
    api: Client, parts: Parts, source_id: str, clock: FakeClock
) -> None:
    await freeze(parts, source_id, [record(1), record(2)])
    await freeze(parts, source_id, [record(3)], name="log-2")
    await quarantine_record(parts, source_id, b"{")
    await quarantine_unit(parts, source_id)
    await parts.store.add_units(source_id, [FoundUnit(intake="s3", place="logs", name="d", ignored="digest")])
    first, *_ = await parts.store.lease_batches(source_id, limit=1, lease_s=60)
    await parts.store.settle(first, Settlement(state=BatchState.DELIVERED))
    status = await api.get(f"/sources/{source_id}/status")
    assert status["counts"] == {
        "read": 4,
        "sent": 2,
        "filtered": 0,
        "duplicate": 0,
        "quarantined": 1,
        "deadLettered": 0,
        "discarded": 0,
        "waiting": 1,
    }
    assert status["balanced"] is True
    assert status["units"] == {"waiting": 0, "done": 3, "quarantined": 1, "ignored": {"digest": 1}}
    assert status["outbox"]["batches"] == 1
    assert status["outbox"]["bytes"] > 0
    assert status["deadLetters"] == {"batches": 0, "bytes": 0}
    assert status["lagSeconds"] > 0
    assert status["lastError"] is None


async def test_status_says_what_is_wrong(api: Client, parts: Parts, source_id: str) -> None:
    await break_lane(parts, source_id)
    status = await api.get(f"/sources/{source_id}/status")
    assert (status["status"], status["lastError"]) == ("delivery_failing", "It answers 500.")


async def test_removal_counts_what_went_with_it(api: Client, parts: Parts, source_id: str) -> None:
    await freeze(parts, source_id, [record(1), record(2)])
    await unit_of(parts, source_id, "never-read")
    parts.metrics.events(source_id, "read", 2)
    reply = await api.call("DELETE", f"/remove-source/{source_id}")
    assert reply.status == 200
    assert reply.json == {
        "id": source_id,
        "removed": True,
        "discarded": {"waiting": 2, "deadLettered": 0, "units": 1},
        "lastEventTime": None,
    }
    assert (await api.call("GET", f"/sources/{source_id}")).status == 404
    assert (await api.call("DELETE", f"/remove-source/{source_id}")).status == 404
    assert source_id.encode() not in parts.metrics.text()
    assert [batch.state for batch in await parts.store.batches(BatchQuery(states=[BatchState.WAITING]))] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sources/{}"),
        ("PATCH", "/sources/{}"),
        ("DELETE", "/remove-source/{}"),
        ("POST", "/sources/{}/fetch"),
        ("POST", "/sources/{}/pause"),
        ("POST", "/sources/{}/resume"),
        ("POST", "/sources/{}/rotate-secret"),
        ("GET", "/sources/{}/status"),
    ],
)
async def test_an_unknown_source_is_a_404_that_echoes_nothing(api: Client, method: str, path: str) -> None:
    reply = await api.call(method, path.format("canary-id"), {"name": "x"} if method == "PATCH" else None)
    assert reply.status == 404
    assert b"canary" not in reply.body
