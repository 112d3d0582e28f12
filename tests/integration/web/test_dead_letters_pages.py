"""Dead letters and quarantine as pages, and doing something about many at once."""

import html
import re

from fastapi import FastAPI

from support.asgi import Client
from support.bodies import source_body
from support.clock import FakeClock
from support.parts import freeze, quarantine_record, quarantine_unit
from support.samples import record
from support.web import Browser
from trailhook.app import Parts
from trailhook.model import Attempt, BatchState
from trailhook.store.base import Settlement
from trailhook.store.lists import BatchQuery
from trailhook.web import bulk

DEAD = BatchQuery(states=[BatchState.DEAD], limit=500)


async def a_source(api: Client, **fields: object) -> str:
    return str((await api.post("/add-source", source_body(**fields)))["id"])


async def bury(parts: Parts, source: str, number: int, error: str = "The receiver answered 422.") -> list[str]:
    """That many dead letters."""
    first = len(await parts.store.batches(DEAD))
    ids = []
    for each in range(first, first + number):
        ids.append(await freeze(parts, source, [record(each)], f"log-{source}-{each}"))
        (batch,) = await parts.store.lease_batches(source, limit=1, lease_s=60)
        attempt = Attempt(
            number=1, started_at=parts.clock.now(), took_s=0.1, outcome="refused", status=422, error=error
        )
        await parts.store.settle(batch, Settlement(state=BatchState.DEAD, attempt=attempt))
    return ids


def form_of(body: bytes) -> dict[str, str]:
    """The hidden fields of the form that was handed out."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', body.decode())
    return {html.unescape(name): html.unescape(value) for name, value in found}


async def in_state(parts: Parts, state: BatchState) -> int:
    return await parts.store.batch_count(BatchQuery(states=[state]))


async def test_none_is_said_to_be_good(browser: Browser) -> None:
    assert b"Good: nothing was given up" in (await browser.get("/ui/dead-letters")).body
    assert b"Good: every log file" in (await browser.get("/ui/quarantine")).body


async def test_dead_letters_are_grouped_by_source_and_answer_and_narrowed_by_a_group(
    browser: Browser, api: Client, parts: Parts
) -> None:
    source, other = await a_source(api, name="one"), await a_source(api, name="two")
    await bury(parts, source, 2)
    (apart,) = await bury(parts, source, 1, error="<b>no</b> answer")
    await bury(parts, other, 1)
    page = (await browser.get("/ui/dead-letters")).body.decode()
    assert "4 dead letters" in page
    assert "<b>no</b>" not in page
    links = [html.unescape(each) for each in re.findall(r'href="(/ui/dead-letters\?source=[^"]+)"', page)]
    assert len(links) == 3
    (narrowed,) = [each for each in links if "answer" in each and "422" not in each]
    page = (await browser.get(narrowed)).body.decode()
    assert re.findall(r'id="d-(msg_\w+)"', page) == [apart]
    assert "1 dead letter of this kind" in " ".join(re.sub(r"<[^>]*>", " ", page).split())


async def test_retrying_all_says_how_many_and_then_goes_on_step_by_step_to_exactly_those(
    browser: Browser, api: Client, parts: Parts, clock: FakeClock
) -> None:
    source = await a_source(api)
    meant = await bury(parts, source, bulk.STEP + 5)
    question = await browser.part(f"/ui/all/retry?state=dead&source={source}")
    assert f"Send {len(meant)} deliveries again?".encode() in question.body
    clock.advance(5)
    (later,) = await bury(parts, source, 1)

    form, steps = form_of(question.body), 0
    while form:
        reply = await browser.send("/ui/all/retry", form)
        form, steps = form_of(reply.body), steps + 1
        assert steps < 10
    assert steps == 2
    assert f"{len(meant)} deliveries are due now".encode() in reply.body
    assert reply.headers["hx-trigger"] == "changed"
    assert await in_state(parts, BatchState.WAITING) == len(meant)
    assert [each.id for each in await parts.store.batches(DEAD)] == [later]


async def test_discarding_wants_the_number_typed(browser: Browser, api: Client, parts: Parts) -> None:
    await bury(parts, await a_source(api), 3)
    question = await browser.part("/ui/all/discard?state=dead")
    form = form_of(question.body)
    assert b"discard 3" in question.body
    for typed in ("", "discard", "discard 2", "yes"):
        reply = await browser.send("/ui/all/discard", {**form, "confirm": typed})
        assert b"Type \xe2\x80\x9cdiscard 3\xe2\x80\x9d to go on" in reply.body
    assert await in_state(parts, BatchState.DEAD) == 3
    reply = await browser.send("/ui/all/discard", {**form, "confirm": "discard 3"})
    assert b"3 deliveries are discarded" in reply.body
    assert await in_state(parts, BatchState.DISCARDED) == 3


async def test_only_those_that_were_chosen_are_touched_and_what_cannot_be_is_said(
    browser: Browser, api: Client, parts: Parts
) -> None:
    first, second, third = await bury(parts, await a_source(api), 3)
    question = await browser.send("/ui/all/retry/picked", {f"pick-{first}": "1", f"pick-{second}": "1"})
    assert b"Send 2 deliveries again?" in question.body
    await parts.store.discard_batch(second)
    reply = await browser.send("/ui/all/retry", form_of(question.body))
    assert b"1 delivery is due now" in reply.body
    assert b"1 could not be changed" in reply.body
    assert (await parts.store.batch(third)).state is BatchState.DEAD


async def test_where_nothing_can_be_retried_there_is_nothing_to_press(browser: Browser, api: Client) -> None:
    await a_source(api)
    assert b"There is nothing to retry" in (await browser.part("/ui/all/retry?state=delivered")).body
    assert (await browser.send("/ui/all/retry", {"total": "x"})).status == 422
    assert (await browser.part("/ui/all/explode")).status == 422


# ----------------------------------------------------------------------------------------------------- quarantine


async def test_quarantine_shows_what_and_why_and_the_bytes_as_text_only(
    browser: Browser, api: Client, parts: Parts
) -> None:
    source = await a_source(api)
    await quarantine_unit(parts, source, "<script>alert(1)</script>.json.gz")
    await quarantine_record(parts, source, b'{"x": <script>alert(1)</script>\xff\x00')
    unit, bad = [each.id for each in (await parts.store.quarantine())[::-1]]
    page = (await browser.get("/ui/quarantine")).body
    assert b"<script>alert" not in page
    assert b"Not gzip" in page
    one = (await browser.get(f"/ui/quarantine/{bad}")).body
    assert b"<script>alert" not in one
    assert b"7b 22 78 22 3a 20 3c 73 63 72 69 70 74 3e" in one
    download = await browser.part(f"/ui/quarantine/{bad}/download")
    assert download.body == b'{"x": <script>alert(1)</script>\xff\x00'
    assert download.headers["content-disposition"] == f'attachment; filename="quarantine-{bad}.bin"'
    assert b"its name is kept, not its bytes" in (await browser.get(f"/ui/quarantine/{unit}")).body
    assert (await browser.get(f"/ui/quarantine/{unit}/download")).status == 404


async def test_quarantine_is_retried_one_by_one_or_all_and_says_what_is_left(
    browser: Browser, api: Client, parts: Parts
) -> None:
    source = await a_source(api)
    for name in ("log-a", "log-b"):
        await quarantine_unit(parts, source, name)
    await quarantine_record(parts, source, b"{never")
    newest, *_, oldest = [each.id for each in await parts.store.quarantine()]
    refused = await browser.send(f"/ui/quarantine/{newest}/retry")
    assert (refused.status, b"still cannot be read" in refused.body) == (409, True)
    assert (await browser.send(f"/ui/quarantine/{oldest}/retry")).headers["hx-trigger"] == "changed"
    reply = await browser.send("/ui/quarantine-retries", {"source": source})
    assert b"1 left quarantine. 1 still cannot be read." in reply.body
    assert [each.id for each in await parts.store.quarantine()] == [newest]


async def test_those_who_may_only_read_cannot_retry_what_is_in_quarantine(
    site: FastAPI, api: Client, parts: Parts
) -> None:
    await quarantine_unit(parts, await a_source(api))
    text, _ = await parts.tokens.create("eyes", ["read"])
    browser = Browser(site)
    await browser.sign_in(text)
    assert b"Retry" not in (await browser.get("/ui/quarantine")).body
    for target in ("/ui/quarantine/u-1/retry", "/ui/quarantine-retries"):
        assert (await browser.send(target)).status == 403
