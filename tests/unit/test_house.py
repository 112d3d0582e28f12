"""What holds for the repository as a whole: which way the imports point, and that its papers are true."""

import ast
import dataclasses
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from trailhook.cli import main as cli
from trailhook.settings import CLIENT_NAMES, PREFIX, TEST_PREFIX, Settings

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "trailhook"

LAYERS = (
    frozenset(
        {"__init__", "model", "errors", "settings", "clock", "memory", "conditions", "silence", "cloudtrail", "body"}
    ),
    frozenset(
        {"sources", "intake", "delivery", "store", "queue", "search", "security"}
        | {"net", "notify", "notify_elsewhere", "telemetry", "tracing", "tracing_otlp"}
    ),
    frozenset(
        {"jobs", "watch", "backfill", "backfilling", "app", "preflight", "completeness", "holding"}
        | {"dry_run", "doctor", "migrate"}
    ),
    frozenset({"api", "web", "serving", "crew", "parent", "cli", "demo", "__main__"}),
)
"""From the foundations up: a module imports its own layer and those before it, never a later one."""

SHARED_BETWEEN_SIBLINGS = frozenset({"security.secrets", "security.redact", "telemetry", "tracing", "store.log"})
"""Besides every `base.py`: what parts of the second layer may import from one another."""

CONTRACT_SETTINGS = {
    "data_dir",
    "mongodb_url",
    "redis_url",
    "host",
    "port",
    "master_keys",
    "api_token",
    "allow_http_callbacks",
    "allow_callback_hosts",
    "allow_callback_cidrs",
    "allow_aws_endpoints",
    "retention_days",
    "ledger_days",
    "store_events",
    "tls_cert",
    "tls_key",
    "behind_proxy",
    "notify_urls",
    "log_format",
}
"""Settings that users have in their deployments: none may vanish or change its name."""

FILE_LINES_MAX = 420
"""No module is longer; most are far shorter."""

MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path for path in PACKAGE.rglob("*.py")
}


DOCS = ROOT / "docs"
MADE = frozenset({"_build", "reference"})
"""Below `docs/`: made from the product itself."""
PAPERS = [
    *ROOT.glob("*.md"),
    *(path for path in DOCS.rglob("*.md") if path.relative_to(DOCS).parts[0] not in MADE),
    *(ROOT / "bench").glob("*.md"),
]


def part_of(module: str) -> str:
    """`store.sqlite` belongs to `store`."""
    return module.partition(".")[0]


def layer_of(part: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def imports_of(path: Path) -> Iterator[str]:
    """The product's modules that a file imports, without the leading `trailhook.`, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                found = [each.name for each in names]
            case ast.ImportFrom(module=str(module), names=names, level=0):
                found = [f"{module}.{each.name}" if in_package(f"{module}.{each.name}") else module for each in names]
            case ast.ImportFrom():
                raise AssertionError(f"{path} imports relatively: write the whole name")
            case _:
                continue
        yield from (name.removeprefix("trailhook.") for name in found if name.startswith("trailhook."))


def in_package(name: str) -> bool:
    module = name.removeprefix("trailhook.")
    return module in MODULES or f"{module}.__init__" in MODULES


def arrows() -> Iterator[tuple[str, str]]:
    """Every import between two modules of the product, as (from, to)."""
    for module, path in MODULES.items():
        for target in imports_of(path):
            if part_of(module) != part_of(target):
                yield module, target


def test_every_module_has_a_layer() -> None:
    known = frozenset[str]().union(*LAYERS)
    assert {part_of(module) for module in MODULES} <= known


def test_imports_point_down() -> None:
    assert {(a, b) for a, b in arrows() if layer_of(part_of(b)) > layer_of(part_of(a))} == set()


def test_siblings_meet_only_through_a_base_module() -> None:
    between = [(a, b) for a, b in arrows() if layer_of(part_of(a)) == layer_of(part_of(b)) == 1]
    assert between, "the walk finds nothing: it has lost its way"
    assert [(a, b) for a, b in between if not b.endswith(".base") and b not in SHARED_BETWEEN_SIBLINGS] == []


def test_the_architecture_names_every_module_and_no_other() -> None:
    layout = (ROOT / "ARCHITECTURE.md").read_text().partition("## Layout")[2].partition("## Arrows")[0]
    named = re.findall(r"^([a-z_/0-9]+)\.py ", layout, re.MULTILINE)
    assert sorted(named) == sorted(module.replace(".", "/") for module in MODULES if not module.endswith("__init__"))


def test_no_module_is_too_long_to_read() -> None:
    lengths = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert {module: lines for module, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


@pytest.mark.parametrize("name", ["run", "demo", "dev"])
def test_locks_pin_and_hash_everything_and_name_no_host(name: str) -> None:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    requirements = [line for line in lines if not line.startswith("    --hash=sha256:")]
    assert requirements
    assert [line for line in requirements if not re.match(r"[a-z0-9._\[\]-]+==\S+ (; .+ )?\\$", line)] == []


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {"run": project["dependencies"], "demo": project["optional-dependencies"]["demo"]}
    wanted["dev"] = [each for extra in project["optional-dependencies"].values() for each in extra]
    for name, requirements in wanted.items():
        lock = (ROOT / "requirements" / f"{name}.txt").read_text()
        names = [re.split(r"[\[>=;]", each)[0] for each in requirements]
        assert [each for each in names if not re.search(rf"^{each}(\[[a-z0-9,-]+\])?==", lock, re.MULTILINE)] == []


@pytest.mark.parametrize("paper", ["README.md", "CONTRIBUTING.md", "bench/README.md"])
def test_every_make_command_in_the_papers_exists(paper: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / paper).read_text(), re.MULTILINE))
    assert named
    assert named <= targets


def test_every_trailhook_command_in_the_papers_exists() -> None:
    below = {
        f"{group.name} {name}" for group in cli.app.registered_groups for name in commands_of(group.typer_instance)
    }
    code = re.compile(r"(?:^|`|/)trailhook ([a-z]+(?: [a-z]+)?)", re.MULTILINE)
    named = {name for paper in PAPERS for name in code.findall(paper.read_text())}
    alone = commands_of(cli.app)
    assert named
    assert {name for name in named if name.split()[0] not in alone} <= below


def commands_of(app: typer.Typer | None) -> set[str]:
    commands = app.registered_commands if app else []
    return {each.name or each.callback.__name__ for each in commands if each.callback}


def test_every_link_in_the_papers_leads_somewhere() -> None:
    links = [(paper, link) for paper in PAPERS for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", paper.read_text())]
    assert links
    assert [(paper.name, link) for paper, link in links if not (paper.parent / link).exists()] == []


def test_settings_that_users_rely_on_exist() -> None:
    assert {each.name for each in dataclasses.fields(Settings)} >= CONTRACT_SETTINGS


def test_settings_in_the_papers_exist() -> None:
    known = {PREFIX + each.name.upper() for each in dataclasses.fields(Settings)}
    named = {name for paper in ROOT.glob("*.md") for name in re.findall(r"TRAILHOOK_[A-Z_]+[A-Z]", paper.read_text())}
    assert named
    settings = {name for name in named if not name.startswith(TEST_PREFIX)} - CLIENT_NAMES
    assert {name.removesuffix("_FILE") for name in settings} <= known
