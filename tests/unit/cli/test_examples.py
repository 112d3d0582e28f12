"""Every command explains itself: with examples that it would take."""

import shlex

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from trailhook.cli.examples import EXAMPLES, named
from trailhook.cli.main import app

COMMANDS = sorted(name for name, _ in named(app))
LISTS = [name for name in COMMANDS if name.endswith((" list", "events", "settings", "doctor"))]


def test_every_command_has_examples() -> None:
    assert sorted(EXAMPLES) == COMMANDS


@pytest.mark.parametrize("example", [each for examples in EXAMPLES.values() for each in examples])
def test_every_example_is_understood(example: str) -> None:
    program, *words = shlex.split(example.partition(" > ")[0])
    assert program == "trailhook"
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup):
        name, *words = words
        command = command.commands[name]
    context = command.make_context(command.name, words)  # raises what the command would be refused with
    assert not context.args


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_the_examples(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert shown.exit_code == 0
    assert all(each in shown.stdout for each in EXAMPLES[name])


@pytest.mark.parametrize("name", LISTS)
def test_every_list_is_there_as_json_too(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert "--json" in shown.stdout
