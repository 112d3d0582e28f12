"""Which records of a source are forwarded: its filter, compiled."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from trailhook.cloudtrail.event import Event, UserIdentity
from trailhook.cloudtrail.patterns import expression
from trailhook.cloudtrail.records import Passes, document
from trailhook.model import Filter

SHOWN_CHARACTERS = 100
"""Of a field's text, in words about it."""

_Texts = Callable[[Event, bytes], list[str]]

_EVENT_FIELDS = dict(zip(Event.__struct_encode_fields__, Event.__struct_fields__, strict=True))
_USER_FIELDS = dict(zip(UserIdentity.__struct_encode_fields__, UserIdentity.__struct_fields__, strict=True))


def compile_filter(wanted: Filter | None) -> Passes | None:
    """A predicate for `wanted`: every field of `include` matches one of its patterns, no field of `exclude` does.

    `*` stands for any characters, `?` for one; case matters; a pattern matches the whole text. A field that is
    missing or null has the empty text, true and false are those words, a whole number is its digits, and a list matches
    if any of its elements does. None where everything passes.
    """
    if wanted is None or not (wanted.include or wanted.exclude):
        return None
    include = [_matches(path, patterns) for path, patterns in wanted.include.items()]
    exclude = [_matches(path, patterns) for path, patterns in wanted.exclude.items()]
    return lambda event, raw: (
        all(test(event, raw) for test in include) and not any(test(event, raw) for test in exclude)
    )


def explain(wanted: Filter) -> Callable[[Event, bytes], str]:
    """Why a record does not pass, in words; empty if it does. It judges as `compile_filter` does."""
    include = [(path, _matches(path, patterns), _reader(path)) for path, patterns in wanted.include.items()]
    exclude = [(path, _matches(path, patterns), _reader(path)) for path, patterns in wanted.exclude.items()]

    def why(event: Event, raw: bytes) -> str:
        for path, matches, texts in exclude:
            if matches(event, raw):
                return f"exclude names {path} {_shown(texts(event, raw))}"
        for path, matches, texts in include:
            if not matches(event, raw):
                return f"include does not name {path} {_shown(texts(event, raw))}"
        return ""

    return why


def _shown(texts: list[str]) -> str:
    text = ", ".join(texts)
    return f'"{text}"' if len(text) <= SHOWN_CHARACTERS else f'"{text[:SHOWN_CHARACTERS]}…"'


def _matches(path: str, patterns: tuple[str, ...]) -> Passes:
    match = re.compile("|".join(map(expression, patterns)) or "(?!)", re.DOTALL).fullmatch
    texts = _reader(path)
    return lambda event, raw: any(match(text) is not None for text in texts(event, raw))


def _reader(path: str) -> _Texts:
    """How to get the texts at a path: from the fields at hand, or by decoding the record."""
    first, _, rest = path.partition(".")
    if first == "userIdentity" and rest in _USER_FIELDS:
        name = _USER_FIELDS[rest]
        return lambda event, _: [_text(getattr(event.user_identity, name, None))]
    if path in _EVENT_FIELDS and path != "userIdentity":
        name = _EVENT_FIELDS[path]
        return lambda event, _: [_text(getattr(event, name))]
    parts = path.split(".")
    return lambda _, raw: list(_walk(_decoded(raw), parts)) or [""]


def _decoded(raw: bytes) -> Any:
    try:
        return document(raw)
    except (ValueError, RecursionError):
        return None


def _walk(value: Any, parts: list[str]) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _walk(each, parts)
    elif not parts:
        yield _text(value)
    elif isinstance(value, dict):
        yield from _walk(value.get(parts[0]), parts[1:])


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
