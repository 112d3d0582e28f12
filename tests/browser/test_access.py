"""Who may see and do what at the dashboard."""

import re

import pytest
from playwright.async_api import Browser, expect

from support.browsing import Person, somebody
from support.trail import Trail

LISTS = ("/ui/deliveries", "/ui/dead-letters", "/ui/quarantine")
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_wrong_token_is_refused_and_a_session_that_was_ended_is_over(person: Person) -> None:
    page = person.page
    person.refusals_expected = 1
    await person.open("/ui/deliveries")
    await page.get_by_label("API token").fill("th_of-somebody-else")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("not a token")
    await person.sign_in(then="/ui/deliveries")
    [cookie] = [each for each in await person.context.cookies() if each["name"] != "theme"]
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await person.context.add_cookies([cookie])  # type: ignore[list-item]
    await person.open("/")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_token_made_in_the_settings_reads_without_changing_anything_until_it_is_revoked(
    person: Person, trail: Trail, chromium: Browser
) -> None:
    source = await trail.add("looked at")
    await trail.write("ListUsers")
    await trail.until(sent=1)
    await person.sign_in(then="/ui/settings")
    page = person.page
    await page.get_by_label("What it is for").fill("auditors")
    await page.get_by_label("Scope").select_option("read")
    await page.get_by_role("button", name="Make a token").click()
    token = await page.get_by_text(re.compile("^th_")).inner_text()
    async with somebody(chromium, person.origin) as auditor:
        await auditor.sign_in(token)
        for path in (
            "/",
            f"/ui/sources/{source}",
            "/ui/deliveries",
            "/ui/dead-letters",
            "/ui/quarantine",
            "/ui/settings",
        ):
            await auditor.open(path)
            main = auditor.page.get_by_role("main")
            await expect(main.get_by_role("heading", level=1)).to_be_visible()
            changing = re.compile("Add|Edit|Fetch|Pause|Test|Retry|Discard|Rotate|Remove|Revoke|Make|Start|Everybody")
            await expect(main.get_by_role("button", name=changing)).to_have_count(0)
            await expect(main.get_by_role("link", name=changing)).to_have_count(0)
        page.once("dialog", lambda dialog: dialog.accept())
        await page.get_by_role("button", name="Revoke auditors").click()
        await expect(page.get_by_role("button", name="Revoke auditors")).to_have_count(0)
        await auditor.open("/")
        await expect(auditor.page.get_by_role("heading", name="Sign in")).to_be_visible()
