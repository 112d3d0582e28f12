"""`trailhook migrate`: everything is in the new home, nothing is sent from two, and being killed costs nothing."""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient
from typer.testing import CliRunner

from support.aws import SimulatedAws
from support.clock import FakeClock
from support.product import running
from support.receiver import Delivery, Receiver, receiving
from support.samples import log_file, log_key, record
from support.service import environment
from support.store_values import (
    DEAD,
    DELIVERED,
    a_bad_record,
    a_batch,
    a_source,
    a_unit,
    done,
    freeze,
    leased_units,
    settled_as,
    some_keys,
    unreadable,
)
from trailhook.app import KEY_CHECK, KEY_FILE, STORE_FILE
from trailhook.cli.main import app as cli
from trailhook.errors import Conflict, SettingsError
from trailhook.migrate import move, roll_back
from trailhook.model import BatchKind, BatchState, Counts, Rhythm, Watermark
from trailhook.security.vault import AesVault, key_check, load_or_create_key_file, new_key
from trailhook.settings import Settings
from trailhook.store.base import Commit, Limits, Settlement, Store
from trailhook.store.lists import BatchQuery
from trailhook.store.mongo import MongoStore
from trailhook.store.sqlite import SqliteStore
from trailhook.store.sqlite.export import TABLES

DAY_S = 86_400.0
STEPS = ("begun", *(table.name for table in TABLES), "compared", "moved")


class Cut(Exception):
    """The power goes."""


def quiet(_what: str, _done: int, _total: int) -> None:
    """Nobody looks."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
async def url(mongodb_url: str) -> AsyncIterator[str]:
    """A database of the test's own, that is not there yet."""
    name = f"move-{uuid4().hex[:12]}"
    yield mongodb_url + name
    async with AsyncMongoClient[dict[str, Any]](mongodb_url) as client:
        await client.drop_database(name)


def old_home(settings: Settings) -> Any:
    settings.data_dir.mkdir(exist_ok=True)
    return SqliteStore.open(settings.data_dir / STORE_FILE, clock=FakeClock(), limits=Limits())


def new_home(url: str) -> Any:
    return MongoStore.open(url, clock=FakeClock(), limits=Limits())


async def put_one_of_everything(store: Store) -> None:
    """Rows of every kind, in every state they can be in."""
    await store.change_document("token", "t1", lambda _: b"a hash")
    await store.change_lane("https://example.com", lambda lane: lane.but(failures=3))
    for source_id in ("s1", "gone", "s2"):
        await store.add_source(a_source(source_id))
    await freeze(store, a_batch("msg_of_gone"), source_id="gone")
    (batch,) = await store.lease_batches("gone", limit=1, lease_s=60)
    await store.settle(batch, DELIVERED)
    await store.remove_source("gone")
    heard = Rhythm(files=2, first_at=3.0, last_at=7.0, pauses_s=(4.0, 0.0))
    mark = Watermark(intake="s3", place="bucket", prefix="AWSLogs/", mark_at=7.0, reconciled_at=5.0, rhythm=heard)
    found = [a_unit(name) for name in ("1 read", "2 bad", "3 partly bad", "4 leased", "5 waits")]
    await store.add_units("s1", [*found, a_unit("digest", ignored="digest")], [mark])
    read, bad, partly_bad = await leased_units(store, limit=3)
    await leased_units(store, limit=1)
    await store.commit(
        Commit(
            source_id="s1",
            token=read.token,
            keys=some_keys(1, 12),
            batches=[a_batch(f"msg_{number}", count=2) for number in range(6)],
            units=[done(read, 12), unreadable(bad), done(partly_bad)],
            quarantined=[a_bad_record(partly_bad)],
            counts=Counts(read=13, quarantined=1),
            last_event_at=9.0,
        )
    )
    await freeze(store, a_batch("msg_notice", kind=BatchKind.NOTICE), source_id="s2")
    first, second, third, fourth, *_ = await store.lease_batches("s1", limit=5, lease_s=60)
    await store.settle(first, DELIVERED)
    await store.settle(second, DEAD)
    await store.settle(third, settled_as(BatchState.WAITING, due_at=10.0))
    halves = [a_batch(f"msg_half_{number}", count=1, parent=fourth.id) for number in range(2)]
    await store.settle(fourth, Settlement(state=BatchState.SPLIT, children=halves))


async def told_by(store: Store) -> dict[str, Any]:
    """Everything that the verbs say, but for leases."""
    batches = [each.but(token=0) for each in await store.batches(BatchQuery(limit=500))]
    quarantine = await store.quarantine(limit=500)
    return {
        "sources": await store.sources(),
        "totals": [await store.totals(each.id) for each in await store.sources()],
        "watermarks": [await store.watermarks(each.id) for each in await store.sources()],
        "batches": batches,
        "of the removed": [each.id for each in await store.batches(BatchQuery(source_id="gone"))],
        "bodies": [(await store.batch(each.id)).but(token=0) for each in batches],
        "attempts": [await store.attempts(each.id) for each in batches],
        "quarantine": [await store.quarantined(each.id) for each in quarantine],
        "keys": await store.known_keys("s1", some_keys(1, 20)),
        "lane": await store.lane("https://example.com"),
        "tokens": await store.documents("token"),
        "due": sorted((job.kind, job.source_id) for job in await store.due()),
        "units": [unit.but(token=0) for unit in await leased_units(store, limit=50)],
        "order": [batch.id for batch in await store.lease_batches("s1", limit=50, lease_s=60)],
    }


async def refuses(home: Any) -> bool:
    try:
        async with home:
            return False
    except SettingsError:
        return True


async def test_the_new_home_says_what_the_old_one_said_and_counts_on(settings: Settings, url: str) -> None:
    async with old_home(settings) as store:
        await put_one_of_everything(store)
    copy = Settings(data_dir=settings.data_dir.with_name("copy"))
    copy.data_dir.mkdir()
    (copy.data_dir / STORE_FILE).write_bytes((settings.data_dir / STORE_FILE).read_bytes())
    async with old_home(copy) as store:
        said = await told_by(store)
    await move(settings, url, clock=FakeClock(), told=quiet)
    async with new_home(url) as store:
        assert await told_by(store) == said
        newest = (await store.batches(BatchQuery(limit=1)))[0]
        await freeze(store, a_batch("msg_new"))
        assert (await store.batches(BatchQuery(limit=1)))[0].num > newest.num
        await store.add_source(a_source("s3"))
        await store.add_units("s3", [a_unit("new")])
        (unit,) = await leased_units(store, "s3")
        assert unit.id > max(each.id for each in said["units"])
        assert unit.token > max(each.token for each in [newest, *said["batches"]])


async def test_rows_lie_as_if_they_had_been_written_there(settings: Settings, url: str) -> None:
    async with old_home(settings) as store:
        await put_one_of_everything(store)
    await move(settings, url, clock=FakeClock(), told=quiet)
    moved = await fields_in(url)
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        await client.drop_database(client.get_default_database().name)
    async with new_home(url) as store:
        await put_one_of_everything(store)
    written = await fields_in(url)
    for name in ("documents", "lanes", "watermarks", "units", "ledger", "quarantine", "bodies", "columns", "attempts"):
        assert moved[name] == written[name], name
    assert moved["batches"] == written["batches"]
    assert moved["sources"] == written["sources"]


async def fields_in(url: str) -> dict[str, dict[str, set[str]]]:
    """The fields of every collection's rows, and of what type they are."""
    found: dict[str, dict[str, set[str]]] = {}
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        db = client.get_default_database()
        for name in await db.list_collection_names():
            fields = found.setdefault(name, {})
            async for row in db[name].find():
                for field, value in row.items():
                    fields.setdefault(field, set()).add(type(value).__name__)
    return found


async def test_cut_off_anywhere_it_goes_on_and_neither_home_serves_meanwhile(settings: Settings, url: str) -> None:
    async with old_home(settings) as store:
        await put_one_of_everything(store)
    for step in STEPS:
        reached: list[str] = []

        def cut(what: str, _done: int, _total: int, step: str = step, reached: list[str] = reached) -> None:
            reached.append(what)
            if what == step:
                raise Cut

        with pytest.raises(Cut):
            await move(settings, url, clock=FakeClock(), told=cut)
        assert reached[-1] == step
        assert await refuses(old_home(settings)), step
        assert await refuses(new_home(url)), step
    await move(settings, url, clock=FakeClock(), told=quiet)
    assert await refuses(old_home(settings))
    async with new_home(url) as store:
        assert (await store.totals("s1")).counts.balanced
        assert len(await store.batches(BatchQuery(limit=500))) == 10
    assert (await move(settings, url, clock=FakeClock(), told=quiet)).already


async def test_taken_back_the_old_home_serves_and_nothing_is_left_in_the_other(settings: Settings, url: str) -> None:
    async with old_home(settings) as store:
        await put_one_of_everything(store)

    def cut(what: str, _done: int, _total: int) -> None:
        if what == "attempts":
            raise Cut

    with pytest.raises(Cut):
        await move(settings, url, clock=FakeClock(), told=cut)
    await roll_back(settings, url, clock=FakeClock())
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        assert await client.get_default_database().list_collection_names() == []
    async with old_home(settings) as store:
        assert len(await store.batches(BatchQuery(limit=500))) == 10
    with pytest.raises(Conflict, match="no move"):
        await roll_back(settings, url, clock=FakeClock())
    await move(settings, url, clock=FakeClock(), told=quiet)
    with pytest.raises(Conflict, match="is finished"):
        await roll_back(settings, url, clock=FakeClock())
    assert not await refuses(new_home(url))


async def test_a_database_in_use_is_left_alone_and_the_old_home_serves_on(settings: Settings, url: str) -> None:
    async with old_home(settings) as store:
        await store.add_source(a_source())
    async with new_home(url) as store:
        await store.add_source(a_source("somebody-elses"))
    with pytest.raises(Conflict, match="in use already"):
        await move(settings, url, clock=FakeClock(), told=quiet)
    assert not await refuses(old_home(settings))
    async with new_home(url) as store:
        assert [each.id for each in await store.sources()] == ["somebody-elses"]


async def test_a_move_that_has_begun_goes_nowhere_else(settings: Settings, url: str) -> None:
    async with old_home(settings) as store:
        await store.add_source(a_source())

    def cut(_what: str, _done: int, _total: int) -> None:
        raise Cut

    with pytest.raises(Cut):
        await move(settings, url, clock=FakeClock(), told=cut)
    for verb in (
        move(settings, url + "2", clock=FakeClock(), told=quiet),
        roll_back(settings, url + "2", clock=FakeClock()),
    ):
        with pytest.raises(Conflict, match="has begun"):
            await verb
    await move(settings, url, clock=FakeClock(), told=quiet)


async def test_keys_that_do_not_open_what_is_stored_move_nothing(settings: Settings, url: str) -> None:
    async with old_home(settings) as store:
        keys, _ = load_or_create_key_file(settings.data_dir / KEY_FILE)
        await store.change_document(*KEY_CHECK, lambda _: key_check(AesVault(keys)))
    others = Settings(data_dir=settings.data_dir, master_keys=new_key())
    with pytest.raises(SettingsError, match="do not open"):
        await move(others, url, clock=FakeClock(), told=quiet)
    assert not await refuses(old_home(settings))
    await move(settings, url, clock=FakeClock(), told=quiet)


async def test_the_command_says_what_it_did_and_fails_as_commands_do(settings: Settings, url: str) -> None:
    async def trailhook(*arguments: str) -> tuple[int, str]:
        line = ["migrate", "--data-dir", str(settings.data_dir), *arguments]
        result = await asyncio.to_thread(CliRunner().invoke, cli, line)
        return result.exit_code, result.output

    assert await trailhook() == (
        2,
        "error: name the MongoDB to move to: --to mongodb://HOST/DATABASE?replicaSet=NAME\n",
    )
    status, said = await trailhook("--to", url)
    assert (status, "nothing to move" in said) == (2, True)
    async with old_home(settings) as store:
        await store.add_source(a_source())
    status, said = await trailhook("--to", url, "--rollback")
    assert (status, "no move to take back" in said) == (1, True)
    status, said = await trailhook("--to", url)
    assert (status, "Moved 1 sources" in said) == (0, True), said
    status, said = await trailhook("--to", url)
    assert (status, "nothing left to do" in said) == (0, True), said


# ------------------------------------------------------------------------------------------------ the whole product

KILLED = """
import asyncio, os, signal, sys
from trailhook.clock import SystemClock
from trailhook.migrate import move
from trailhook.settings import load

def told(what, done, total):
    if what == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(move(load(os.environ), sys.argv[1], clock=SystemClock(), told=told))
"""


def put_files(aws: SimulatedAws, bucket: str, numbers: range, clock: FakeClock) -> None:
    label = time.strftime("%Y%m%dT%H%MZ", time.gmtime(clock.now()))
    for number in numbers:
        records = [record(number * 20 + each) for each in range(20)]
        aws.put(bucket, log_key(label, f"{number:016d}"), log_file(records))


def overloaded_after(receiver: Receiver, number: int) -> None:
    def answer(_: Delivery) -> int:
        return 200 if len(receiver.taken) < number else 503

    receiver.answer = answer


async def test_moved_in_the_middle_of_a_backlog_and_killed_on_the_way_each_event_comes_once(
    tmp_path: Path, aws: SimulatedAws, url: str
) -> None:
    bucket, data_dir = aws.new_bucket(), tmp_path / "data"
    clock = FakeClock(time.time() - DAY_S)
    async with receiving() as receiver:
        allowed: Any = {"hosts": (receiver.host,), "endpoints": (aws.host,)}
        put_files(aws, bucket, range(4), clock)
        overloaded_after(receiver, 5)
        async with running(data_dir, clock=clock, **allowed) as product:
            source = await product.add_source(
                s3Bucket=bucket,
                endpointUrl=aws.endpoint_url,
                callbackUrl=receiver.url,
                delivery={"maxEvents": 7},
            )
            await product.poll(source)
            put_files(aws, bucket, range(4, 6), clock)
            clock.advance(3_600)
            await product.jobs.poll(source)
            before = await product.status(source)
        assert before["counts"]["waiting"] > 0
        assert before["counts"]["sent"] > 0
        assert before["units"]["waiting"] == 2

        env = environment(data_dir, hosts=(), endpoints=())
        for step in ("units", "batches", "compared", "moved"):
            run = await asyncio.to_thread(
                subprocess.run, [sys.executable, "-c", KILLED, url, step], env=env, capture_output=True, check=False
            )
            assert run.returncode == -9, run.stderr.decode()[-2_000:]
        moved = await move(Settings(data_dir=data_dir), url, clock=FakeClock(), told=quiet)
        assert moved.already

        receiver.answer = lambda _: 200
        keys = (data_dir / KEY_FILE).read_text()
        async with running(
            tmp_path / "unused", clock=FakeClock(time.time()), mongodb_url=url, master_keys=keys, **allowed
        ) as product:
            assert (await product.status(source))["counts"] == before["counts"]
            await product.poll(source)
            after = await product.status(source)
    events = Counter(event["eventID"] for each in receiver.taken for event in each.events)
    assert sorted(events) == sorted(str(record(number)["eventID"]) for number in range(120))
    assert set(events.values()) == {1}
    assert after["counts"]["read"] == after["counts"]["sent"] == 120
    bytes_of: dict[str, set[str]] = {}
    for each in receiver.deliveries:
        bytes_of.setdefault(each.id, set()).add(each.sha256)
    assert all(len(each) == 1 for each in bytes_of.values())
    assert not (tmp_path / "unused" / STORE_FILE).exists()
