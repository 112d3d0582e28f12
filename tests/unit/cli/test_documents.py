"""From options, files and the environment to the API's document, without secrets on the command line."""

import json
from pathlib import Path

import pytest

from trailhook.cli.documents import merged, read_credentials, read_json, without_absent
from trailhook.errors import SettingsError

CREDENTIALS_FILE = """
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = secret%1

[audit]
aws_access_key_id = ASIAAUDIT
aws_secret_access_key = other
aws_session_token = token
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "credentials"
    path.write_text(CREDENTIALS_FILE)
    return path


def test_a_profile_of_a_credentials_file_is_used(file: Path) -> None:
    default = read_credentials(access_key_id=None, file=file, profile="default", environ={})
    assert default == {"accessKeyId": "AKIADEFAULT", "secretAccessKey": "secret%1"}
    audit = read_credentials(access_key_id=None, file=file, profile="audit", environ={})
    assert audit == {"accessKeyId": "ASIAAUDIT", "secretAccessKey": "other", "sessionToken": "token"}


def test_a_missing_profile_is_named_and_no_secret_shown(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"\[nobody\]") as caught:
        read_credentials(access_key_id=None, file=file, profile="nobody", environ={})
    assert "secret%1" not in str(caught.value)


def test_a_broken_credentials_file_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("aws_secret_access_key = hush")
    with pytest.raises(SettingsError) as caught:
        read_credentials(access_key_id=None, file=path, profile="default", environ={})
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_environments_secret_belongs_to_the_environments_key() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    found = read_credentials(access_key_id="AKIA1", file=None, profile="default", environ=environ)
    assert found == {"accessKeyId": "AKIA1", "secretAccessKey": "s", "sessionToken": "t"}


def test_without_a_key_there_are_no_credentials() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "s"}
    assert read_credentials(access_key_id=None, file=None, profile="default", environ=environ) == {}


def test_a_document_must_be_one_json_object_and_is_never_quoted(tmp_path: Path) -> None:
    path = tmp_path / "source.json"
    path.write_text(json.dumps({"name": "prod"}))
    assert read_json(str(path)) == {"name": "prod"}
    for content in ('["hush"]', '{"secretAccessKey": "hush"'):
        path.write_text(content)
        with pytest.raises(SettingsError) as caught:
            read_json(str(path))
        assert "hush" not in str(caught.value)
    with pytest.raises(SettingsError, match="No such file"):
        read_json(str(tmp_path / "absent.json"))


def test_what_was_not_given_is_left_out() -> None:
    assert without_absent({"a": None, "b": {"c": None}, "d": 0, "e": False, "f": ""}) == {"d": 0, "e": False, "f": ""}


def test_options_win_over_a_document_object_by_object() -> None:
    document = {"name": "old", "credentials": {"region": "eu-west-1", "roleArn": "r"}}
    options = {"name": "new", "credentials": {"region": "us-east-1"}}
    assert merged(document, options) == {"name": "new", "credentials": {"region": "us-east-1", "roleArn": "r"}}
