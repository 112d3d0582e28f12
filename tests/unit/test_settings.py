"""Where settings come from, and that a wrong one is refused by its name, in words that help, without its value."""

from pathlib import Path

import pytest

from trailhook.errors import SettingsError
from trailhook.settings import Settings, load, shown

CANARY = "canary-canary-canary"


def refused(environ: dict[str, str], config: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load({"TRAILHOOK_CONFIG": "/dev/null", **environ}, config=config)
    assert CANARY not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", CANARY, "a whole number"),
        ("PORT", "65536", "from 0 to 65,535"),
        ("LEDGER_DAYS", "44", "from 45 to 3,650"),
        ("LOOK_BACK_S", CANARY, "a number"),
        ("LOOK_BACK_S", "nan", "a number"),
        ("LOOK_BACK_S", "inf", "a number"),
        ("LOOK_BACK_S", "-1", "at least 0"),
        ("ALLOW_HTTP_CALLBACKS", CANARY, "true or false"),
        ("STORE_EVENTS", CANARY, "one of full, metadata"),
        ("LOG_LEVEL", "TRACE", "one of DEBUG, INFO, WARNING, ERROR"),
        ("HOST", "0.0.0.0", "TRAILHOOK_BEHIND_PROXY"),
        ("TLS_CERT", "/tmp/cert.pem", "TRAILHOOK_TLS_KEY"),
        ("API_TOKEN", "short", "20 or more"),
        ("API_TOKEN", f"{CANARY} {CANARY}", "20 or more"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name_and_not_shown(name: str, value: str, words: str) -> None:
    message = refused({f"TRAILHOOK_{name}": value})
    assert (f"TRAILHOOK_{name}" in message, words in message) == (True, True), message


def test_every_unknown_name_is_told_with_the_one_that_was_meant() -> None:
    message = refused({"TRAILHOOK_PORTT": CANARY, "TRAILHOOK_ZZZ": CANARY})
    assert message == "TRAILHOOK_PORTT, TRAILHOOK_ZZZ are not settings of Trailhook; is TRAILHOOK_PORT meant?"
    assert refused({"TRAILHOOK_ZZZ": CANARY}) == "TRAILHOOK_ZZZ is not a setting of Trailhook"


def test_the_clients_and_the_tests_names_are_left_alone() -> None:
    known = {"TRAILHOOK_URL": "x", "TRAILHOOK_REAL_DATA": "x", "TRAILHOOK_TEST_ANYTHING": "x", "UNRELATED": "x"}
    assert load({"TRAILHOOK_CONFIG": "/dev/null", **known}) == Settings()


def test_a_setting_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{CANARY}\n")
    assert load({"TRAILHOOK_CONFIG": "/dev/null", "TRAILHOOK_API_TOKEN_FILE": str(secret)}).api_token == CANARY
    secret.write_text("\n")
    assert refused({"TRAILHOOK_API_TOKEN_FILE": str(secret)}) == "TRAILHOOK_API_TOKEN_FILE names a file that is empty"
    assert "No such file" in refused({"TRAILHOOK_API_TOKEN_FILE": str(tmp_path / "absent")})


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "trailhook.toml"
    config.write_text('port = 1\nhost = "localhost"\nallow_callback_hosts = ["a:1", "b"]\n')
    settings = load({"TRAILHOOK_PORT": "2"}, config=config)
    assert (settings.port, settings.host, settings.allow_callback_hosts) == (2, "localhost", ("a:1", "b"))


@pytest.mark.parametrize(
    ("content", "words"),
    [("port = \n", "line 1"), ("prot = 1", "is TRAILHOOK_PORT meant?"), ('port = "x"', "whole number")],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path: Path, content: str, words: str) -> None:
    config = tmp_path / "trailhook.toml"
    config.write_text(content)
    assert words in refused({}, config)


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    assert "absent.toml" in refused({"TRAILHOOK_CONFIG": str(tmp_path / "absent.toml")})


def test_secrets_are_never_shown() -> None:
    settings = Settings(api_token=CANARY, master_keys=f"k:{CANARY}", mongodb_url=f"mongodb://u:{CANARY}@h")
    assert CANARY not in str(shown(settings))
    assert shown(settings)["port"] == "8080"
