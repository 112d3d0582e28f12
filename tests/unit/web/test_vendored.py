"""The scripts of others are what their authors published."""

import hashlib
import re
from pathlib import Path

import trailhook.web

VENDOR = Path(trailhook.web.__file__).parent / "static" / "vendor"
LISTED = dict(
    re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.MULTILINE)
)


def test_every_script_and_style_is_listed_with_its_hash() -> None:
    there = {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in VENDOR.glob("*.min.*")}
    assert there
    assert there == LISTED


def test_every_one_has_its_licence_beside_it() -> None:
    assert {name.partition("-")[0] for name in LISTED} == {
        each.name.removesuffix("-LICENSE.txt") for each in VENDOR.glob("*-LICENSE.txt")
    }
