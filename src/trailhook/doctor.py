"""What `trailhook doctor` finds out: every part looked at from outside, each finding with what to do about it.

It reads only, and works while Trailhook runs: it never takes the data directory, makes a file or migrates anything.
"""

import asyncio
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from trailhook import __version__, settings
from trailhook.app import KEY_CHECK, KEY_FILE, STORE_FILE
from trailhook.clock import Clock
from trailhook.errors import KeyUnavailable, SettingsError, StoreUnavailable
from trailhook.model import Value
from trailhook.net.addresses import Tier, tier_of
from trailhook.net.guard import Guard
from trailhook.notify_elsewhere import NotifyUrls
from trailhook.queue import look as queue_look
from trailhook.security.vault import AesVault, MasterKeys, load_or_create_key_file, verify_key_check
from trailhook.settings import Settings
from trailhook.store.mongo import look as mongo_look
from trailhook.store.ownership import owner
from trailhook.store.sqlite import look as sqlite_look

WITHIN_S: Final = 10.0
"""For each part: who has not answered by then does not answer."""
SKEW_WARN_S, SKEW_FAILED_S = 2.0, 60.0
TRANSACTION_S_WARN = 30
"""Leases last from one minute on; AWS refuses signatures that are five minutes off."""
DISK_WARN_BYTES, DISK_FAILED_BYTES = 2 * 1024**3, 256 * 1024**2
"""A source's outbox alone may take half a gigabyte; a store that cannot grow stops everything."""
MONGODB_LEAST, REDIS_LEAST = (6, 0), (6, 2)
WIDE_PREFIX_BITS = 8
MOVE_REMEDIES = {
    "copying": "Finish with the same `trailhook migrate --to …`, or take it back with `--rollback`.",
    "moved": "Set TRAILHOOK_MONGODB_URL to it; this file is kept for you to delete.",
}


class Verdict(StrEnum):
    """How it is, best first."""

    OK = "ok"
    WARN = "warn"
    FAILED = "failed"


class Check(Value, frozen=True, kw_only=True):
    """One part, what was found there, and what to do about it (empty if nothing)."""

    name: str
    verdict: Verdict
    finding: str
    remedy: str = ""


class Report(Value, frozen=True, kw_only=True):
    """Everything that was found."""

    version: str
    checks: tuple[Check, ...]
    settings: Mapping[str, str]
    """All of them, secrets as `***`."""

    @property
    def well(self) -> bool:
        """Whether nothing failed."""
        return all(check.verdict is not Verdict.FAILED for check in self.checks)


async def examine(chosen: Settings, clock: Clock, *, within_s: float = WITHIN_S) -> Report:
    """Look at every part of an installation with these settings, at each for so long at most.

    Raises nothing that is a finding.
    """
    groups = await asyncio.gather(_store(chosen, clock, within_s), _queue(chosen, within_s))
    checks = (
        _settings(chosen),
        *(check for group in groups for check in group),
        *_guard(chosen),
        *_notify_urls(chosen),
    )
    return Report(version=__version__, checks=checks, settings=settings.shown(chosen))


def _settings(chosen: Settings) -> Check:
    shown, usual = settings.shown(chosen), settings.shown(Settings())
    changed = [f"{name}={value}" for name, value in shown.items() if value != usual[name]]
    return _ok("settings", f"Trailhook {__version__}; set: {', '.join(changed) or 'nothing'}")


# ------------------------------------------------------------------------------------------------------- the store


async def _store(chosen: Settings, clock: Clock, within_s: float) -> Sequence[Check]:
    if chosen.mongodb_url is not None:
        return await _mongodb(chosen, chosen.mongodb_url, clock, within_s)
    return [*await asyncio.to_thread(_sqlite, chosen, within_s), _disk(chosen.data_dir)]


async def _mongodb(chosen: Settings, url: str, clock: Clock, within_s: float) -> Sequence[Check]:
    try:
        found = await mongo_look.look(url, key_check=KEY_CHECK, clock=clock, within_s=within_s)
    except SettingsError as error:
        return [_failed("store", str(error), "Write it as mongodb://HOST,HOST/DATABASE?replicaSet=NAME.")]
    except StoreUnavailable as error:
        remedy = "Is it running, reachable from here, and has its replica set a primary? Is the password right?"
        return [_failed("store", str(error), remedy), _keys(chosen, None)]
    return [
        judge_mongodb(found),
        *judge_transactions(found.transaction_s_max),
        *judge_notices(chosen.notify_urls, found.notify_failing),
        judge_skew(found.ahead_s, found.round_trip_s),
        _keys(chosen, found.key_check),
    ]


def judge_mongodb(found: mongo_look.Look) -> Check:
    """Whether this MongoDB can be our store."""
    what = f"MongoDB {found.version}"
    if _older(found.version, MONGODB_LEAST):
        return _failed("store", f"{what} is too old", f"Install {_dotted(MONGODB_LEAST)} or newer.")
    if not found.transactions:
        remedy = "Start mongod with --replSet and run rs.initiate() once; one member is enough."
        return _failed("store", f"{what} stands alone, without a replica set, and so has no transactions", remedy)
    if not found.primary:
        return _failed(
            "store", f"{what}, a replica set without a primary", "rs.status() says which members are missing."
        )
    if found.mark is not None:
        return _failed("store", f"{what}, the unfinished copy of an embedded installation", MOVE_REMEDIES["copying"])
    return _ok("store", f"{what}, a replica set with a primary")


def judge_transactions(limit_s: int | None) -> Sequence[Check]:
    """Whether MongoDB soon ends what a worker that died inside a transaction left open; nothing if it does not say."""
    if limit_s is None:
        return ()
    finding = f"a worker that dies inside a transaction holds its rows for {limit_s} s"
    if limit_s > TRANSACTION_S_WARN:
        remedy = "Start mongod with --setParameter transactionLifetimeLimitSeconds=15."
        return (_warn("transactions", finding, remedy),)
    return (_ok("transactions", finding),)


def judge_skew(ahead_s: float, round_trip_s: float) -> Check:
    """Whether the store's clock and ours agree, as far as the time that asking took lets us tell."""
    skew_s = max(0.0, abs(ahead_s) - round_trip_s / 2)
    finding = f"the store's clock is {abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} this one"
    remedy = "Let both machines take their time from NTP."
    if skew_s >= SKEW_FAILED_S:
        return _failed("clock", finding, remedy)
    if skew_s >= SKEW_WARN_S:
        return _warn("clock", finding, remedy)
    return _ok("clock", "the store's clock and this one agree")


def _sqlite(chosen: Settings, within_s: float) -> Sequence[Check]:
    path = chosen.data_dir / STORE_FILE
    if not path.exists():
        return [_ok("store", f"{path} does not exist yet: the first start makes it"), _keys(chosen, None)]
    try:
        found = sqlite_look.look(path, key_check=KEY_CHECK, within_s=within_s)
    except StoreUnavailable as error:
        return [
            _failed("store", str(error), "Check its permissions and its disk, or restore a backup."),
            _keys(chosen, None),
        ]
    return [
        judge_sqlite(path, found, owner(chosen.data_dir)),
        *judge_notices(chosen.notify_urls, found.notify_failing),
        _keys(chosen, found.key_check),
    ]


def judge_sqlite(path: Path, found: sqlite_look.Look, owned_by: int | None) -> Check:
    """Whether this file can be our store."""
    what = f"SQLite {found.sqlite_version}, {path}, {found.file_bytes / 1024**2:.0f} MiB"
    if found.problems:
        return _failed("store", f"{what}, is damaged: {found.problems[0]}", "Stop Trailhook and restore a backup.")
    if found.mark is not None:
        return _failed("store", f"{what}, {found.mark.phase} to {found.mark.home}", MOVE_REMEDIES[found.mark.phase])
    state = "whole" if found.whole else "nothing wrong found in the time there was to check"
    return _ok("store", f"{what}, {state}, {f'in use by process {owned_by}' if owned_by else 'not in use'}")


def _keys(chosen: Settings, key_check: bytes | None) -> Check:
    origin = "TRAILHOOK_MASTER_KEYS" if chosen.master_keys is not None else str(chosen.data_dir / KEY_FILE)
    try:
        keys = _present_keys(chosen)
        if keys is None:
            return _no_keys(chosen, origin, key_check)
        if key_check is not None:
            verify_key_check(AesVault(keys), key_check)
    except SettingsError as error:
        return _failed("master keys", str(error), "Without them stored credentials cannot be opened.")
    except KeyUnavailable:
        remedy = "Set the keys that were in use before, older ones after newer ones."
        return _failed("master keys", f"{origin} does not open what is stored", remedy)
    opens = "opens what is stored" if key_check is not None else "nothing is stored yet to open"
    return _ok("master keys", f"{origin}: {', '.join(keys.kids)}; {opens}")


def _present_keys(chosen: Settings) -> MasterKeys | None:
    """Raises `SettingsError`."""
    if chosen.master_keys is not None:
        return MasterKeys.parse(chosen.master_keys)
    path = chosen.data_dir / KEY_FILE
    return load_or_create_key_file(path)[0] if path.exists() else None


def _no_keys(chosen: Settings, origin: str, key_check: bytes | None) -> Check:
    if chosen.mongodb_url is not None:
        return _failed("master keys", "there are none", "Set TRAILHOOK_MASTER_KEYS; `trailhook key new` makes one.")
    if key_check is not None:
        return _failed("master keys", f"{origin} is missing", "Bring it back from a backup.")
    return _ok("master keys", f"{origin} does not exist yet: the first start makes it")


def _disk(data_dir: Path) -> Check:
    place = next(each for each in (data_dir.absolute(), *data_dir.absolute().parents) if each.exists())
    return judge_disk(data_dir, shutil.disk_usage(place).free)


def judge_disk(data_dir: Path, free_bytes: int) -> Check:
    """Whether the data directory has room to grow."""
    finding = f"{free_bytes / 1024**3:.1f} GiB free for {data_dir}"
    if free_bytes < DISK_FAILED_BYTES:
        return _failed("disk", finding, "Make room now: without it nothing is taken in or settled.")
    if free_bytes < DISK_WARN_BYTES:
        return _warn("disk", finding, "Make room, or lower TRAILHOOK_RETENTION_DAYS.")
    return _ok("disk", finding)


# ------------------------------------------------------------------------------------------------------- the queue


async def _queue(chosen: Settings, within_s: float) -> Sequence[Check]:
    if chosen.redis_url is None:
        return [_ok("queue", "in this process")]
    try:
        return [judge_redis(await queue_look.look(chosen.redis_url, within_s=within_s))]
    except SettingsError as error:
        return [_failed("queue", str(error), "Write it as redis://HOST:6379/0, or rediss:// for TLS.")]
    except StoreUnavailable as error:
        return [_failed("queue", str(error), "Is it running, and reachable from here? Is the password right?")]


def judge_redis(found: queue_look.Look) -> Check:
    """Whether this Redis can be our queue."""
    what = f"{found.name} {found.version}"
    if _older(found.version, REDIS_LEAST):
        return _failed("queue", f"{what} is too old", f"Install {_dotted(REDIS_LEAST)} or newer.")
    if found.eviction != "noeviction":
        remedy = "Set maxmemory-policy noeviction; a lost job comes back with the sweep, but late."
        return _warn("queue", f"{what} drops jobs when its memory is full ({found.eviction})", remedy)
    return _ok("queue", what)


# ------------------------------------------------------------------------------------------------------- the guard


def _guard(chosen: Settings) -> Iterable[Check]:
    try:
        Guard.for_callbacks(chosen)
        Guard.for_aws(chosen)
    except SettingsError as error:
        return [_failed("guard", str(error), "Mend the entry.")]
    return judge_guard(chosen) or [_ok("guard", "callbacks go to public addresses over https, and to what is listed")]


def judge_guard(chosen: Settings) -> Sequence[Check]:
    """What the settings open that is seldom meant."""
    found = []
    if chosen.allow_http_callbacks:
        remedy = "Unset TRAILHOOK_ALLOW_HTTP_CALLBACKS where receivers have https."
        found.append(_warn("guard", "callbacks may be http: events travel in the clear", remedy))
    if inner := [host for host in chosen.allow_callback_hosts if _forbidden(host)]:
        remedy = "Take them off TRAILHOOK_ALLOW_CALLBACK_HOSTS: whoever may add a source can send there."
        found.append(_warn("guard", f"callbacks may reach this machine or its metadata at {', '.join(inner)}", remedy))
    if wide := [cidr for cidr in chosen.allow_callback_cidrs if ip_network(cidr).prefixlen < WIDE_PREFIX_BITS]:
        remedy = "List the receivers' own ranges in TRAILHOOK_ALLOW_CALLBACK_CIDRS."
        found.append(_warn("guard", f"callbacks may reach every private address ({', '.join(wide)})", remedy))
    return found


def _forbidden(entry: str) -> bool:
    """Whether a listed `host` or `host:port` is an address that nobody may call otherwise."""
    literal = Guard(hosts=[entry], allow_http=True).check_url(f"http://{entry}/").literal
    return literal is not None and tier_of(literal) is Tier.FORBIDDEN


# ------------------------------------------------------------------------------------------------------ the notices


def _notify_urls(chosen: Settings) -> Sequence[Check]:
    """Whether Apprise understands them. None of them is called."""
    try:
        urls = NotifyUrls(chosen.notify_urls, timeout_s=chosen.notify_timeout_s)
    except SettingsError as error:
        return [_failed("notify urls", str(error), "Write it as Apprise does, for instance mailto://… or slack://….")]
    return [_ok("notify urls", f"Apprise understands all {len(urls)}")] if len(urls) else []


def judge_notices(urls: Sequence[str], failing: Sequence[str]) -> Sequence[Check]:
    """Whether the notify URLs took what was last sent there; nothing if there are none."""
    if not urls:
        return ()
    if there := [number for number in failing if int(number) <= len(urls)]:
        finding = f"number {', '.join(there)} of TRAILHOOK_NOTIFY_URLS did not take the last notice"
        remedy = "Is the address right, and reachable from here? It is tried again for a day."
        return (_warn("notices", finding, remedy),)
    return (_ok("notices", "no notify URL is known to fail"),)


def _older(version: str, least: tuple[int, int]) -> bool:
    numbers = [int(digits) for digits in re.findall(r"\d+", version)[:2]]
    return tuple(numbers) < least


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _ok(name: str, finding: str) -> Check:
    return Check(name=name, verdict=Verdict.OK, finding=finding)


def _warn(name: str, finding: str, remedy: str) -> Check:
    return Check(name=name, verdict=Verdict.WARN, finding=finding, remedy=remedy)


def _failed(name: str, finding: str, remedy: str) -> Check:
    return Check(name=name, verdict=Verdict.FAILED, finding=finding, remedy=remedy)
