"""Our own store fails: nothing that was read is lost, nothing that was sent is sent again but under its id."""

from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from support.aws import SimulatedAws
from support.product import Product
from support.samples import record
from support.service import environment, serving
from support.story import MINUTE_S, Story, telling
from trailhook.app import STORE_FILE
from trailhook.store.sqlite import SqliteStore


async def _tell_sqlite(product: Product, name: str, value: int) -> int:
    """Set a pragma on the connection that writes."""
    store = cast(SqliteStore, product.parts.store)

    def work(db: apsw.Connection) -> Any:
        return db.pragma(name, value)

    return int(await store._engine.write(work))


async def test_a_full_disk_loses_nothing_and_doubles_nothing(tmp_path: Path, aws: SimulatedAws) -> None:
    async with telling(tmp_path, aws) as story:
        await story.add(delivery={"maxEvents": 10})
        for file in range(20):
            numbers = range(file * 20, file * 20 + 20)
            story.put([record(number, pad=f"{number}" * 200) for number in numbers], unique=f"{file:016d}")
        pages = await _tell_sqlite(story.product, "page_count", 0)
        await _tell_sqlite(story.product, "max_page_count", pages + 3)
        await story.after(5 * MINUTE_S, step_s=60.0)
        assert len(story.ids()) < 400
        await _tell_sqlite(story.product, "max_page_count", 10**6)
        await story.after(15 * MINUTE_S, step_s=60.0)
        assert set(story.ids()) == {record(number)["eventID"] for number in range(400)}
        assert_never_under_two_ids(story)
        assert (await story.counts())["sent"] == 400


async def test_a_database_that_another_program_has_locked_is_waited_for(tmp_path: Path, aws: SimulatedAws) -> None:
    async with telling(tmp_path, aws) as story:
        await story.add()
        await _tell_sqlite(story.product, "busy_timeout", 20)
        story.put([record(number) for number in range(5)])
        other = apsw.Connection(str(tmp_path / STORE_FILE))
        try:
            other.execute("BEGIN IMMEDIATE")
            await story.after(2 * MINUTE_S, step_s=60.0)
            assert story.ids() == []
            assert (await story.product.api.call("GET", "/readyz")).status == 503
            other.execute("ROLLBACK")
        finally:
            other.close()
        await story.after(3 * MINUTE_S, step_s=60.0)
        assert len(story.ids()) == 5
        assert (await story.counts())["sent"] == 5


async def test_a_second_process_on_one_data_directory_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    env = environment(tmp_path, hosts=(), endpoints=())
    async with serving(env) as first:
        with pytest.raises(AssertionError, match="belongs to process"):
            async with serving(env):
                pass
        assert (await first.api.get("/sources"))["sources"] == []
        assert await first.stop() == 0


def assert_never_under_two_ids(story: Story) -> None:
    ids: dict[str, set[str]] = {}
    for delivery in story.receiver.deliveries:
        for event in delivery.events:
            ids.setdefault(event["eventID"], set()).add(delivery.id)
    assert all(len(each) == 1 for each in ids.values())
    assert len({(each.id, each.sha256) for each in story.receiver.deliveries}) == len(
        {each.id for each in story.receiver.deliveries}
    )
