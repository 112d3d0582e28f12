"""One process owns a data directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trailhook.errors import SettingsError
from trailhook.store.ownership import own

OWN_AND_WAIT = """
import sys
from pathlib import Path
from trailhook.store.ownership import own
with own(Path(sys.argv[1])):
    print("owned", flush=True)
    sys.stdin.read()
"""


def test_a_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    with own(tmp_path), pytest.raises(SettingsError, match=f"belongs to process {os.getpid()}"), own(tmp_path):
        pass


def test_a_directory_given_up_can_be_owned_again(tmp_path: Path) -> None:
    for _ in range(2):
        with own(tmp_path):
            pass


def test_a_process_that_was_killed_owns_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWN_AND_WAIT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"owned\n"
        with pytest.raises(SettingsError, match=f"belongs to process {other.pid}"), own(tmp_path):
            pass
        other.kill()
        other.wait(10)
    with own(tmp_path):
        pass


def test_a_missing_directory_is_made_for_this_user_only(tmp_path: Path) -> None:
    data_dir = tmp_path / "a" / "b"
    with own(data_dir):
        assert data_dir.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_is_a_matter_of_settings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be written"), own(tmp_path / "file" / "data"):
        pass
