"""Sources at the dashboard: added, watched, broken, mended, changed."""

import re

import pytest
from playwright.async_api import Page, expect

from support.browsing import PATIENCE_MS, Person
from support.product import SECRET_KEY
from support.trail import Trail

pytestmark = pytest.mark.asyncio(loop_scope="session")


SECOND_PROBE_MS = 90_000
"""An open breaker probes after 5 s and after 30 more: by when the first is over, nobody knows of a slow machine."""


async def says_sent(page: Page, count: int, *, within_ms: float = PATIENCE_MS) -> None:
    """Whether the equation of a source says, in the end, that so many were sent."""
    equation = page.get_by_role("region", name="Every event accounted for")
    await expect(equation).to_contain_text(re.compile(rf"=\s*{count}\s*Sent"), timeout=within_ms)
    await expect(equation).to_contain_text("It adds up")


async def goes_to(page: Page, source: str) -> None:
    """From wherever, by the overview."""
    await page.get_by_role("link", name="Sources").first.click()
    await page.get_by_role("link", name=source).click()
    await expect(page.get_by_role("heading", level=1, name=source)).to_be_visible()


async def test_a_source_is_added_by_a_form_that_tries_out_what_is_typed(person: Person, trail: Trail) -> None:
    await trail.write("ConsoleLogin", "CreateUser")
    await person.sign_in()
    page = person.page
    await page.get_by_role("link", name="Add a source").click()
    bucket = page.get_by_label("S3 bucket")
    await bucket.fill("No Bucket!")
    await expect(bucket).to_have_attribute("aria-invalid", "true")
    await page.get_by_text("Session token, role, queue and more").click()
    await page.get_by_label("Endpoint").fill(trail.aws.endpoint_url)
    await page.get_by_label("Start from").fill("beginning")
    await page.get_by_label("Look every").fill("1")
    await page.get_by_label("Access key id").fill("AKIAIOSFODNN7EXAMPLE")
    await page.get_by_label("Secret access key").fill(SECRET_KEY)
    await bucket.fill(trail.bucket)
    await expect(bucket).to_have_attribute("aria-invalid", "false")
    await page.get_by_label("Webhook").fill(trail.receiver.url)
    await expect(page.get_by_role("complementary", name="What AWS must allow")).to_contain_text(
        f"arn:aws:s3:::{trail.bucket}"
    )
    await page.get_by_label("Name", exact=True).fill("added by hand")
    await expect(page.get_by_role("group", name="Where the logs are")).to_contain_text("Finding logs")
    await expect(page.get_by_role("group", name="Where the events go")).to_contain_text("took a signed source.test")
    await page.get_by_role("button", name="Add the source").click()
    await expect(page.get_by_text(re.compile("^whsec_"))).to_be_visible()
    await page.get_by_role("link", name="Watch it work").click()
    await says_sent(page, 2)
    await trail.write("DeleteTrail")
    await says_sent(page, 3)
    await page.get_by_role("link", name="Sources").first.click()
    row = page.get_by_role("row", name="added by hand")
    await expect(row).to_contain_text("Active")
    await expect(row.get_by_role("img", name="3 in all")).to_be_visible()


async def test_the_keyboard_alone_adds_a_source(person: Person, trail: Trail) -> None:
    await person.sign_in(then="/ui/sources/new")
    page = person.page
    wanted = {
        "S3 bucket": trail.bucket,
        "Access key id": "AKIAIOSFODNN7EXAMPLE",
        "Secret access key": SECRET_KEY,
        "Endpoint": trail.aws.endpoint_url,
        "Webhook": trail.receiver.url,
        "Name": "by the keyboard",
    }
    for _ in range(80):
        await page.keyboard.press("Tab")
        said = str(
            await page.evaluate(
                "(({labels, innerText}) => labels?.[0]?.innerText ?? innerText)(document.activeElement)"
            )
        )
        for label in [each for each in wanted if said.startswith(each)]:
            await page.keyboard.insert_text(wanted.pop(label))
        if said.startswith("Session token, role"):
            await page.keyboard.press("Enter")
        if said == "Add the source":
            break
    assert not wanted
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1, name="by the keyboard")).to_be_visible()
    await expect(page.get_by_text(re.compile("^whsec_"))).to_be_visible()


async def test_a_webhook_that_fails_is_seen_with_what_to_do_and_recovers_by_itself(
    person: Person, trail: Trail
) -> None:
    trail.receiver.answer = lambda _: 500
    await trail.add("failing", delivery={"maxEvents": 1})
    await trail.write(*["DescribeInstances"] * 8)
    await person.sign_in()
    row = person.page.get_by_role("row", name="failing")
    await expect(row).to_contain_text("Delivery failing")
    await expect(row).to_contain_text("The receiver answered 500 Internal Server Error.")
    await expect(row).to_contain_text("Nothing is lost")
    await goes_to(person.page, "failing")
    await expect(person.page.get_by_text("Delivery: Delivery failing")).to_be_visible()
    trail.receiver.answer = lambda _: 200
    await says_sent(person.page, 8, within_ms=SECOND_PROBE_MS)
    await expect(person.page.get_by_text("Delivery: Delivery failing")).to_have_count(0)
    assert len(trail.received()) == 8


@pytest.mark.parametrize(
    ("status", "state", "remedy"),
    [
        (410, "Paused", "resume the source once the receiver is back"),
        (401, "Needs attention", "set delivery.headers"),
    ],
)
async def test_a_webhook_that_a_person_must_mend_says_how_and_is_tried_at_once_when_told(
    person: Person, trail: Trail, status: int, state: str, remedy: str
) -> None:
    trail.receiver.answer = lambda _: status
    name = f"answers {status}"
    await trail.add(name, delivery={"maxEvents": 1})
    await trail.write(*["DescribeInstances"] * 4)
    await person.sign_in()
    row = person.page.get_by_role("row", name=name)
    await expect(row).to_contain_text(state)
    await expect(row).to_contain_text(remedy)
    await goes_to(person.page, name)
    await expect(person.page.get_by_text(remedy)).to_be_visible()
    trail.receiver.answer = lambda _: 200
    await person.page.get_by_role("button", name="Deliver again").click()
    await says_sent(person.page, 4)
    await expect(person.page.get_by_text(remedy)).to_have_count(0)


async def test_a_source_is_paused_resumed_fetched_and_tested(person: Person, trail: Trail) -> None:
    source = await trail.add("held", logFetchInterval=3600)
    await person.sign_in(then=f"/ui/sources/{source}")
    page = person.page
    await expect(page.get_by_role("main")).to_contain_text("ago")
    await trail.write("CreateUser")
    await page.get_by_role("button", name="Fetch now").click()
    await says_sent(page, 1)
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_text("It neither fetches nor delivers")).to_be_visible()
    await trail.write("DeleteUser")
    await page.get_by_role("button", name="Resume").click()
    await says_sent(page, 2)
    await page.get_by_role("button", name="Test").click()
    await expect(page.get_by_role("region", name="Test result")).to_contain_text("Everything works")


async def test_a_source_is_edited_given_a_new_secret_and_removed(person: Person, trail: Trail) -> None:
    source = await trail.add("old name")
    await person.sign_in(then=f"/ui/sources/{source}")
    page = person.page
    await page.get_by_role("link", name="Edit").first.click()
    await page.get_by_label("Name", exact=True).fill("new name")
    await page.get_by_role("button", name="Save the changes").click()
    await expect(page.get_by_role("heading", level=1, name="new name")).to_be_visible()
    await page.get_by_text("Rotate the signing secret").click()
    await page.get_by_role("button", name="Make a new secret").click()
    await expect(page.get_by_text(re.compile("^whsec_"))).to_be_visible()
    await page.get_by_text("Remove this source").click()
    await page.get_by_label("to confirm").fill("old name")
    await page.get_by_role("button", name="Remove the source").click()
    await expect(page.get_by_text("nothing was removed")).to_be_visible()
    await page.get_by_label("to confirm").fill("new name")
    await page.get_by_role("button", name="Remove the source").click()
    await expect(page.get_by_role("heading", name="new name is removed")).to_be_visible()
    assert (await trail.api.call("GET", f"/sources/{source}")).status == 404
