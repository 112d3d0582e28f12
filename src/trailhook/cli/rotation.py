"""Rotating the master key of a stopped Trailhook.

The key check in the store is sealed anew last: while it is not under the newest key, a rotation is unfinished, and
the next run finishes that one instead of beginning another.
"""

from collections.abc import Callable
from dataclasses import dataclass

from trailhook.app import KEY_CHECK, KEY_FILE, STORE_FILE, build
from trailhook.clock import SystemClock
from trailhook.errors import SettingsError
from trailhook.model import Source
from trailhook.security.secrets import COLLECTION
from trailhook.security.vault import AesVault, MasterKeys, add_key, key_check, key_id, load_or_create_key_file
from trailhook.settings import Settings
from trailhook.store.base import Store


@dataclass(frozen=True, slots=True)
class Rotated:
    """What is under which key now."""

    key: str
    sources: int
    values: int


async def rotate(settings: Settings, *, announce: Callable[[str], None]) -> Rotated:
    """Seal everything under the newest master key, made now if the key file is where keys come from.

    Raises `SettingsError` while a Trailhook runs on this data directory, `KeyUnavailable` if a value's key is gone.
    """
    if settings.mongodb_url is None and not (settings.data_dir / STORE_FILE).exists():
        raise SettingsError(f"there is nothing to rotate: {settings.data_dir} holds no data (see --data-dir)")
    async with build(settings, clock=SystemClock(), announce=announce) as parts:
        keys = await _newest_keys(settings, parts.store, announce)
        vault = AesVault(keys)
        sources = await parts.store.sources()
        for source in sources:
            await parts.store.change_source(source.id, lambda present: (_rewrapped(vault, present), ()))
        await parts.store.change_document(*KEY_CHECK, lambda _: key_check(vault))
        return Rotated(keys.newest, len(sources), sum(len(each.sealed) for each in sources))


async def _newest_keys(settings: Settings, store: Store, announce: Callable[[str], None]) -> MasterKeys:
    if settings.master_keys is not None:
        return MasterKeys.parse(settings.master_keys)
    path = settings.data_dir / KEY_FILE
    keys, _ = load_or_create_key_file(path)
    if key_id(await store.document(*KEY_CHECK) or b"") != keys.newest:
        announce("Finishing a rotation that was interrupted.")
        return keys
    keys = add_key(path)
    announce(f"Made the master key {keys.newest} in {path}: back it up")
    return keys


def _rewrapped(vault: AesVault, source: Source) -> Source:
    """The source with its secrets under the newest key; the very same one if they are there already."""
    sealed = {
        field: vault.rewrap(value, collection=COLLECTION, owner=source.id, field=field)
        for field, value in source.sealed.items()
    }
    return source if sealed == source.sealed else source.but(sealed=sealed)
