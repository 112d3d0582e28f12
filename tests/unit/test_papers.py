"""The documents: nothing that they should explain is missing from them, and they build."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_runbook_has_a_section_for_each_alert_and_no_other() -> None:
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    alerts = [rule["alert"] for group in groups for rule in group["rules"]]
    sections = re.findall(r"^### (Trailhook\w+)$", (DOCS / "operations.md").read_text(), re.MULTILINE)
    assert sections == alerts


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "--fail-on-warning",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-d",
        str(tmp_path / "d"),
    ]
    built = subprocess.run([*command, str(DOCS), str(tmp_path / "site")], capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    pages = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.html")}
    assert {"index.html", "reference/api.html", "reference/settings.html", "reference/command-line.html"} <= pages
