"""The event log at the dashboard: live, searched, opened, exported."""

import json
import re

import pytest
from playwright.async_api import expect

from support.browsing import Person
from support.trail import Trail

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_events_are_seen_as_they_arrive(person: Person, trail: Trail) -> None:
    source = await trail.add("watched")
    await person.sign_in(then=f"/ui/live?source={source}")
    page = person.page
    watched = page.get_by_role("region", name="Events as they come")
    await expect(watched.get_by_text("Connected")).to_be_visible()
    [shown] = await trail.write("DeleteTrail")
    line = watched.get_by_role("button", name="DeleteTrail")
    await expect(line).to_be_visible()
    await line.click()
    await expect(page.get_by_label("The record", exact=True)).to_contain_text(shown)


async def test_an_event_is_searched_for_opened_linked_to_and_exported(person: Person, trail: Trail) -> None:
    source = await trail.add("searched")
    await trail.write("ConsoleLogin", "ConsoleLogin", errorCode="AccessDenied", sourceIPAddress="10.1.2.3")
    await trail.write("ConsoleLogin", "CreateUser", sourceIPAddress="192.0.2.9")
    await trail.until(sent=4)
    await person.sign_in(then="/ui/events")
    page = person.page
    await page.get_by_label("Source", exact=True).select_option(source)
    await page.get_by_label("Query", exact=True).fill("eventName:Console* errorCode:* ip:10.0.0.0/8")
    await page.get_by_role("button", name="Search", exact=True).click()
    await expect(page.get_by_text("That is all since")).to_be_visible()
    await expect(page.get_by_role("cell", name="ConsoleLogin")).to_have_count(2)

    await page.get_by_role("button", name=re.compile(r"^\d{4}-")).first.click()
    record = page.get_by_label("The record", exact=True)
    await expect(record).to_contain_text("10.1.2.3")
    link = await page.get_by_role("link", name="/ui/events/msg_").get_attribute("href")
    other = await person.tab()
    await other.goto(f"{person.origin}{link}")
    await expect(other.get_by_role("heading", level=1, name="ConsoleLogin")).to_be_visible()
    assert await other.get_by_label("The record", exact=True).inner_text() == await record.inner_text()

    async with page.expect_download() as saving:
        await page.get_by_role("link", name="Export as NDJSON").click()
    exported = [json.loads(line) for line in (await (await saving.value).path()).read_bytes().splitlines()]
    received = [event for each in trail.receiver.of_type("cloudtrail.") for event in each.events]
    wanted = [event for event in received if event["sourceIPAddress"] == "10.1.2.3"]
    assert sorted(json.dumps(each["event"]) for each in exported) == sorted(map(json.dumps, wanted))


async def test_a_query_that_is_not_understood_says_where(person: Person) -> None:
    await person.sign_in(then="/ui/events")
    await person.page.get_by_label("Query", exact=True).fill("eventNam:ConsoleLogin")
    await person.page.get_by_role("button", name="Search", exact=True).click()
    await expect(person.page.get_by_role("alert")).to_contain_text("eventNam")
