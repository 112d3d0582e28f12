"""The machine's clock jumps: work goes on, and nothing runs in circles."""

from pathlib import Path

import pytest

from support.aws import SimulatedAws
from support.samples import record
from support.story import MINUTE_S, telling

DAY_S = 86_400.0


@pytest.mark.parametrize("jump_s", [-10 * DAY_S, 10 * DAY_S])
async def test_polls_and_deliveries_go_on_after_a_jump(tmp_path: Path, aws: SimulatedAws, jump_s: float) -> None:
    async with telling(tmp_path, aws) as story:
        story.receiver.answer = lambda _: 500
        story.put([record(1)])
        await story.add()
        await story.after(10 * MINUTE_S, step_s=60.0)
        story.clock.advance(jump_s)
        story.receiver.answer = lambda _: 200
        story.put([record(2)], unique="BBBBBBBBBBBBBBBB")
        await story.after(25 * MINUTE_S, step_s=60.0)
        assert sorted(story.ids()) == [record(1)["eventID"], record(2)["eventID"]]
        assert (await story.counts())["sent"] == 2


async def test_after_a_jump_back_a_source_is_polled_at_its_interval_and_no_oftener(
    tmp_path: Path, aws: SimulatedAws
) -> None:
    async with telling(tmp_path, aws) as story:
        await story.add(logFetchInterval=600)
        story.clock.advance(-10 * DAY_S)
        polls = set()
        for _ in range(120):
            await story.after(10.0, step_s=10.0)
            polls.add((await story.product.api.get(f"/sources/{story.source}"))["lastFetchAt"])
        assert 2 <= len(polls) <= 4
