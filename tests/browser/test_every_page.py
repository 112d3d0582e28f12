"""Every page, light and dark: nothing that keeps somebody with a screen reader or poor sight out."""

import re

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import expect

from support.browsing import Person
from support.trail import Trail

pytestmark = pytest.mark.asyncio(loop_scope="session")
END_TRANSITIONS = "document.getAnimations().forEach((each) => each instanceof CSSTransition && each.finish())"
SERIOUS = ("serious", "critical")


async def findings(person: Person, where: str) -> list[str]:
    """What axe holds against the page as it is, folds opened: in the light, and what is different in the dark."""
    page = person.page
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await expect(page.get_by_text(re.compile("^(Loading|Searching|Counting) …"))).to_have_count(0)
    await page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    await page.evaluate(AXE_SCRIPT)
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    await page.emulate_media(color_scheme="dark")
    await page.evaluate(END_TRANSITIONS)
    dark = await page.evaluate("axe.run(document, {runOnly: ['color-contrast']})")
    await page.emulate_media(color_scheme="light")
    return [
        f"{where}: {each['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for each in (*found["violations"], *dark["violations"])
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


async def test_axe_finds_nothing_serious_on_any_page_light_or_dark(person: Person, trail: Trail) -> None:
    trail.receiver.answer = lambda _: 500
    source = await trail.add("for axe")
    await trail.write("ListUsers", errorCode="AccessDenied")
    await trail.until(waiting=1)
    [delivery] = (await trail.api.get(f"/deliveries?source={source}"))["deliveries"]
    pages = (
        *("/", "/ui/sources/new", f"/ui/sources/{source}", f"/ui/sources/{source}/edit"),
        *("/ui/deliveries", f"/ui/deliveries/{delivery['id']}", "/ui/dead-letters", "/ui/quarantine"),
        *(f"/ui/events?source={source}", f"/ui/events/{delivery['id']}/0", "/ui/live", "/ui/settings", "/ui/nowhere"),
    )
    person.refusals_expected = 1
    await person.open("/ui/sign-in")
    found = await findings(person, "/ui/sign-in")
    await person.sign_in()
    for path in pages:
        await person.open(path)
        found += await findings(person, path)
    assert not found
