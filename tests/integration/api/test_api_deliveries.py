"""Deliveries and quarantine, as a client of the API sees them."""

import json

import pytest

from support.asgi import Client
from support.bodies import source_body
from support.clock import START_AT
from support.parts import freeze, quarantine_record, quarantine_unit
from support.samples import record
from trailhook.app import Parts
from trailhook.clock import rfc3339
from trailhook.model import Attempt, BatchState
from trailhook.store.base import Settlement


@pytest.fixture
async def source_id(api: Client) -> str:
    return str((await api.post("/add-source", source_body()))["id"])


async def fail(parts: Parts, source_id: str, state: BatchState) -> None:
    """One attempt that a 500 answered."""
    batch, *_ = await parts.store.lease_batches(source_id, limit=1, lease_s=60)
    attempt = Attempt(
        number=1, started_at=START_AT, took_s=0.25, outcome="transient", status=500, error="500", answer="oh no"
    )
    await parts.store.settle(batch, Settlement(state=state, attempt=attempt, due_at=START_AT + 5_000))


async def test_a_delivery_shows_every_attempt(api: Client, parts: Parts, source_id: str) -> None:
    batch = await freeze(parts, source_id, [record(1), record(2)])
    await fail(parts, source_id, BatchState.WAITING)
    delivery = await api.get(f"/deliveries/{batch}")
    assert (delivery["id"], delivery["sourceId"]) == (batch, source_id)
    assert (delivery["status"], delivery["count"], delivery["attemptCount"]) == ("waiting", 2, 1)
    assert delivery["dueAt"] == rfc3339(START_AT + 5_000)
    assert delivery["body"] is None
    assert delivery["attempts"] == [
        {
            "number": 1,
            "startedAt": rfc3339(START_AT),
            "tookSeconds": 0.25,
            "outcome": "transient",
            "status": 500,
            "error": "500",
            "answer": "oh no",
            "requestHeaders": {},
            "answerHeaders": {},
        }
    ]


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_a_deliverys_body_is_shown_as_text_when_asked_for(api: Client, parts: Parts, compression: str) -> None:
    source = await api.post("/add-source", source_body(delivery={"compression": compression}))
    batch = await freeze(parts, source["id"], [record(1)])
    body = json.loads((await api.get(f"/deliveries/{batch}?body=true"))["body"])
    assert body["data"]["events"] == [record(1)]


async def test_deliveries_are_listed_newest_first_in_pages(api: Client, parts: Parts, source_id: str) -> None:
    ids = [await freeze(parts, source_id, [record(number)], name=f"log-{number}") for number in range(5)]
    seen: list[str] = []
    target = "/deliveries?limit=2"
    while True:
        page = await api.get(target)
        seen += [delivery["id"] for delivery in page["deliveries"]]
        if page["next"] is None:
            break
        target = f"/deliveries?limit=2&cursor={page['next']}"
    assert seen == ids[::-1]


async def test_deliveries_may_be_listed_by_source_and_status(api: Client, parts: Parts, source_id: str) -> None:
    other = (await api.post("/add-source", source_body()))["id"]
    dead = await freeze(parts, source_id, [record(1)])
    await fail(parts, source_id, BatchState.DEAD)
    waiting = await freeze(parts, source_id, [record(2)], name="log-2")
    await freeze(parts, other, [record(3)])

    async def listed(query: str) -> list[str]:
        return [each["id"] for each in (await api.get(f"/deliveries?{query}"))["deliveries"]]

    assert await listed(f"source={source_id}") == [waiting, dead]
    assert await listed("status=dead") == await listed("status=deadLettered") == [dead]
    assert await listed(f"source={source_id}&status=waiting") == [waiting]
    assert await listed("source=unknown") == []


async def test_a_dead_letter_can_be_sent_again_at_once(api: Client, parts: Parts, source_id: str) -> None:
    batch = await freeze(parts, source_id, [record(1)])
    await fail(parts, source_id, BatchState.DEAD)
    source = await parts.store.source(source_id)
    await parts.store.change_lane(source.lane, lambda lane: lane.but(open=True, probe_at=START_AT + 900))
    again = await api.post(f"/deliveries/{batch}/retry")
    assert (again["status"], again["dueAt"]) == ("waiting", rfc3339(START_AT))
    assert len(again["attempts"]) == 1
    assert (await parts.store.lane(source.lane)).probe_at == START_AT


async def test_a_dead_letter_can_be_given_up(api: Client, parts: Parts, source_id: str) -> None:
    batch = await freeze(parts, source_id, [record(1)])
    await fail(parts, source_id, BatchState.DEAD)
    assert (await api.call("DELETE", f"/deliveries/{batch}")).json["status"] == "discarded"
    assert (await api.call("DELETE", f"/deliveries/{batch}")).status == 409
    assert (await api.call("POST", f"/deliveries/{batch}/retry")).status == 409
    counts = (await api.get(f"/sources/{source_id}/status"))["counts"]
    assert (counts["deadLettered"], counts["discarded"]) == (0, 1)


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/retry"), ("DELETE", "")])
async def test_an_unknown_delivery_is_a_404(api: Client, method: str, path: str) -> None:
    reply = await api.call(method, f"/deliveries/msg_canary{path}")
    assert reply.status == 404
    assert b"canary" not in reply.body


# --------------------------------------------------------------------------------------------------- quarantine


async def test_quarantine_is_listed_newest_first_in_pages(api: Client, parts: Parts, source_id: str) -> None:
    for number in range(3):
        await quarantine_unit(parts, source_id, f"log-{number}")
    first = await api.get(f"/quarantine?source={source_id}&limit=2")
    second = await api.get(f"/quarantine?source={source_id}&limit=2&cursor={first['next']}")
    names = [each["name"] for each in first["quarantine"] + second["quarantine"]]
    assert names == ["log-2", "log-1", "log-0"]
    assert second["next"] is None
    assert first["quarantine"][0]["reason"] == "not_gzip"


async def test_a_quarantined_object_is_read_again_when_asked_to(api: Client, parts: Parts, source_id: str) -> None:
    await quarantine_unit(parts, source_id)
    entry = (await api.get("/quarantine"))["quarantine"][0]
    assert entry["kind"] == "unit"
    assert await api.post(f"/quarantine/{entry['id']}/retry") == {"id": entry["id"], "retried": True}
    assert (await api.get("/quarantine"))["quarantine"] == []
    assert (await api.get(f"/sources/{source_id}/status"))["units"]["waiting"] == 1


async def retry_record(api: Client, parts: Parts, source_id: str, raw: bytes) -> int:
    await quarantine_record(parts, source_id, raw)
    entry = (await api.get("/quarantine"))["quarantine"][0]
    assert entry["kind"] == "record"
    return (await api.call("POST", f"/quarantine/{entry['id']}/retry")).status


async def test_a_quarantined_event_that_can_be_read_by_now_is_delivered(
    api: Client, parts: Parts, source_id: str
) -> None:
    assert await retry_record(api, parts, source_id, json.dumps(record(1)).encode()) == 200
    counts = (await api.get(f"/sources/{source_id}/status"))["counts"]
    assert (counts["waiting"], counts["quarantined"]) == (1, 0)


async def test_a_quarantined_event_that_was_seen_otherwise_is_a_duplicate(
    api: Client, parts: Parts, source_id: str
) -> None:
    await freeze(parts, source_id, [record(1)])
    assert await retry_record(api, parts, source_id, json.dumps(record(1)).encode()) == 200
    counts = (await api.get(f"/sources/{source_id}/status"))["counts"]
    assert (counts["waiting"], counts["duplicate"]) == (1, 1)


async def test_a_quarantined_event_passes_the_filter_or_is_filtered(api: Client, parts: Parts, source_id: str) -> None:
    wanted = {"include": {"eventName": ["Delete*"]}}
    await api.call("PATCH", f"/sources/{source_id}", {"filter": wanted})
    assert await retry_record(api, parts, source_id, json.dumps(record(1)).encode()) == 200
    counts = (await api.get(f"/sources/{source_id}/status"))["counts"]
    assert (counts["waiting"], counts["filtered"]) == (0, 1)


async def test_a_quarantined_event_that_still_cannot_be_read_stays(api: Client, parts: Parts, source_id: str) -> None:
    assert await retry_record(api, parts, source_id, b'{"eventID": ') == 409
    assert len((await api.get("/quarantine"))["quarantine"]) == 1


async def test_an_unknown_entry_of_quarantine_is_a_404(api: Client) -> None:
    for entry in ("u-99", "r-99", "canary"):
        assert (await api.call("POST", f"/quarantine/{entry}/retry")).status == 404
