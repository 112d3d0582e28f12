"""A record as people read it: the same tokens, over lines, each kind in its colour."""

import re

import msgspec
from markupsafe import Markup, escape

MARKED_MAX = 100_000
"""Characters beyond which a text stays plain."""
_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=\s*:)|(?P<string>"(?:[^"\\]|\\.)*")|(?P<other>\b(?:true|false|null)\b|-?\d[\d.eE+-]*)'
)


def pretty(raw: bytes) -> str:
    """JSON over lines, or as it is if it is none for strict readers. No token is changed."""
    try:
        return msgspec.json.format(raw, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw.decode(errors="replace")


def marked(text: str) -> Markup:
    """JSON with its names, strings and other values marked, as safe markup."""
    if len(text) > MARKED_MAX:
        return escape(text)
    found, at = [], 0
    for token in _TOKEN.finditer(text):
        found += [
            escape(text[at : token.start()]),
            Markup('<span class="{}">{}</span>').format(f"json-{token.lastgroup}", token[0]),
        ]
        at = token.end()
    return Markup("").join([*found, escape(text[at:])])
