"""A query, compiled: which records of a batch it finds, by as little of the batch as can tell.

First the dictionaries of the columns, which most often rule the whole batch out; then the codes, a byte a record;
and only for free text and event ids, the body.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import compress
from typing import Final

import msgspec

from trailhook.cloudtrail.columns import TEXT_COLUMNS, Packed
from trailhook.cloudtrail.patterns import expression
from trailhook.cloudtrail.stretch import SEPARATOR_BYTES
from trailhook.search.grammar import FIELDS, TEXT, Kind, Query, Term, Wanted

REMEMBERED_MAX: Final = 50_000
"""Values of a column whose verdict is remembered from batch to batch: most come again."""
CODES: Final = 256
_READ_ONLY: Final = {"false": 1, "true": 2}

Test = Callable[[str], bool]


class Matcher:
    """Finds what a query asks for. Not for several threads at a time: it remembers what it saw."""

    def __init__(self, query: Query) -> None:
        by_column = {name: [term for term in query.terms if FIELDS.get(term.field) == name] for name in TEXT_COLUMNS}
        self._columns = [_Column(name, terms) for name, terms in by_column.items() if terms]
        self._read_only = [_read_only_table(term) for term in query.terms if term.field == "readOnly"]
        self._texts = [_Text(term) for term in query.terms if term.field == TEXT]
        self._ids = [_Id(term) for term in query.terms if term.field == "eventId"]

    @property
    def reads_bodies(self) -> bool:
        """Whether the columns alone cannot tell."""
        return bool(self._texts or self._ids)

    def positions(self, columns: Packed) -> Sequence[int]:
        """The records that the columns do not rule out, in their order. Most often the dictionaries rule out all."""
        wanted: dict[str, Sequence[int]] = {}
        for column in self._columns:
            codes = column.wanted(columns)
            if not codes:
                return ()
            if len(codes) < len(columns.values(column.name)):
                wanted[column.name] = codes
        flags = int.from_bytes(bytes([1]) * len(columns), "big")
        for name, codes in wanted.items():
            flags &= _flags(columns.codes(name), codes)
        for table in self._read_only:
            flags &= int.from_bytes(columns.read_only_codes.translate(table), "big")
        return list(compress(range(len(columns)), flags.to_bytes(len(columns), "big"))) if flags else ()

    def confirmed(self, body: bytes, starts: Sequence[int], positions: Sequence[int]) -> Sequence[int]:
        """Those of `positions` whose records in the inflated body hold what is searched for in them."""
        lowered = body.lower()
        for text in self._texts:
            positions = text.among(lowered, starts, positions)
        for event_id in self._ids:
            positions = event_id.among(body, lowered, starts, positions)
        return positions


class _Verdicts(dict[str, bool]):
    """Whether a value fits, by the value: tested when it is first asked for."""

    def __init__(self, terms: Sequence[Term]) -> None:
        super().__init__()
        self._tests = [(_any([_test(value) for value in term.values]), term.negated) for term in terms]

    def __missing__(self, value: str) -> bool:
        if len(self) >= REMEMBERED_MAX:
            self.clear()
        verdict = self[value] = all(test(value) is not negated for test, negated in self._tests)
        return verdict


class _Column:
    """All conditions on one column."""

    def __init__(self, name: str, terms: Sequence[Term]) -> None:
        self.name = name
        self._verdicts = _Verdicts(terms)

    def wanted(self, columns: Packed) -> Sequence[int]:
        """The codes of the values that fit."""
        values = columns.values(self.name)
        return list(compress(range(len(values)), map(self._verdicts.__getitem__, values)))


class _Text:
    """Free text: somewhere in the record as CloudTrail wrote it, however letters of ASCII are written."""

    def __init__(self, term: Term) -> None:
        self._needles = [needle for value in term.values for needle in _written(value.text)]
        self._negated = term.negated

    def among(self, lowered: bytes, starts: Sequence[int], positions: Sequence[int]) -> Sequence[int]:
        needles = [needle for needle in self._needles if needle in lowered]
        if not needles:
            return positions if self._negated else ()
        return [
            place
            for place in positions
            if _holds(lowered, needles, starts[place], starts[place + 1] - SEPARATOR_BYTES) is not self._negated
        ]


class _Identity(msgspec.Struct):
    """A record's eventID, in its long or its short form."""

    event_id: str | None = msgspec.field(default=None, name="eventID")
    short: str | None = msgspec.field(default=None, name="eventId")


_IDENTITY: Final = msgspec.json.Decoder(_Identity)


class _Id:
    """A condition on the eventID, which no column holds."""

    def __init__(self, term: Term) -> None:
        self._test = _any([_test(value) for value in term.values])
        self._negated = term.negated
        parts = [max(re.split(r"[*?]", value.text), key=len).lower().encode() for value in term.values]
        self._parts = () if term.negated else parts

    def among(self, body: bytes, lowered: bytes, starts: Sequence[int], positions: Sequence[int]) -> Sequence[int]:
        if self._parts and not any(part in lowered for part in self._parts):
            return ()
        return [place for place in positions if self._fits(body, lowered, starts[place], starts[place + 1])]

    def _fits(self, body: bytes, lowered: bytes, start: int, after: int) -> bool:
        end = after - SEPARATOR_BYTES
        if self._parts and not _holds(lowered, self._parts, start, end):
            return False
        try:
            found = _IDENTITY.decode(body[start:end])
        except msgspec.DecodeError:  # a record that only lenient readers take
            found = _Identity()
        return self._test(found.event_id or found.short or "") is not self._negated


def _holds(lowered: bytes, needles: Iterable[bytes], start: int, end: int) -> bool:
    return any(lowered.find(needle, start, end) >= 0 for needle in needles)


def _written(text: str) -> set[bytes]:
    """The ways in which JSON may write a text, and the text as it is, in small letters."""
    cases = {text, text.lower(), text.upper()}
    forms = {json.dumps(case, ensure_ascii=ascii_only)[1:-1] for case in cases for ascii_only in (True, False)}
    return {form.encode(errors="surrogatepass").lower() for form in forms | cases}


def _flags(codes: Sequence[int], wanted: Sequence[int]) -> int:
    """A byte for each record, 1 where its code is wanted, as one number: they are joined by `&`."""
    if isinstance(codes, bytes):
        table = bytearray(CODES)
        for code in wanted:
            table[code] = 1
        return int.from_bytes(codes.translate(table), "big")
    fit = frozenset(wanted)
    return int.from_bytes(bytes([code in fit for code in codes]), "big")


def _read_only_table(term: Term) -> bytes:
    fit = {_READ_ONLY[value.text.lower()] for value in term.values}
    return bytes([(code in fit) is not term.negated for code in range(CODES)])


def _any(tests: Sequence[Test]) -> Test:
    """Nothing fits a field that is missing."""
    return lambda text: text != "" and any(test(text) for test in tests)


def _test(value: Wanted) -> Test:
    match value.kind:
        case Kind.NETWORK:
            network = ip_network(value.text, strict=False)
            return lambda text: (address := _address(text)) is not None and address in network
        case Kind.EXACT:
            exact = value.text.casefold()
            return lambda text: text.casefold() == exact
        case Kind.PATTERN:
            found = re.compile(expression(value.text), re.DOTALL | re.IGNORECASE)
            return lambda text: found.fullmatch(text) is not None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
