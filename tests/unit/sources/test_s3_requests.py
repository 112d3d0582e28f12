"""What a poll asks for does not grow with the bucket: it goes by directories, and by the logs of some days."""

import pytest

from support.big_bucket import DIGESTS_A_DAY, BigKeys, BigStory

REGIONS = 5
LOGS_A_DAY = 40
RECONCILED_DAYS = 31
"""30 days back from some time of a day."""


async def test_the_made_up_bucket_lists_its_keys_in_order_and_each_once() -> None:
    keys = BigKeys(2, 3, 5, 7)
    assert list(keys) == sorted(set(keys))
    assert len(keys) == keys.logs + 2 * 3 * 5 * DIGESTS_A_DAY
    story = BigStory(keys, start_from_at=0.0)
    assert (await story.poll()).units == keys.logs


@pytest.mark.parametrize("days", [2, 40, 4_000])
async def test_a_usual_poll_takes_as_many_requests_whatever_the_age_of_the_bucket(days: int) -> None:
    story = BigStory(BigKeys(1, REGIONS, 1, 1))
    await story.poll()
    story.become(BigKeys(1, REGIONS, days, LOGS_A_DAY))
    polled = await story.poll()
    assert polled.requests == 3 + REGIONS
    assert polled.units <= REGIONS * 2 * LOGS_A_DAY


@pytest.mark.parametrize("accounts", [1, 2])
async def test_reconciling_lists_thirty_days_whatever_the_age_of_the_bucket(accounts: int) -> None:
    requests, units = set(), set()
    for days in (40, 4_000):
        story = BigStory(BigKeys(accounts, REGIONS, 1, 1))
        await story.poll()
        story.become(BigKeys(accounts, REGIONS, days, LOGS_A_DAY))
        story.let_reconcile_be_due()
        polled = await story.poll()
        requests.add(polled.requests)
        units.add(polled.units)
    pages_of_logs = -(-RECONCILED_DAYS * LOGS_A_DAY // 1_000)
    assert requests == {1 + accounts * (3 + REGIONS * (pages_of_logs + 1))}
    assert max(units) <= accounts * REGIONS * RECONCILED_DAYS * LOGS_A_DAY
