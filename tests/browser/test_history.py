"""The past of a source at the dashboard: fetched, and held against what CloudTrail says."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from support.browsing import Person
from support.samples import log_file, log_key, record
from support.trail import Trail

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_backfill_says_what_it_costs_and_brings_what_lies_in_the_past(person: Person, trail: Trail) -> None:
    past = datetime.now(UTC) - timedelta(days=10)
    key = log_key(f"{past:%Y%m%dT%H%M}Z", "AAAAAAAAAAAAAAAA")
    trail.aws.put(trail.bucket, key, log_file([record(1, eventTime=f"{past:%Y-%m-%dT%H:%M:%SZ}")]))
    source = await trail.add("with a past", startFrom="now")
    await person.sign_in(then=f"/ui/sources/{source}")
    page = person.page
    backfill = page.get_by_role("region", name="Backfill")
    await backfill.get_by_label("From (UTC)").fill(f"{past - timedelta(hours=3):%Y-%m-%dT%H:%M}")
    await backfill.get_by_label("To (UTC)").fill(f"{past + timedelta(hours=3):%Y-%m-%dT%H:%M}")
    await backfill.get_by_role("button", name="Estimate").click()
    await expect(backfill.get_by_text("under $0.01")).to_be_visible()
    await backfill.get_by_role("button", name="Start the backfill").click()
    await expect(backfill.get_by_role("progressbar")).to_be_visible()
    await expect(backfill).to_contain_text("100 %")
    await expect(backfill).to_contain_text("1 files found")
    await trail.until(sent=1)


async def test_completeness_shows_every_hour(person: Person, trail: Trail) -> None:
    await trail.write("ListUsers")
    source = await trail.add("proved")
    await trail.until(sent=1)
    await person.sign_in(then=f"/ui/sources/{source}")
    section = person.page.get_by_role("region", name="Completeness by hour")
    await section.get_by_role("button", name="Check against AWS").click()
    await expect(section.get_by_role("status")).to_contain_text("hours")
