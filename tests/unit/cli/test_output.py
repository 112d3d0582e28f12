"""Nothing from outside steers a terminal or is read as markup."""

import pytest

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
