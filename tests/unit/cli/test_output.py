"""Nothing from outside steers a terminal or is read as markup."""

import io

import pytest
from rich.console import Console

from trailhook.cli import output


def test_control_sequences_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("ok \x1b[2J\x07 \u202e\nnext")
    assert capsys.readouterr().out == "ok �[2J� �\nnext\n"


def test_a_table_takes_no_markup_and_no_control_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table({"NAME": "name"}, [{"name": "[red]x[/red]\x1b[2J\nb"}], nothing="")
    assert "[red]x[/red]�[2J b" in capsys.readouterr().out


def test_columns_reach_into_objects_and_an_absent_value_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, object]] = [{"a": {"b": True}}, {"a": None}, {"a": {"b": ["x", "y"]}}]
    output.show_table({"B": "a.b"}, rows, nothing="")
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == ["B", "yes", "–", "x, y"]


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table({"B": "b"}, [], nothing="No sources yet.")
    assert capsys.readouterr().out == "No sources yet.\n"


def test_whole_values_go_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"id": "i" * 36, "name": "n" * 60, "callbackUrl": "u" * 90}
    output.show_table({"ID": "id", "NAME": "name", "CALLBACK": "callbackUrl"}, [row], nothing="")
    assert capsys.readouterr().out.splitlines()[1].split() == list(row.values())


def test_fields_are_told_one_a_line_with_dotted_names(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_fields({"id": "x", "fetch": {"state": "active", "since": None}, "filter": {}})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["id", "x"], ["fetch.state", "active"], ["fetch.since", "–"], ["filter", "–"]]


SOURCES = {"ID": "id", "NAME": "name", "CALLBACK": "callbackUrl", "FETCHED": "lastFetchAt", "WHY": "reason"}
SOURCE = {
    "id": "6f1c0c80-0000-4000-8000-000000000001",
    "name": "prod",
    "callbackUrl": "https://example.com/webhook",
    "lastFetchAt": "2026-01-31T12:00:00.000Z",
    "reason": "The receiver answered 500 Internal Server Error, and that twelve times in a row by now.",
}


def on_a_terminal(columns: int, *rows: dict[str, str]) -> list[str]:
    screen = Console(width=columns, file=io.StringIO(), force_terminal=True, color_system=None, highlight=False)
    output.show_table(SOURCES, rows, nothing="", on=screen)
    assert isinstance(screen.file, io.StringIO)
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]


def test_a_wide_terminal_shows_a_row_a_line_and_breaks_sentences_only() -> None:
    lines = on_a_terminal(130, SOURCE, SOURCE | {"reason": "All is well."})
    assert max(map(len, lines)) <= 130
    rows = [line for line in lines if line.startswith(SOURCE["id"])]
    assert [all(SOURCE[name] in row for name in ("name", "callbackUrl", "lastFetchAt")) for row in rows] == [True] * 2
    assert len(lines) > 3


def test_a_narrow_terminal_shows_a_block_for_each_row_and_cuts_nothing() -> None:
    lines = on_a_terminal(80, SOURCE, SOURCE | {"name": "other"})
    assert max(map(len, lines)) <= 80
    assert [line.split()[1] for line in lines if line.startswith(("ID", "CALLBACK"))] == [
        SOURCE["id"], SOURCE["callbackUrl"], SOURCE["id"], SOURCE["callbackUrl"],
    ]  # fmt: skip
    assert lines.count("") == 1
    assert " ".join(" ".join(lines).split()).count(SOURCE["reason"]) == 2
