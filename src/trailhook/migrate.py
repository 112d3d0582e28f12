"""Moving an embedded installation to MongoDB: `trailhook migrate`.

One of the two homes is served at any time, or none. The order of the steps sees to it, and each may be cut off
anywhere and done again:

    mark the old home      from now on it refuses to serve
    mark the new home      from now on it refuses, too: it holds half of something
    copy, table by table   rows that are there already stay; how far it came is kept there
    compare                numbers of rows, every source, its totals and whether they add up
    mark the old as moved  from now on it refuses for good
    unmark the new home    from now on it serves

What was leased when the old process ended is free again in the new home, and what it may have been sending is
uncertain there, as after any restart. Ids and bytes stay: a receiver that drops what it knows sees nothing twice.
"""

import uuid
from collections.abc import Callable

from trailhook.app import KEY_CHECK, KEY_FILE, STORE_FILE, limits
from trailhook.clock import Clock
from trailhook.errors import Conflict, KeyUnavailable, SettingsError
from trailhook.model import Value
from trailhook.security.vault import AesVault, MasterKeys, load_or_create_key_file, verify_key_check
from trailhook.settings import Settings
from trailhook.store.mongo.restore import Restore, home, restoring
from trailhook.store.moving import Mark
from trailhook.store.ownership import own
from trailhook.store.sqlite.export import TABLES, Export, exporting

Told = Callable[[str, int, int], None]
"""Hears what is being done, and how many rows of how many have been."""


class Moved(Value, frozen=True, kw_only=True):
    """What is in the new home."""

    home: str
    sources: int
    rows: int
    already: bool = False
    """It was there before: nothing was left to do."""


async def move(settings: Settings, url: str, *, clock: Clock, told: Told) -> Moved:
    """Move the installation in the data directory to the database that `url` names, or go on moving it.

    Raises `SettingsError` while a Trailhook runs on the directory, if there is nothing in it, or if the master keys do
    not open what is stored; `Conflict` if the database is somebody else's, or does not hold in the end what it
    should; `StoreUnavailable` if one of the two does not answer. After any of them it can be called again.
    """
    _check_present(settings)
    with own(settings.data_dir):
        async with (
            exporting(settings.data_dir / STORE_FILE, clock=clock, limits=limits(settings)) as old,
            restoring(url, clock=clock, limits=limits(settings)) as new,
        ):
            await _check_keys(settings, old)
            mark = await _begin(old, new, home(url))
            already = mark.phase == "moved"
            if not already:
                told("begun", 0, 0)
                await _copy(old, new, told)
                await _compare(old, new)
                told("compared", 0, 0)
                await old.set_mark(mark.but(phase="moved"))
                told("moved", 0, 0)
            if await new.mark() is not None:
                await new.finish(await old.numbers())
            rows = sum([await old.count(table) for table in TABLES])
            return Moved(home=mark.home, sources=len(await old.store.sources()), rows=rows, already=already)


async def roll_back(settings: Settings, url: str, *, clock: Clock) -> None:
    """Take back a move that is not finished: nothing of it stays in the database, and the old home serves again.

    Raises as `move` does, `Conflict` also once the move is finished, or if there is none.
    """
    _check_present(settings)
    with own(settings.data_dir):
        async with (
            exporting(settings.data_dir / STORE_FILE, clock=clock, limits=limits(settings)) as old,
            restoring(url, clock=clock, limits=limits(settings)) as new,
        ):
            mark = await old.mark()
            if mark is None:
                raise Conflict("there is no move to take back")
            _check_home(mark, home(url))
            if mark.phase == "moved":
                raise Conflict(f"the move to {mark.home} is finished: what happened there since would be lost")
            there = await new.mark()
            if there is not None:
                _check_same(mark, there)
                await new.clear()
            await old.set_mark(None)


async def _begin(old: Export, new: Restore, where: str) -> Mark:
    """The mark of this move, which both homes bear from now on (of a finished one, the old)."""
    mark, there = await old.mark(), await new.mark()
    if mark is not None:
        _check_home(mark, where)
    if there is not None:
        _check_same(mark, there)
    elif mark is not None and mark.phase == "moved":
        return mark
    elif not await new.empty():
        raise Conflict(f"{where} is in use already: name another database in the URL")
    if mark is None:
        mark = Mark(id=str(uuid.uuid4()), phase="copying", home=where)
        await old.set_mark(mark)
    if there is None:
        await new.set_mark(mark)
    return mark


async def _copy(old: Export, new: Restore, told: Told) -> None:
    done, total = 0, sum([await old.count(table) for table in TABLES])
    for table in TABLES:
        after = await new.copied(table.name)
        done += 0 if after is None else await old.count_to(table, after)
        while True:
            rows, reached = await old.chunk(table, after)
            if reached is None:
                break
            await new.put(table.name, rows)
            done += len(rows)
            told(table.name, done, total)
            await new.set_copied(table.name, reached)
            after = reached


async def _compare(old: Export, new: Restore) -> None:
    """Raises `Conflict` unless the new home holds what the old one does."""
    for table in TABLES:
        _check_equal(table.name, await old.count(table), await new.count(table.name))
    sources = await old.store.sources()
    _check_equal("sources", sources, await new.sources())
    for source in sources:
        totals = await old.store.totals(source.id)
        _check_equal(f"the totals of source {source.id}", totals, await new.totals(source.id))
        if not totals.counts.balanced:
            raise Conflict(f"the counts of source {source.id} do not add up, here and there: {totals.counts}")
        marks = [{str(each) for each in await store.watermarks(source.id)} for store in (old.store, new)]
        _check_equal(f"the watermarks of source {source.id}", *marks)


def _check_equal(what: str, here: object, there: object) -> None:
    if here != there:
        shown = f": {here} here, {there} there" if isinstance(here, int) else ""
        raise Conflict(f"{what} differ after copying{shown}; take the move back with --rollback, then try again")


def _check_present(settings: Settings) -> None:
    if not (settings.data_dir / STORE_FILE).exists():
        raise SettingsError(f"there is nothing to move: {settings.data_dir} holds no data (see --data-dir)")


async def _check_keys(settings: Settings, old: Export) -> None:
    sealed = await old.store.document(*KEY_CHECK)
    if sealed is None:
        return
    path = settings.data_dir / KEY_FILE
    if settings.master_keys is None and not path.exists():
        raise SettingsError(f"the master key file {path} is missing: bring it back, or set TRAILHOOK_MASTER_KEYS")
    keys = load_or_create_key_file(path)[0] if settings.master_keys is None else MasterKeys.parse(settings.master_keys)
    try:
        verify_key_check(AesVault(keys), sealed)
    except KeyUnavailable as error:
        raise SettingsError("the master keys do not open what is stored, and the new home needs the same") from error


def _check_home(mark: Mark, where: str) -> None:
    if mark.home != where:
        raise Conflict(f"a move to {mark.home} has begun: go on with that one, or take it back first")


def _check_same(mark: Mark | None, there: Mark) -> None:
    if mark is None or mark.id != there.id:
        raise Conflict(f"{there.home} is the unfinished copy of another installation: name another database")
