"""`trailhook key rotate` over a real data directory."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.clock import FakeClock
from trailhook.app import KEY_CHECK, KEY_FILE, Parts, build
from trailhook.cli.rotation import rotate
from trailhook.errors import KeyUnavailable, SettingsError
from trailhook.model import Credentials, Source
from trailhook.security.secrets import new_signing_secret
from trailhook.security.vault import MasterKeys, add_key, key_id, load_or_create_key_file, new_key
from trailhook.settings import Settings

CREDENTIALS = Credentials(access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key="hush")


def ignored(_: str) -> None:
    """Nobody listens."""


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Parts]:
    async with build(settings, clock=FakeClock(), announce=ignored) as parts:
        yield parts


async def filled(settings: Settings, *source_ids: str) -> None:
    """A data directory with some sources in it."""
    async with opened(settings) as parts:
        for each in source_ids:
            sealed = {
                "credentials": parts.secrets.seal_credentials(each, CREDENTIALS),
                "signing": parts.secrets.seal_signing(each, [new_signing_secret()]),
            }
            source = Source(
                id=each, name=each, created_at=0.0, intakes=("s3",), region="us-east-1",
                callback_url="https://example.com/", lane="x", sealed=sealed,
            )  # fmt: skip
            await parts.store.add_source(source)


async def kids_in_use(settings: Settings) -> set[str]:
    """The keys that anything is sealed under; and everything can be opened."""
    async with opened(settings) as parts:
        sources = await parts.store.sources()
        assert [parts.secrets.credentials(each) for each in sources] == [CREDENTIALS] * len(sources)
        sealed = [value for each in sources for value in each.sealed.values()]
        return {key_id(value) for value in [*sealed, await parts.store.document(*KEY_CHECK) or b""]}


def kids(settings: Settings) -> tuple[str, ...]:
    return load_or_create_key_file(settings.data_dir / KEY_FILE)[0].kids


async def test_everything_is_under_a_new_key_afterwards(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    await filled(settings, "a", "b")
    before = kids(settings)
    done = await rotate(settings, announce=ignored)
    assert (done.sources, done.values) == (2, 4)
    assert kids(settings) == (done.key, *before)
    assert await kids_in_use(settings) == {done.key}


async def test_an_interrupted_rotation_is_finished_and_no_other_begun(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    await filled(settings, "a", "b")
    newest = add_key(settings.data_dir / KEY_FILE).newest
    said: list[str] = []
    assert (await rotate(settings, announce=said.append)).key == newest
    assert "interrupted" in said[0]
    assert len(kids(settings)) == 2
    assert await kids_in_use(settings) == {newest}


async def test_keys_from_the_settings_are_used_as_they_are(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    await filled(Settings(data_dir=tmp_path, master_keys=old), "a")
    both = Settings(data_dir=tmp_path, master_keys=f"{new},{old}")
    done = await rotate(both, announce=ignored)
    assert done.key == MasterKeys.parse(new).newest
    assert await kids_in_use(Settings(data_dir=tmp_path, master_keys=new)) == {done.key}
    assert not (tmp_path / KEY_FILE).exists()


async def test_it_waits_for_nobody_while_a_trailhook_runs(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    async with opened(settings):
        with pytest.raises(SettingsError, match="belongs to process"):
            await rotate(settings, announce=ignored)
    assert len(kids(settings)) == 1


async def test_where_nothing_is_kept_there_is_nothing_to_rotate(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "absent")
    with pytest.raises(SettingsError, match="nothing to rotate"):
        await rotate(settings, announce=ignored)
    assert not settings.data_dir.exists()


async def test_a_value_whose_key_is_gone_stops_it_and_loses_nothing(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    await filled(settings, "a")
    async with opened(settings) as parts:
        await parts.store.change_source(
            "a", lambda source: (source.but(sealed={"credentials": b"\x01\x01x" + b"0" * 99}), ())
        )
    with pytest.raises(KeyUnavailable):
        await rotate(settings, announce=ignored)
    with pytest.raises(KeyUnavailable):
        await rotate(settings, announce=ignored)
    assert len(kids(settings)) == 2
