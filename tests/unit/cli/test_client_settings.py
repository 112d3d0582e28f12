"""Where the client looks, and with which token."""

from pathlib import Path

import pytest

from trailhook.cli.client import Unreachable, from_environment


def test_it_looks_on_this_machine_unless_told_otherwise() -> None:
    assert from_environment({}).url == "http://127.0.0.1:8080"
    assert from_environment({"TRAILHOOK_URL": "https://th.example.com/base/"}).url == "https://th.example.com/base"


def test_the_token_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("th_file\n")
    assert from_environment({"TRAILHOOK_API_TOKEN": "th_env"}).token == "th_env"
    assert from_environment({"TRAILHOOK_API_TOKEN_FILE": str(file)}).token == "th_file"
    with pytest.raises(Unreachable, match="TRAILHOOK_API_TOKEN_FILE"):
        from_environment({"TRAILHOOK_API_TOKEN_FILE": str(tmp_path / "absent")})


@pytest.mark.parametrize("url", ["th.example.com", "ftp://x", "http://", "http://x:99999", "file:///etc/passwd"])
def test_a_url_that_is_none_is_refused_by_its_settings_name(url: str) -> None:
    with pytest.raises(Unreachable, match="TRAILHOOK_URL"):
        from_environment({"TRAILHOOK_URL": url})


def test_a_token_that_would_break_out_of_its_header_is_refused_unshown() -> None:
    with pytest.raises(Unreachable) as caught:
        from_environment({"TRAILHOOK_API_TOKEN": "a\r\nx-evil: 1"})
    assert "evil" not in str(caught.value)


def test_the_token_is_never_in_its_representation() -> None:
    assert "th_env" not in repr(from_environment({"TRAILHOOK_API_TOKEN": "th_env"}))
