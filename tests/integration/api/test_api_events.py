"""The event log, as a client of the API sees it."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support import records
from support.asgi import Client
from support.bodies import source_body
from support.parts import freeze, parts_on
from support.product import TOKEN, Product, running
from trailhook.api.server import create_app
from trailhook.app import Parts
from trailhook.clock import from_rfc3339, rfc3339
from trailhook.model import Attempt, BatchState
from trailhook.store.base import Settlement

PATIENCE_S = 20.0


@pytest.fixture
async def source_id(api: Client) -> str:
    return str((await api.post("/add-source", source_body()))["id"])


@pytest.fixture
async def batch(parts: Parts, source_id: str) -> str:
    """Three events, the second one another's and a failure."""
    odd = records.event(2, eventName="PutObject", errorCode="AccessDenied", readOnly=False)
    return await freeze(parts, source_id, [records.event(1), odd, records.event(3)])


async def test_an_event_is_told_by_its_fields_its_place_and_its_record(api: Client, source_id: str, batch: str) -> None:
    answer = await api.get("/events?q=errorCode:*")
    assert answer == {
        "events": [
            {
                "time": "2024-05-01T10:00:02.000Z",
                "eventName": "PutObject",
                "eventSource": "s3.amazonaws.com",
                "user": "arn:aws:iam::111122223333:user/u2",
                "ip": "192.0.2.7",
                "errorCode": "AccessDenied",
                "account": "111122223333",
                "region": "eu-west-1",
                "readOnly": False,
                "source": source_id,
                "batch": batch,
                "state": "waiting",
                "position": 1,
                "event": records.event(2, eventName="PutObject", errorCode="AccessDenied", readOnly=False),
            }
        ],
        "next": None,
        "searchedBackTo": None,
        "complete": True,
        "withoutRecord": 0,
    }
    assert await api.get(f"/events/{batch}/1") == answer["events"][0]


async def test_pages_follow_one_another(api: Client, batch: str) -> None:
    first = await api.get("/events?limit=2")
    assert (first["complete"], first["searchedBackTo"]) == (False, "2024-05-01T10:00:02.000Z")
    second = await api.get(f"/events?limit=2&cursor={first['next']}")
    assert [each["position"] for each in first["events"] + second["events"]] == [2, 1, 0]
    assert second["complete"]


@pytest.mark.parametrize(
    ("query", "positions"),
    [
        ("eventName=Put*", [1]),
        ("eventName=Get*&user=*/u0", [2]),
        ("eventSource=s3.*&ip=192.0.2.0/24&q=-errorCode:*", [2, 0]),
        ("errorCode=*", [1]),
        ("from=2024-05-01T10:00:02Z", [2, 1]),
        ("to=2024-05-01T10:00:02Z", [0]),
        ("from=2024-05-01T12:00:02%2B02:00&to=2024-05-01T10:00:03Z", [1]),
    ],
)
async def test_parameters_narrow_the_search(api: Client, batch: str, query: str, positions: list[int]) -> None:
    assert [each["position"] for each in (await api.get(f"/events?{query}"))["events"]] == positions


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("q=canary:x", "q"),
        ("q=eventName:x&ip=canary/8", "ip"),
        ("user=two%20canaries", "user"),
        ("from=canary", "from"),
        ("to=2024-05-01T10:00:02", "to"),
        ("cursor=canary", "cursor"),
        ("cursor=WzEsMl0", "cursor"),
        ("cursor=Wy0xLDIsM10", "cursor"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("canary=1", "query"),
    ],
)
async def test_a_bad_search_names_its_field_and_repeats_nothing(api: Client, query: str, field: str) -> None:
    reply = await api.call("GET", f"/events?{query}")
    assert (reply.status, reply.fields) == (422, [field])
    assert b"canary" not in reply.body


async def test_a_query_that_is_none_says_where(api: Client) -> None:
    reply = await api.call("GET", "/events?q=eventName:x%20bucket:y")
    assert reply.json["errors"][0]["message"].startswith("character 13: this is no field")


@pytest.mark.parametrize("path", ["/events", "/events/histogram", "/events/tail"])
async def test_an_unknown_source_is_not_found(api: Client, path: str) -> None:
    assert (await api.call("GET", f"{path}?source=nobody")).status == 404


@pytest.mark.parametrize(("path", "status"), [("{}/3", 404), ("msg_unknown/0", 404), ("{}/-1", 422), ("{}/x", 422)])
async def test_what_is_no_event_has_no_link(api: Client, batch: str, path: str, status: int) -> None:
    assert (await api.call("GET", "/events/" + path.format(batch))).status == status


async def test_counts_over_time(api: Client, batch: str) -> None:
    between = "from=2024-05-01T10:00:00Z&to=2024-05-01T10:00:04Z&buckets=2"
    answer = await api.get(f"/events/histogram?{between}")
    assert answer == {
        "bucketSeconds": 2.0,
        "buckets": [
            {"start": "2024-05-01T10:00:00.000Z", "count": 1},
            {"start": "2024-05-01T10:00:02.000Z", "count": 2},
        ],
        "next": None,
        "searchedBackTo": "2024-05-01T10:00:00.000Z",
        "complete": True,
    }
    failed = await api.get(f"/events/histogram?{between}&errorCode=*")
    assert [each["count"] for each in failed["buckets"]] == [0, 1]


async def test_counts_are_of_the_last_day_unless_it_is_said(api: Client, parts: Parts, source_id: str) -> None:
    now = parts.clock.now()
    await freeze(parts, source_id, [records.event(1, eventTime=rfc3339(now - age_s)) for age_s in (60, 90_000)])
    answer = await api.get("/events/histogram?buckets=24")
    assert sum(each["count"] for each in answer["buckets"]) == 1
    assert from_rfc3339(answer["buckets"][0]["start"]) == now - 86_400


@pytest.mark.parametrize(
    ("query", "field"),
    [("q=word", "q"), ("q=eventId:1", "q"), ("buckets=0", "buckets"), ("from=2099-01-01T00:00:00Z", "from")],
)
async def test_what_cannot_be_counted_is_refused(api: Client, query: str, field: str) -> None:
    reply = await api.call("GET", f"/events/histogram?{query}")
    assert (reply.status, reply.fields) == (422, [field])


async def test_without_bodies_the_fields_are_told(tmp_path: Path) -> None:
    async with parts_on(tmp_path, store_events="metadata") as parts:
        api = Client(create_app(parts), "th_" + "admin" * 8)
        source = (await api.post("/add-source", source_body()))["id"]
        await freeze(parts, source, [records.event(1)])
        (leased,) = await parts.store.lease_batches(source, limit=1, lease_s=60)
        attempt = Attempt(number=1, started_at=parts.clock.now(), took_s=0.1, outcome="delivered", status=200)
        await parts.store.settle(leased, Settlement(state=BatchState.DELIVERED, attempt=attempt))
        (event,) = (await api.get("/events?q=eventName:GetObject"))["events"]
        assert (event["eventName"], event["state"], event["event"]) == ("GetObject", "delivered", None)
        by_text = await api.get("/events?q=GetObject")
        assert (by_text["events"], by_text["withoutRecord"], by_text["complete"]) == ([], 1, True)


async def test_the_links_of_a_source_go_with_it(api: Client, parts: Parts, source_id: str, batch: str) -> None:
    (leased,) = await parts.store.lease_batches(source_id, limit=1, lease_s=60)
    attempt = Attempt(number=1, started_at=parts.clock.now(), took_s=0.1, outcome="delivered", status=200)
    await parts.store.settle(leased, Settlement(state=BatchState.DELIVERED, attempt=attempt))
    assert (await api.call("GET", f"/events/{batch}/0")).status == 200
    await parts.store.remove_source(source_id)
    assert (await api.call("GET", f"/events/{batch}/0")).status == 404


# ---------------------------------------------------------------------------------------------- over a real socket


class Lines:
    """An answer that is read line by line as it comes."""

    def __init__(self, product: Product, path: str, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", product.api.port, timeout=PATIENCE_S)
        headers = {"authorization": f"Bearer {TOKEN}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        self._connection.request("GET", path, headers=headers)
        self.answer = self._connection.getresponse()

    def next(self) -> str:
        return self.answer.readline().decode()

    def next_data(self) -> Any:
        """The next event of a stream of them."""
        while not (line := self.next()).startswith("data: "):
            assert line, "the stream has ended"
        return json.loads(line.removeprefix("data: "))

    def close(self) -> None:
        self.answer.close()
        self._connection.close()


@pytest.fixture
async def product(tmp_path: Path) -> AsyncIterator[Product]:
    async with running(tmp_path, hosts=("example.com",), tails_max=1) as running_product:
        yield running_product


async def a_source_of(product: Product) -> str:
    return str((await product.api.post("/add-source", source_body()))["id"])


async def test_an_export_is_an_event_a_line_byte_for_byte(product: Product) -> None:
    source = await a_source_of(product)
    await freeze(product.parts, source, [records.event(number) for number in range(120)])
    reply = await product.api.call("GET", "/events?eventName=GetObject", accept="application/x-ndjson")
    assert reply.headers["content-type"].startswith("application/x-ndjson")
    lines = reply.body.splitlines()
    assert [json.loads(line)["event"] for line in lines] == [records.event(number) for number in reversed(range(120))]
    assert all(records.raw(119 - place) in line for place, line in enumerate(lines))
    some = await product.api.call("GET", "/events?limit=7", accept="application/x-ndjson")
    assert some.body.splitlines() == lines[:7]
    file = await product.api.call("GET", "/events?limit=7&format=ndjson")
    assert file.headers["content-disposition"] == 'attachment; filename="events.ndjson"'
    assert file.body == some.body


async def test_a_tail_shows_what_is_frozen_and_ends_with_the_process(product: Product) -> None:
    source = await a_source_of(product)
    await freeze(product.parts, source, [records.event(1)])
    tail = await asyncio.to_thread(Lines, product, "/events/tail?eventName=PutObject")
    assert tail.answer.headers["content-type"].startswith("text/event-stream")
    newer = [records.event(2), records.event(3, eventName="PutObject")]
    batch = await freeze(product.parts, source, newer, "log-2")
    shown = await asyncio.to_thread(tail.next_data)
    assert (shown["batch"], shown["position"], shown["event"]) == (batch, 1, newer[1])
    product.parts.tails.close()
    async with asyncio.timeout(PATIENCE_S):
        while await asyncio.to_thread(tail.next):
            pass
    tail.close()


async def test_one_too_many_is_told_to_come_again_and_has_a_place_once_another_leaves(product: Product) -> None:
    first = await asyncio.to_thread(Lines, product, "/events/tail")
    refused = await product.api.call("GET", "/events/tail")
    assert (refused.status, refused.headers["retry-after"]) == (503, "30")
    first.close()
    async with asyncio.timeout(PATIENCE_S):
        while (again := await asyncio.to_thread(Lines, product, "/events/tail")).answer.status == 503:
            await asyncio.sleep(0.02)
    assert again.answer.status == 200
    again.close()


async def test_a_watcher_who_comes_again_has_missed_nothing(product: Product) -> None:
    source = await a_source_of(product)
    first = await freeze(product.parts, source, [records.event(1)])
    second = await freeze(product.parts, source, [records.event(2)], "log-2")
    num = (await product.parts.store.batch(first)).num
    tail = await asyncio.to_thread(Lines, product, "/events/tail", last_event_id=str(num))
    assert (await asyncio.to_thread(tail.next_data))["batch"] == second
    tail.close()


async def test_a_watcher_who_left_amid_a_batch_gets_the_rest_of_it(product: Product) -> None:
    source = await a_source_of(product)
    first = await asyncio.to_thread(Lines, product, "/events/tail")
    await freeze(product.parts, source, [records.event(1), records.event(2)])
    assert (await asyncio.to_thread(first.next_data))["position"] == 0
    last_id = (await asyncio.to_thread(first.next)).removeprefix("id: ").strip()
    first.close()
    async with asyncio.timeout(PATIENCE_S):
        path = f"/events/tail?lastEventId={last_id}"
        while (again := await asyncio.to_thread(Lines, product, path)).answer.status == 503:
            await asyncio.sleep(0.02)
    assert [(await asyncio.to_thread(again.next_data))["position"] for _ in range(2)] == [0, 1]
    again.close()


async def test_a_tail_ends_with_the_token_of_its_watcher(product: Product) -> None:
    source = await a_source_of(product)
    text, info = await product.parts.tokens.create("soon gone", ["read"])
    tail = await asyncio.to_thread(Lines, product, "/events/tail", authorization=f"Bearer {text}")
    await freeze(product.parts, source, [records.event(1)])
    await asyncio.to_thread(tail.next_data)
    await product.parts.tokens.revoke(info.id)
    await freeze(product.parts, source, [records.event(2)], "log-2")
    async with asyncio.timeout(PATIENCE_S):
        while line := await asyncio.to_thread(tail.next):
            assert not line.startswith("data: ")
    tail.close()
