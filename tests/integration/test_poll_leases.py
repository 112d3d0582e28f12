"""Of all workers one looks for a source's logs at a time, however long that takes."""

import asyncio
from pathlib import Path

from support.aws import SimulatedAws
from support.samples import log_file, log_key, record
from support.story import MINUTE_S, Between, Story, telling
from support.webserver import Received
from trailhook.store.base import NamedLease

ACCOUNTS = 4


def put_accounts(story: Story) -> None:
    for number in range(ACCOUNTS):
        key = log_key("20250615T1200Z", "AAAAAAAAAAAAAAAA").replace("111122223333", f"{number:012}")
        story.aws.put(story.bucket, key, log_file([record(number)]))


async def test_a_look_that_outlasts_its_lease_keeps_it(tmp_path: Path, aws: SimulatedAws) -> None:
    between = Between(aws)
    async with (
        between.server,
        telling(tmp_path, aws, endpoint_url=between.endpoint_url, aws_concurrency=1, poll_lease_s=30.0) as story,
    ):
        attempts: list[asyncio.Task[NamedLease | None]] = []

        def slow(request: Received) -> None:
            if "list-type" in request.path:
                story.clock.advance(20.0)
                lease = story.product.parts.store.lease(f"poll:{story.source}", 1.0)
                attempts.append(asyncio.get_running_loop().create_task(lease))

        put_accounts(story)
        await story.add()
        between.refuse = slow
        await story.product.poll(story.source)
        assert len(attempts) > ACCOUNTS
        assert [each for each in await asyncio.gather(*attempts) if each is not None] == []
        await story.after(MINUTE_S)
        assert sorted(story.ids()) == sorted(record(number)["eventID"] for number in range(ACCOUNTS))


async def test_a_look_that_another_worker_has_taken_over_ends(tmp_path: Path, aws: SimulatedAws) -> None:
    between = Between(aws)
    async with (
        between.server,
        telling(tmp_path, aws, endpoint_url=between.endpoint_url, aws_concurrency=1, poll_lease_s=30.0) as story,
    ):
        taken: list[asyncio.Task[NamedLease | None]] = []
        listed: list[str] = []

        def taken_over(request: Received) -> None:
            if "list-type" in request.path:
                listed.append(request.path)
                story.clock.advance(40.0)
                if not taken:
                    lease = story.product.parts.store.lease(f"poll:{story.source}", 3_600.0)
                    taken.append(asyncio.get_running_loop().create_task(lease))

        put_accounts(story)
        await story.add()
        before = (await story.product.parts.store.source(story.source)).last_fetch_at
        between.refuse = taken_over
        await story.product.poll(story.source)
        assert await taken[0] is not None
        assert len(listed) <= 2
        assert (await story.product.parts.store.source(story.source)).last_fetch_at == before
