"""What was given up, found at the dashboard and sent again."""

import asyncio
import re

import pytest
from playwright.async_api import expect

from support.browsing import Person
from support.receiver import Delivery
from support.samples import log_key
from support.trail import Trail

pytestmark = pytest.mark.asyncio(loop_scope="session")


def refuse_poison(delivery: Delivery) -> int:
    """A receiver that chokes on one event."""
    return 422 if any(event["eventName"] == "Poison" for event in delivery.events) else 200


async def test_a_dead_letter_is_found_with_its_answer_and_retried_once_the_receiver_is_mended(
    person: Person, trail: Trail
) -> None:
    trail.receiver.answer = refuse_poison
    source = await trail.add("poisoned")
    ids = await trail.write("ListUsers", "Poison", "ListRoles")
    await trail.hurried_until(deadLettered=1)
    [dead] = (await trail.api.get(f"/deliveries?source={source}&status=dead"))["deliveries"]
    await person.sign_in()
    page = person.page
    await page.get_by_role("link", name="Dead letters").click()
    group = page.get_by_role("row").filter(has=page.get_by_role("link", name="poisoned")).first
    await expect(group).to_contain_text("422")
    await page.get_by_role("link", name=dead["id"]).click()
    attempts = page.get_by_role("region", name="Attempts")
    await expect(attempts).to_contain_text("Given up and kept as a dead letter.")
    await expect(attempts).to_contain_text("webhook-signature")
    await page.get_by_role("button", name="Show it").click()
    await page.get_by_text("Poison", exact=True).click()
    await expect(page.get_by_text(ids[1])).to_be_visible()
    trail.receiver.answer = lambda _: 200
    await page.get_by_role("button", name="Retry now").click()
    await expect(attempts).to_contain_text("Delivered.")
    assert trail.received() == set(ids)


async def test_all_dead_letters_of_a_kind_are_retried_together(person: Person, trail: Trail) -> None:
    trail.receiver.answer = lambda _: 500
    source = await trail.add("many", delivery={"maxEvents": 1})
    ids = await trail.write("ListUsers", "ListRoles", "ListKeys")
    await trail.until(waiting=3)
    await person.sign_in(then=f"/ui/deliveries?source={source}")
    page = person.page
    await expect(page.get_by_role("row")).to_have_count(4)
    trail.receiver.answer = lambda _: 200
    await page.get_by_role("button", name="Retry all of this filter").click()
    question = page.get_by_role("dialog", name=re.compile("^Send 3 deliveries again"))
    await question.get_by_role("button", name="Retry 3").click()
    await expect(page.get_by_role("dialog", name="Done")).to_contain_text("3 deliveries are due now.")
    await page.get_by_role("button", name="Close").click()
    await expect(page.get_by_role("row").filter(has_text="Delivered")).to_have_count(3)
    assert trail.received() == set(ids)


async def test_a_file_that_cannot_be_read_is_seen_in_quarantine(person: Person, trail: Trail) -> None:
    key = log_key("20260131T1205Z", "AAAAAAAAAAAAAAAA")
    trail.aws.put(trail.bucket, key, b"no gzip file")
    source = await trail.add("spoiled")
    while not (await trail.status())["units"]["quarantined"]:
        await asyncio.sleep(0.1)
    await person.sign_in(then=f"/ui/quarantine?source={source}")
    page = person.page
    await page.get_by_role("link", name="A whole log file").click()
    await expect(page.get_by_text(key)).to_be_visible()
    await page.get_by_role("button", name="Retry").click()
    await expect(page.get_by_role("status")).to_be_visible()
