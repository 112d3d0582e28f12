"""Records on a page: every token as it was, and nothing of them is markup."""

import html
import re

import pytest

from trailhook.web.records import MARKED_MAX, marked, pretty


def shown(raw: bytes) -> str:
    """What somebody would copy."""
    return html.unescape(re.sub(r"</?span[^>]*>", "", str(marked(pretty(raw)))))


def test_a_record_is_laid_out_without_changing_a_token() -> None:
    raw = b'{"a":1.50e3,"b":"\\u00e9<b>&","c":[true,null,-0.0],"a":12345678901234567890}'
    text = shown(raw)
    assert re.sub(r"\n *| (?=[^ ])", "", text) == raw.decode()
    assert text.count("\n") > 6


def test_names_texts_and_values_are_told_apart_and_markup_is_text() -> None:
    text = str(marked('{"<i>": "a \\" : </span>", "n": null}'))
    assert '<span class="json-key">&#34;&lt;i&gt;&#34;</span>' in text
    assert '<span class="json-string">&#34;a \\&#34; : &lt;/span&gt;&#34;</span>' in text
    assert '<span class="json-other">null</span>' in text


@pytest.mark.parametrize("raw", [b"not json <", b'{"a":"\\ud800"}', b'{"a":"\xff"}', b"[" * 5_000])
def test_what_strict_readers_refuse_is_shown_as_it_is(raw: bytes) -> None:
    assert shown(raw) == raw.decode(errors="replace")


def test_what_is_long_stays_plain() -> None:
    assert "<span" not in marked("1 " * MARKED_MAX)
