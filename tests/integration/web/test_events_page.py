"""The event log on the dashboard: what is found, how far back has been looked, and what hostile records become."""

import html
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from support.asgi import Client
from support.bodies import source_body
from support.clock import FakeClock
from support.parts import ADMIN, freeze, parts_on
from support.samples import record
from support.web import Browser
from trailhook.app import Parts
from trailhook.web.server import create_site

DAY = "range=custom&from=2025-06-15T00:00&to=2025-06-16T00:00"
HOSTILE = "<script>alert('x')</script>\"'&"


@pytest.fixture
async def source_id(api: Client) -> str:
    return str((await api.post("/add-source", source_body(name="prod")))["id"])


@pytest.fixture
async def batch(parts: Parts, source_id: str) -> str:
    odd = record(2, eventName="PutObject", errorCode="AccessDenied", readOnly=False, eventSource="s3.amazonaws.com")
    return await freeze(parts, source_id, [record(1), odd, record(3)])


async def found(browser: Browser, query: str) -> str:
    reply = await browser.part(f"/ui/events/results?{query}")
    assert reply.status == 200, reply.body
    return reply.body.decode()


def names(part: str) -> list[str]:
    return re.findall(r'class="wide-cell name"><span[^>]*><a[^>]*>([^<]*)', part)


def links(part: str) -> list[str]:
    return [html.unescape(each) for each in re.findall(r'(?:href|hx-get)="([^"]+)"', part)]


async def test_the_page_asks_for_its_results_and_its_counts(browser: Browser, batch: str) -> None:
    page = (await browser.get("/ui/events?q=eventName:Put*&range=1h")).body.decode()
    (asked,) = [each for each in links(page) if each.startswith("/ui/events/results?")]
    assert parse_qs(urlsplit(asked).query).keys() == {"q", "range", "at"}
    (counted,) = re.findall(r'data-histogram="([^"]+)"', page)
    assert parse_qs(urlsplit(html.unescape(counted)).query)["buckets"] in (["60"], ["61"])
    assert (await browser.get(html.unescape(counted))).status == 200
    assert 'value="eventName:Put*"' in page


async def test_results_are_newest_first_and_say_how_far_back(browser: Browser, batch: str) -> None:
    part = await found(browser, DAY)
    assert names(part) == ["DescribeInstances", "PutObject", "DescribeInstances"]
    assert re.findall(r"2025-06-15 12:00:0\d", part) == [f"2025-06-15 12:00:0{second}" for second in (3, 2, 1)]
    assert "3 events" in part
    assert "That is all since" in part
    assert "2025-06-15 00:00:00 UTC" in part
    assert names(await found(browser, f"{DAY}&q=errorCode:*")) == ["PutObject"]
    assert "Nothing fits" in await found(browser, f"{DAY}&q=eventName:Nothing")


async def test_values_lead_to_a_search_for_them_and_for_all_others(browser: Browser, batch: str) -> None:
    part = await found(browser, f"{DAY}&q=errorCode:*")
    queries = [parse_qs(urlsplit(each).query).get("q", [""])[0] for each in links(part)]
    assert "errorCode:* eventName:PutObject" in queries
    assert "errorCode:* -eventName:PutObject" in queries
    assert "errorCode:* ip:198.51.100.7" in queries
    for each in links(part):
        if each.startswith("/ui/events?"):
            assert b'id="q-error"' not in (await browser.get(each)).body


async def test_a_page_that_is_full_offers_the_next_one(browser: Browser, parts: Parts, source_id: str) -> None:
    await freeze(parts, source_id, [record(number) for number in range(70)])
    first = await found(browser, DAY)
    assert len(names(first)) == 50
    assert "Load more" in first
    assert "Searched back to" in first
    (more,) = [each for each in links(first) if "cursor=" in each]
    second = await found(browser, more.partition("?")[2])
    assert len(names(second)) == 20
    assert "70 events" in second
    assert not [each for each in links(second) if "cursor=" in each]


class Hurrying(FakeClock):
    """A second passes whenever somebody looks."""

    def now(self) -> float:
        self.advance(1)
        return super().now()


async def test_a_slow_search_goes_on_by_itself_and_can_be_stopped(tmp_path: Path) -> None:
    async with parts_on(tmp_path, clock=Hurrying()) as parts:
        site = create_site(parts)
        browser, api = Browser(site), Client(site, ADMIN)
        await browser.sign_in(ADMIN)
        source = (await api.post("/add-source", source_body()))["id"]
        for number in range(8):
            await freeze(parts, source, [record(number)], name=f"log-{number}")
        first = await found(browser, f"{DAY}&q=000000000000")
        assert "0 events</strong> so far" in first
        assert 'hx-trigger="load, on"' in first
        assert "data-stop" in first
        assert re.search(r'<progress value="0\.\d+"', first)
        last, looks = first, 1
        while onward := [each for each in links(last) if "cursor=" in each]:
            assert "want=50" in onward[0]
            last, looks = await found(browser, onward[0].partition("?")[2]), looks + 1
        assert looks > 2
        assert "<strong>1 event</strong>.\nThat is all since" in last


@pytest.mark.parametrize(
    ("query", "marked", "message"),
    [
        ("q=eventName:x+bucket:y", "eventName:x <mark>b</mark>ucket:y", "This is no field"),
        ("q=errorCode:", "errorCode:<mark> </mark>", "A value is missing"),
        ("q=a+%22%3Cb>", "a <mark>&#34;</mark>&lt;b&gt;", "The quotes are not closed"),
    ],
)
async def test_an_error_of_the_grammar_is_told_under_the_box_with_its_place(
    browser: Browser, query: str, marked: str, message: str
) -> None:
    for page in ("/ui/events", "/ui/live"):
        reply = await browser.get(f"{page}?{query}")
        assert reply.status == 200
        said = reply.body.decode()
        assert marked in said
        assert message in said
        assert 'aria-invalid="true"' in said
        assert "/ui/events/results" not in said
        assert "data-live=" not in said
    assert (await browser.part(f"/ui/events/results?{query}")).status == 422


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ("from=2025-06-16T00:00&to=2025-06-15T00:00", "To must be later than the beginning"),
        ("from=soon", "From must be a time like"),
    ],
)
async def test_times_that_are_none_are_told_beside_them(browser: Browser, times: str, said: str) -> None:
    page = (await browser.get(f"/ui/events?range=custom&{times}")).body.decode()
    assert said in page
    assert "/ui/events/results" not in page
    assert (await browser.part(f"/ui/events/results?range=custom&{times}")).status == 422


async def test_text_is_searched_without_counts_and_it_says_so(browser: Browser, batch: str) -> None:
    page = (await browser.get(f"/ui/events?{DAY}&q=alice")).body.decode()
    assert "data-histogram=" not in page
    assert "No counts over time" in page
    assert len(names(await found(browser, f"{DAY}&q=alice"))) == 3


async def test_an_event_opens_in_its_place_and_at_an_address_that_stays(
    browser: Browser, batch: str, source_id: str
) -> None:
    part = await found(browser, f"{DAY}&q=errorCode:*")
    (opener,) = [each for each in links(part) if "/record" in each]
    opened = html.unescape((await browser.part(opener)).body.decode())
    assert f'href="/ui/deliveries/{batch}"' in opened
    assert f'href="/ui/sources/{source_id}"' in opened
    assert re.sub("<[^>]+>", "", opened).count('"eventID": "00000000-0000-4000-8000-000000000002"') == 1
    (link,) = {each for each in links(opened) if re.fullmatch(r"/ui/events/[^/?]+/\d+", each)}
    page = await browser.get(link)
    assert page.status == 200
    assert b"<h1>PutObject</h1>" in page.body
    assert (await browser.get(f"/ui/events/{batch}/3")).status == 404
    assert (await browser.get("/ui/events/nothing/0")).status == 404


async def test_hostile_records_are_only_text(browser: Browser, parts: Parts, source_id: str) -> None:
    odd = record(
        1, eventName=HOSTILE, eventSource=HOSTILE, sourceIPAddress="1/2", errorCode=HOSTILE, awsRegion='a"b\\c, *'
    )
    odd["userIdentity"]["arn"] = "arn:" + HOSTILE
    odd["requestParameters"] = {HOSTILE: [HOSTILE, "</code></pre><img src=x>"]}
    batch = await freeze(parts, source_id, [odd])
    part = await found(browser, DAY)
    pages = [part, (await browser.get(f"/ui/events/{batch}/0")).body.decode()]
    for each in links(part):
        if each.startswith("/ui/events"):
            reply = await browser.get(each)
            assert reply.status == 200
            assert b'id="q-error"' not in reply.body
            pages.append(reply.body.decode())
    assert len(pages) > 12
    for page in pages:
        assert "<script>alert" not in page
        assert "<img" not in page.replace('<img src="/ui/static/', "")
    (region,) = [each for each in links(part) if "region" in each and "-region" not in each and "?" in each]
    assert len(names(await found(browser, region.partition("?")[2] + "&" + DAY))) == 1


async def test_the_export_is_a_file_of_all_that_is_found(browser: Browser, batch: str) -> None:
    page = (await browser.get(f"/ui/events?{DAY}&q=eventName:Describe*")).body.decode()
    (export,) = [each for each in links(page) if "format=ndjson" in each]
    reply = await browser.get(export)
    assert reply.headers["content-disposition"] == 'attachment; filename="events.ndjson"'
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert parse_qs(urlsplit(export).query)["q"] == ["eventName:Describe*"]


async def test_the_live_page_tells_its_script_what_to_watch(browser: Browser, source_id: str) -> None:
    page = (await browser.get(f"/ui/live?q=errorCode:*&source={source_id}")).body.decode()
    assert f'data-live="/events/tail?q=errorCode%3A%2A&amp;source={source_id}"' in page
    assert "selected>prod</option>" in page
    assert (await browser.get("/ui/live?source=nobody")).status == 404
    assert (await browser.get("/ui/events?source=nobody")).status == 404


async def test_every_example_of_the_help_is_understood(browser: Browser) -> None:
    page = (await browser.get("/ui/events")).body.decode()
    examples = re.findall(r'<a href="([^"]+)" data-query>', page)
    assert len(examples) > 5
    for each in examples:
        assert b'id="q-error"' not in (await browser.get(html.unescape(each))).body
