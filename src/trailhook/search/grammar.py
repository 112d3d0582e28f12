"""What a person types, as a `Query`. The grammar is told in docs/searching.md, whose examples are run by a test.

query  = { [AND] term }
term   = [ "-" | NOT ] ( field ":" value { "," value } | text )
value  = pattern (`*` any characters, `?` one) | quoted | a network, of `ip` only
text   = word | quoted
quoted = '"' characters, with backslash before a quote or a backslash, '"'
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from ipaddress import ip_network
from typing import Final, NoReturn

from trailhook.errors import TrailhookError
from trailhook.model import Value

CHARACTERS_MAX: Final = 1_000
TERMS_MAX: Final = 30
VALUES_MAX: Final = 100


class NotUnderstood(TrailhookError):
    """A query that is none. `place` is the character (from 1) where it went wrong; the message repeats no input."""

    def __init__(self, place: int, message: str) -> None:
        super().__init__(message)
        self.place = place


class Kind(StrEnum):
    """How a value is compared."""

    PATTERN = "pattern"
    EXACT = "exact"
    NETWORK = "network"


class Wanted(Value, frozen=True, kw_only=True):
    """One value that would do."""

    text: str
    kind: Kind = Kind.PATTERN


class Term(Value, frozen=True, kw_only=True):
    """A condition: some value of `values` fits the field. `TEXT` stands for the whole record."""

    field: str
    values: tuple[Wanted, ...]
    negated: bool = False


class Query(Value, frozen=True, kw_only=True):
    """Terms that all hold for an event. None: every event."""

    terms: tuple[Term, ...] = ()

    def also(self, *terms: Term) -> "Query":
        """A query that asks for these, too."""
        return Query(terms=self.terms + terms)


TEXT: Final = "text"
FIELDS: Final = {
    "eventName": "name",
    "eventSource": "service",
    "user": "user",
    "ip": "ip",
    "errorCode": "error",
    "account": "account",
    "region": "region",
    "readOnly": "readOnly",
    "eventId": "eventId",
}
"""Fields as they are written, with the columns (`cloudtrail.columns`) that hold them; the last two have none."""
ALIASES: Final = {
    "userIdentity.arn": "user",
    "sourceIPAddress": "ip",
    "awsRegion": "region",
    "recipientAccountId": "account",
}
"""CloudTrail's own names for some of them."""
_KNOWN: Final = {name.lower(): name for name in FIELDS} | {name.lower(): field for name, field in ALIASES.items()}
_WORDS: Final = frozenset({"AND", "OR", "NOT"})
_TRUTH: Final = frozenset({"true", "false"})

_SPACE = re.compile(r"\s*")
_FIELD = re.compile(r"([A-Za-z][A-Za-z.]*):")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"', re.DOTALL)
_BARE = re.compile(r'[^\s,"]+')
_WORD = re.compile(r'[^\s"]+')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def parse(text: str) -> Query:
    """The query. Raises `NotUnderstood`, which names the place and what is expected there."""
    if len(text) > CHARACTERS_MAX:
        _refuse(CHARACTERS_MAX, f"a query has at most {CHARACTERS_MAX:,} characters")
    terms = tuple(_Reader(text).terms())
    if len(terms) > TERMS_MAX:
        _refuse(len(text), f"a query has at most {TERMS_MAX} terms")
    return Query(terms=terms)


def term(field: str, values: str) -> Term:
    """What `field:values` says, where the field is given by itself. Raises `NotUnderstood`."""
    reader = _Reader(values)
    found = Term(field=field, values=reader.values(field))
    reader.end()
    return found


class _Reader:
    """Reads from left to right and never goes back."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def terms(self) -> Iterator[Term]:
        while self._more():
            if self._word("AND"):
                continue
            negated = self._negated()
            yield self._term().but(negated=negated)

    def values(self, field: str) -> tuple[Wanted, ...]:
        found = [self._value(field)]
        while self._take(","):
            found.append(self._value(field))
        if len(found) > VALUES_MAX:
            self._refuse(f"a field takes at most {VALUES_MAX} values")
        return tuple(found)

    def end(self) -> None:
        if self._more():
            self._refuse("a value with blanks is written in quotes")

    def _negated(self) -> bool:
        if not (self._take("-") or self._word("NOT")):
            return False
        if not self._more():
            self._refuse("nothing follows the negation")
        return True

    def _term(self) -> Term:
        if self._text[self._at] == '"':
            return Term(field=TEXT, values=(self._quoted(),))
        named = _FIELD.match(self._text, self._at)
        if named is None:
            return Term(field=TEXT, values=(self._bare_text(),))
        field = _KNOWN.get(named[1].lower())
        if field is None:
            self._refuse(f"this is no field; fields are {', '.join(FIELDS)}, and text with a colon is quoted")
        self._at = named.end()
        return Term(field=field, values=self.values(field))

    def _value(self, field: str) -> Wanted:
        start = self._at
        value = self._quoted() if self._text[start : start + 1] == '"' else self._pattern()
        problem = _problem(field, value)
        if problem:
            _refuse(start + 1, problem)
        return value.but(kind=Kind.NETWORK) if field == "ip" and "/" in value.text else value

    def _pattern(self) -> Wanted:
        found = _BARE.match(self._text, self._at)
        if found is None:
            self._refuse("a value is missing; -errorCode:* finds the events that have none")
        if found[0].startswith("("):
            self._refuse("there are no parentheses: values of a field are written eventName:one,other")
        self._at = found.end()
        return Wanted(text=found[0])

    def _quoted(self) -> Wanted:
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            self._refuse('the quotes are not closed, or hold a backslash that is neither \\" nor \\\\')
        if not found[1]:
            self._refuse("there is nothing between the quotes")
        self._at = found.end()
        return Wanted(text=_ESCAPE.sub(r"\1", found[1]), kind=Kind.EXACT)

    def _bare_text(self) -> Wanted:
        found = _WORD.match(self._text, self._at)
        if found is None or found[0] in _WORDS:
            self._refuse("terms are joined by AND only: values of a field are written eventName:one,other")
        if "*" in found[0]:
            self._refuse("a pattern needs a field, as in eventName:Get*; a text with a star is quoted")
        self._at = found.end()
        return Wanted(text=found[0], kind=Kind.EXACT)

    def _more(self) -> bool:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._at < len(self._text)

    def _take(self, character: str) -> bool:
        taken = self._text.startswith(character, self._at)
        self._at += taken
        return taken

    def _word(self, word: str) -> bool:
        found = re.compile(rf"{word}(?=\s|$)").match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found is not None

    def _refuse(self, message: str) -> NoReturn:
        _refuse(self._at + 1, message)


def _refuse(place: int, message: str) -> NoReturn:
    raise NotUnderstood(place, message)


def _problem(field: str, value: Wanted) -> str:
    """What is wrong with a value of this field; empty for nothing."""
    if field == "readOnly" and value.text.lower() not in _TRUTH:
        return "readOnly is true or false"
    if field == "ip" and "/" in value.text and not _is_network(value.text):
        return "this is no network; one looks like 10.0.0.0/8 or 2001:db8::/32"
    return ""


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
