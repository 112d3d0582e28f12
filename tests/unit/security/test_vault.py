"""The vault, its master keys and its key file."""

import base64
import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhook.errors import KeyUnavailable, SettingsError
from trailhook.security.vault import (
    AesVault,
    MasterKeys,
    add_key,
    key_check,
    key_id,
    load_or_create_key_file,
    new_key,
    verify_key_check,
)

A, B = b"a" * 32, b"b" * 32
OLD = AesVault(MasterKeys([("old", A)]))
ROTATED = AesVault(MasterKeys([("new", B), ("old", A)]))
NEW = AesVault(MasterKeys([("new", B)]))
HERE = {"collection": "sources", "owner": "s1", "field": "credentials"}


def text_of(kid: str, key: bytes) -> str:
    return f"{kid}:{base64.b64encode(key).decode()}"


# --------------------------------------------------------------------------------------------------------- values


@given(st.binary(max_size=200), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_what_is_sealed_opens_where_it_was_sealed(plain: bytes, collection: str, owner: str, field: str) -> None:
    sealed = OLD.seal(plain, collection=collection, owner=owner, field=field)
    assert OLD.open(sealed, collection=collection, owner=owner, field=field) == plain


@pytest.mark.parametrize(
    "elsewhere",
    [
        {**HERE, "collection": "tokens"},
        {**HERE, "owner": "s2"},
        {**HERE, "field": "signing"},
        {"collection": "sourcess1", "owner": "", "field": "credentials"},
        {"collection": "sources", "owner": "s", "field": "1credentials"},
    ],
)
def test_what_is_sealed_opens_nowhere_else(elsewhere: dict[str, str]) -> None:
    with pytest.raises(KeyUnavailable):
        OLD.open(OLD.seal(b"secret", **HERE), **elsewhere)


def test_the_same_value_is_never_sealed_alike() -> None:
    assert OLD.seal(b"secret", **HERE) != OLD.seal(b"secret", **HERE)


def test_no_bit_may_change_and_no_byte_may_be_missing() -> None:
    sealed = OLD.seal(b"secret", **HERE)
    changed = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    for each in [*changed, *(sealed[:end] for end in range(len(sealed))), sealed + b"\0"]:
        with pytest.raises(KeyUnavailable):
            OLD.open(each, **HERE)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_vault(junk: bytes) -> None:
    with pytest.raises(KeyUnavailable):
        OLD.open(junk, **HERE)


def test_layers_of_two_values_do_not_mix() -> None:
    one, other = OLD.seal(b"secret", **HERE), OLD.seal(b"public", **HERE)
    header = 2 + len("old") + 12 + 32 + 16
    with pytest.raises(KeyUnavailable):
        OLD.open(one[:header] + other[header:], **HERE)


# ------------------------------------------------------------------------------------------------------- rotation


def test_the_newest_key_seals_and_all_open() -> None:
    sealed = OLD.seal(b"secret", **HERE)
    assert ROTATED.open(sealed, **HERE) == b"secret"
    assert key_id(ROTATED.seal(b"secret", **HERE)) == "new"


def test_rewrapping_moves_a_value_to_the_newest_key_and_leaves_its_ciphertext() -> None:
    sealed = OLD.seal(b"secret", **HERE)
    rewrapped = ROTATED.rewrap(sealed, **HERE)
    assert key_id(rewrapped) == "new"
    assert NEW.open(rewrapped, **HERE) == b"secret"
    assert rewrapped.endswith(sealed[-(12 + len(b"secret") + 16) :])
    with pytest.raises(KeyUnavailable):
        OLD.open(rewrapped, **HERE)


def test_rewrapping_twice_changes_nothing() -> None:
    rewrapped = ROTATED.rewrap(OLD.seal(b"secret", **HERE), **HERE)
    assert ROTATED.rewrap(rewrapped, **HERE) == rewrapped


def test_a_value_cannot_be_moved_by_rewrapping_it() -> None:
    with pytest.raises(KeyUnavailable):
        ROTATED.rewrap(OLD.seal(b"secret", **HERE), **{**HERE, "owner": "s2"})


def test_a_missing_key_is_named_and_a_wrong_one_refused() -> None:
    sealed = OLD.seal(b"secret", **HERE)
    with pytest.raises(KeyUnavailable, match="master key old"):
        NEW.open(sealed, **HERE)
    with pytest.raises(KeyUnavailable):
        AesVault(MasterKeys([("old", B)])).open(sealed, **HERE)


def test_a_start_with_the_wrong_master_key_is_known() -> None:
    check = key_check(OLD)
    verify_key_check(OLD, check)
    verify_key_check(ROTATED, check)
    for wrong in (NEW, AesVault(MasterKeys([("old", B)]))):
        with pytest.raises(KeyUnavailable):
            verify_key_check(wrong, check)
    with pytest.raises(KeyUnavailable):
        verify_key_check(OLD, b"")


# ---------------------------------------------------------------------------------------------------- master keys


@pytest.mark.parametrize("separator", [",", "\n", " ,\r\n "])
def test_master_keys_are_read_newest_first(separator: str) -> None:
    keys = MasterKeys.parse(separator.join([text_of("k-2", B), text_of("k-1", A)]) + "\n")
    assert (keys.newest, keys.kids) == ("k-2", ("k-2", "k-1"))
    assert keys.key("k-1") == A


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "hunter2",
        ":hunter2",
        text_of("Hunter2", A),
        text_of("h" * 33, A),
        "k1:hunter2",
        text_of("k1", b"hunter2"),
        text_of("k1", A + b"x"),
        f"{text_of('k1', A)},k2:!hunter2",
        f"{text_of('k1', A)},{text_of('k1', B)}",
    ],
)
def test_bad_master_keys_are_refused_by_name_and_never_shown(text: str) -> None:
    with pytest.raises(SettingsError, match="TRAILHOOK_MASTER_KEYS") as refused:
        MasterKeys.parse(text)
    assert "unter2" not in str(refused.value)
    assert base64.b64encode(A).decode()[:8] not in str(refused.value)


def test_master_keys_do_not_show_themselves() -> None:
    assert repr(MasterKeys([("k1", A)])) == "MasterKeys(k1)"


def test_a_new_key_is_one_that_can_be_read_and_never_the_same() -> None:
    assert len(MasterKeys.parse(",".join(new_key() for _ in range(50))).kids) == 50


# ------------------------------------------------------------------------------------------------------- key file


def test_the_first_run_makes_a_key_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "data" / "master.keys"
    keys, created = load_or_create_key_file(path)
    assert created
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["master.keys"]
    again, created = load_or_create_key_file(path)
    assert not created
    assert again.key(again.newest) == keys.key(keys.newest)


def test_of_many_first_runs_one_makes_the_file_and_all_have_its_key(tmp_path: Path) -> None:
    path = tmp_path / "master.keys"
    together = threading.Barrier(8)
    results: list[tuple[MasterKeys, bool]] = []

    def start() -> None:
        together.wait()
        results.append(load_or_create_key_file(path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(created for _, created in results) == 1
    assert len(results) == 8
    assert {keys.newest for keys, _ in results} == {load_or_create_key_file(path)[0].newest}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.keys"
    load_or_create_key_file(path)
    path.chmod(mode)
    for use in (load_or_create_key_file, add_key):
        with pytest.raises(SettingsError, match="chmod 600"):
            use(path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"k1:AAAA"])
def test_a_key_file_without_keys_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "master.keys"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SettingsError, match=r"master\.keys"):
        load_or_create_key_file(path)
    assert path.read_bytes() == content


def test_a_key_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"master\.keys"):
        load_or_create_key_file(tmp_path / "file" / "master.keys")


def test_a_rotated_key_file_seals_with_the_new_key_and_opens_with_the_old(tmp_path: Path) -> None:
    path = tmp_path / "master.keys"
    before, _ = load_or_create_key_file(path)
    sealed = AesVault(before).seal(b"secret", **HERE)
    added = add_key(path)
    after, _ = load_or_create_key_file(path)
    assert after.kids == added.kids == (added.newest, before.newest)
    assert AesVault(after).open(sealed, **HERE) == b"secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["master.keys"]  # noqa: PTH208 - the names are all that matters


def test_there_is_nothing_to_rotate_without_a_key_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"master\.keys"):
        add_key(tmp_path / "master.keys")
    assert not list(tmp_path.iterdir())
