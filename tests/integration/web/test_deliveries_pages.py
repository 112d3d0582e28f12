"""Deliveries as pages: lists and filters, one with its attempts and what it holds."""

import html
import re

from fastapi import FastAPI

from support.asgi import Client
from support.bodies import source_body
from support.clock import FakeClock
from support.parts import ADMIN, freeze
from support.samples import record
from support.web import Browser
from trailhook.app import Parts
from trailhook.model import Attempt, BatchState
from trailhook.store.base import Settlement
from trailhook.web import deliveries as pages
from trailhook.web import payload

HOSTILE = "</code></pre><script>alert('x')</script>"


async def a_source(api: Client, **fields: object) -> str:
    return str((await api.post("/add-source", source_body(**fields)))["id"])


def an_attempt(clock: FakeClock, number: int = 1, **fields: object) -> Attempt:
    told = {"outcome": "transient", "status": 500, "error": "The receiver answered 500 Internal Server Error."}
    return Attempt(number=number, started_at=clock.now(), took_s=0.25, **{**told, **fields})  # type: ignore[arg-type]


async def settle(parts: Parts, source: str, state: BatchState, attempt: Attempt, due_at: float = 0.0) -> None:
    (batch,) = await parts.store.lease_batches(source, limit=1, lease_s=60)
    await parts.store.settle(batch, Settlement(state=state, attempt=attempt, due_at=due_at))


def text_of(page: bytes) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.decode())).split())


async def test_the_list_tells_of_each_delivery_what_it_is_and_what_comes_next(
    browser: Browser, api: Client, parts: Parts, clock: FakeClock
) -> None:
    source = await a_source(api)
    delivery = await freeze(parts, source, [record(1), record(2)])
    await settle(parts, source, BatchState.WAITING, an_attempt(clock), clock.now() + 30)
    said = text_of((await browser.get("/ui/deliveries")).body)
    for words in (delivery, "prod", "Retrying", "Failed for now", "answered 500 Internal Server Error", "Retry all"):
        assert words in said


async def test_filters_narrow_the_list_and_stay_in_the_address(
    browser: Browser, api: Client, parts: Parts, clock: FakeClock
) -> None:
    source, other = await a_source(api), await a_source(api, name="other")
    old = await freeze(parts, source, [record(1)], "log-1")
    await settle(parts, source, BatchState.DEAD, an_attempt(clock))
    clock.advance(3_600)
    new = await freeze(parts, other, [record(2)], "log-2")

    async def listed(query: str) -> set[str]:
        return set(re.findall(r'id="d-(msg_\w+)"', (await browser.get(f"/ui/deliveries?{query}")).body.decode()))

    assert await listed("") == {old, new}
    assert await listed(f"source={other}") == {new}
    assert await listed("state=dead") == {old}
    assert await listed("from=2025-06-15T15:30") == {new}
    assert await listed("to=2025-06-15T15:30:00Z") == {old}
    assert await listed("state=delivered") == set()
    part = await browser.part("/ui/deliveries/list?state=dead&source=&from=&to=")
    assert part.headers["hx-replace-url"] == "/ui/deliveries?state=dead"
    for wrong in ("state=odd", "from=yesterday", "outcome=odd", "cursor=x"):
        assert (await browser.get(f"/ui/deliveries?{wrong}")).status == 422


async def test_older_deliveries_are_on_the_next_page_which_does_not_refresh_itself(
    browser: Browser, api: Client, parts: Parts
) -> None:
    source = await a_source(api)
    ids = [await freeze(parts, source, [record(number)], f"log-{number}") for number in range(pages.PAGE_ROWS + 2)]
    first = (await browser.get("/ui/deliveries")).body.decode()
    assert "refresh from:body" in first
    older = html.unescape(re.findall(r'rel="next" href="([^"]+)"', first)[0])
    second = (await browser.get(older)).body.decode()
    assert re.findall(r'id="d-(msg_\w+)"', second) == ids[1::-1]
    assert "refresh from:body" not in second
    assert 'rel="first"' in second


async def test_one_delivery_shows_every_attempt_its_headers_and_what_follows(
    browser: Browser, api: Client, parts: Parts, clock: FakeClock
) -> None:
    source = await a_source(api)
    delivery = await freeze(parts, source, [record(1)])
    sent = (("user-agent", "Trailhook/9"), ("webhook-timestamp", "1750000000"), ("webhook-signature", "v1,***"))
    first = an_attempt(clock, sent=(*sent, ("x-api-key", "***")), answer=HOSTILE, received=(("server", HOSTILE),))
    await settle(parts, source, BatchState.WAITING, first, clock.now())
    clock.advance(30)
    refused = an_attempt(clock, 2, status=422, outcome="refused", error="The receiver answered 422.")
    await settle(parts, source, BatchState.DEAD, refused)

    page = (await browser.get(f"/ui/deliveries/{delivery}")).body
    said = text_of(page)
    assert said.index("attempt 2") < said.index("attempt 1")
    for words in (
        *("Given up and kept as a dead letter", "422 Refused", "500 Failed for now", "took 250 ms"),
        *(f"webhook-id {delivery}", "x-trailhook-attempt 1", "x-api-key ***", "webhook-signature v1,***"),
        *("Tried again 29 s later", f"x-trailhook-source {source}"),
    ):
        assert words in said
    assert b"<script>alert" not in page
    assert html.escape(HOSTILE).encode() in page.replace(b"&#34;", b"&quot;").replace(b"&#39;", b"&#x27;")


async def test_the_parts_of_a_split_delivery_and_the_whole_lead_to_each_other(
    browser: Browser, api: Client, parts: Parts, clock: FakeClock
) -> None:
    source = await a_source(api)
    whole = await freeze(parts, source, [record(1), record(2)])
    (batch,) = await parts.store.lease_batches(source, limit=1, lease_s=60)
    children = [
        (await parts.store.batch(whole)).but(id=name, parent=whole, count=1, num=0, source_id="") for name in ("a", "b")
    ]
    await parts.store.settle(
        batch, Settlement(state=BatchState.SPLIT, attempt=an_attempt(clock, status=413), children=children)
    )
    page = (await browser.get(f"/ui/deliveries/{whole}")).body
    assert b'href="/ui/deliveries/a"' in page
    assert b'href="/ui/deliveries/b"' in page
    assert f'href="/ui/deliveries/{whole}"'.encode() in (await browser.get("/ui/deliveries/a")).body


async def test_a_retry_from_the_page_makes_it_due_and_asks_the_list_anew(
    browser: Browser, api: Client, parts: Parts, clock: FakeClock
) -> None:
    source = await a_source(api)
    delivery = await freeze(parts, source, [record(1)])
    await settle(parts, source, BatchState.DEAD, an_attempt(clock))
    reply = await browser.send(f"/ui/deliveries/{delivery}/retry")
    assert reply.headers["hx-trigger"] == "changed"
    assert (await parts.store.batch(delivery)).state is BatchState.WAITING
    await parts.store.discard_batch(delivery)
    refused = await browser.send(f"/ui/deliveries/{delivery}/retry")
    assert refused.status == 409
    assert b"this one is discarded" in refused.body


# -------------------------------------------------------------------------------------------------------- payload


async def test_the_payload_is_opened_record_by_record_and_is_only_ever_text(
    browser: Browser, api: Client, parts: Parts
) -> None:
    source = await a_source(api)
    records = [record(number, errorCode="Denied", note=HOSTILE) for number in range(payload.RECORDS_SHOWN + 1)]
    delivery = await freeze(parts, source, records)
    lines = (await browser.part(f"/ui/deliveries/{delivery}/payload")).body.decode()
    assert lines.count("<details") == payload.RECORDS_SHOWN
    assert "DescribeInstances" in lines
    assert f"payload?from={payload.RECORDS_SHOWN}" in lines
    rest = await browser.part(f"/ui/deliveries/{delivery}/payload?from={payload.RECORDS_SHOWN}")
    assert rest.body.count(b"<details") == 1
    one = (await browser.part(f"/ui/deliveries/{delivery}/records/7")).body.decode()
    assert "<script>alert" not in one
    assert '\n  "eventID": "00000000-0000-4000-8000-000000000007"' in html.unescape(one)
    assert (await browser.part(f"/ui/deliveries/{delivery}/records/9999")).status == 404


async def test_a_long_body_is_shown_cut_and_downloaded_whole(browser: Browser, api: Client, parts: Parts) -> None:
    source = await a_source(api)
    delivery = await freeze(parts, source, [record(1, note="x" * payload.TEXT_BYTES_MAX)])
    raw = (await browser.part(f"/ui/deliveries/{delivery}/raw")).body
    assert b"Download all" in raw
    assert len(raw) < payload.TEXT_BYTES_MAX + 10_000
    whole = await browser.part(f"/ui/deliveries/{delivery}/download")
    assert whole.headers["content-disposition"] == f'attachment; filename="{delivery}.json"'
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-type"] == "application/octet-stream"
    assert whole.body.startswith(b'{"type":"cloudtrail.events"')
    assert len(whole.body) == (await parts.store.batch(delivery)).wire_bytes


async def test_a_compressed_delivery_is_downloaded_as_it_travels(browser: Browser, api: Client, parts: Parts) -> None:
    source = await a_source(api, delivery={"compression": "gzip"})
    delivery = await freeze(parts, source, [record(1)])
    whole = await browser.part(f"/ui/deliveries/{delivery}/download")
    assert whole.headers["content-disposition"].endswith('.json.gz"')
    assert whole.body == (await parts.store.batch(delivery)).body


async def test_those_who_may_only_read_see_no_way_to_change_anything(
    site: FastAPI, api: Client, parts: Parts, clock: FakeClock
) -> None:
    source = await a_source(api)
    delivery = await freeze(parts, source, [record(1)])
    await settle(parts, source, BatchState.DEAD, an_attempt(clock))
    text, _ = await parts.tokens.create("eyes", ["read"])
    browser = Browser(site)
    await browser.sign_in(text)
    for page in ("/ui/deliveries", f"/ui/deliveries/{delivery}", "/ui/dead-letters"):
        body = (await browser.get(page)).body
        for action in (b">Retry", b"Discard \xe2", b'type="checkbox"'):
            assert action not in body, page
    for target in (f"/ui/deliveries/{delivery}/retry", "/ui/all/retry", "/ui/all/discard/picked"):
        assert (await browser.send(target)).status == 403
    assert (await browser.part("/ui/all/retry?state=dead")).status == 403


async def test_a_change_without_the_pages_own_word_is_refused(site: FastAPI, api: Client, parts: Parts) -> None:
    delivery = await freeze(parts, await a_source(api), [record(1)])
    browser = Browser(site)
    await browser.sign_in(ADMIN)
    browser.csrf = "0" * 64
    for target in (f"/ui/deliveries/{delivery}/retry", "/ui/all/discard", "/ui/settings/tokens", "/ui/settings/doctor"):
        assert (await browser.send(target)).status == 403
