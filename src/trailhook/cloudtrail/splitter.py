"""Cut `{"Records":[…]}` into its elements, byte for byte, from bytes that come in pieces.

It knows just enough JSON to never cut wrongly: strings, escapes and brackets. What is inside an element is not its
business, so an element that is no good JSON costs its neighbours nothing. It does not recurse, and it holds one
piece and one element at a time.

Most of the time it does not look at the bytes itself. At the start of an element it takes everything up to some
later `},{`, closes it to a JSON list and lets the fast decoder try: if that is a list, the cut was right, because
what comes before a cut decides alone whether the cut lies in a string, or how deep. If it is not, it tries a
shorter stretch, and at last takes one element by its own means.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from trailhook.errors import Invalid

BOM: Final = b"\xef\xbb\xbf"
_NAME = "Records"
_KEY_BYTES_MAX = 256
"""A longer key is not ours, however its characters are escaped."""
_STRETCH_BYTES_MIN = 8 * 1024
_STRETCH_BYTES_MAX = 4 * 1024 * 1024
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])

_SEAM: Final = b"},{"
_SPACE: Final = re.compile(rb"[ \t\n\r]*+")
_REST_OF_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_UP_TO_BRACKET: Final = re.compile(
    rb"""[^"{}\[\]]*+ (?: "(?:[^"\\]++|\\.)*+"  [^"{}\[\]]*+ )*+""", re.DOTALL | re.VERBOSE
)
_OPENING: Final = re.compile(rb"[{\[]++")
_CLOSING: Final = re.compile(rb"[}\]]++")
_SCALAR: Final = re.compile(rb'[^ \t\n\r,:"{}\[\]]*+')


def split(pieces: Iterable[bytes], *, element_bytes_max: int) -> Iterator[list[bytes]]:
    """Yield the elements of every top-level `Records`, in order, some at a time.

    An element longer than `element_bytes_max` may come cut off one byte after that, so that its length still tells.
    Raises `Invalid`, possibly after elements were yielded: `not_json`, `no_records`, `records_not_a_list`. Only the
    end proves the whole.
    """
    window = _Window(pieces)
    window.skip_bom()
    if window.peek() == b"[":
        raise _no_records()
    window.take(b"{")
    found = False
    if window.peek() == b"}":
        window.take(b"}")
    else:
        end = b","
        while end == b",":
            name = _name(window)
            window.take(b":")
            if name == _NAME:
                found = True
                yield from _elements(window, element_bytes_max)
            else:
                window.value(bytes_max=0)
            end = window.take(b",}")
    if window.peek():
        raise _not_json("something follows the end of the JSON")
    if not found:
        raise _no_records()


def _name(window: "_Window") -> str:
    if window.peek() != b'"':
        raise _not_json("a key is missing")
    key = window.value(bytes_max=_KEY_BYTES_MAX + 1)
    if len(key) > _KEY_BYTES_MAX:
        return ""
    try:
        return str(json.loads(key))
    except ValueError as error:
        raise _not_json("a key is no JSON") from error


def _elements(window: "_Window", element_bytes_max: int) -> Iterator[list[bytes]]:
    if window.peek() != b"[":
        raise Invalid("records_not_a_list", "Records is not a list")
    window.take(b"[")
    if window.peek() == b"]":
        window.take(b"]")
        return
    end = b","
    while end == b",":
        if many := window.stretch():
            yield many
        else:
            yield [window.value(bytes_max=element_bytes_max + 1)]
            end = window.take(b",]")


class _Window:
    """The piece at hand. `_at` is how far it has been consumed; reading on forgets what lies before.

    While a value is being consumed, `_kept` has its bytes from earlier pieces and `_from` where it starts in this one.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._bytes = b""
        self._at = 0
        self._kept = bytearray()
        self._from = 0
        self._keep_bytes_max = 0
        self._stretch_bytes = _STRETCH_BYTES_MAX
        self._seam = -1
        """The first `},{` at or after `_at`, the end of the piece if there is none; stale where it lies before."""
        self._hopeless_to = 0
        """A stretch that ends here has failed, so that none is tried before: each byte is tried a few times only."""

    def skip_bom(self) -> None:
        while len(self._bytes) < len(BOM) and self._more():
            pass
        if self._bytes.startswith(BOM):
            self._at = len(BOM)

    def peek(self) -> bytes:
        """The next byte that is no white space, which is passed over; `b""` at the end."""
        while True:
            self._pass(_SPACE)
            if byte := self._bytes[self._at : self._at + 1]:
                return byte
            if not self._more():
                return b""

    def take(self, expected: bytes) -> bytes:
        """Consume the next byte, which must be one of `expected`."""
        byte = self.peek()
        if not byte or byte not in expected:
            raise _not_json(f"{' or '.join(expected.decode())} is missing")
        self._at += 1
        return byte

    def value(self, *, bytes_max: int) -> bytes:
        """Consume a value and return its first `bytes_max` bytes."""
        first = self.peek()
        self._kept.clear()
        self._from, self._keep_bytes_max = self._at, bytes_max
        if first == b'"':
            self._at += 1
            self._pass_string()
        elif first in (b"{", b"["):
            self._pass_nest()
        else:
            self._pass_scalar()
        self._keep()
        self._keep_bytes_max = 0
        return bytes(self._kept)

    def stretch(self) -> list[bytes]:
        """Consume several elements and the comma behind them at once; empty if that cannot be done here."""
        while self._at >= self._hopeless_to and (end := self._last_seam()) is not None:
            try:
                elements = _LIST.decode(b"[%b]" % self._bytes[self._at : end + 1])
            except (msgspec.MsgspecError, RecursionError):
                if self._stretch_bytes == _STRETCH_BYTES_MIN:
                    self._hopeless_to = end
                    break
                self._stretch_bytes = max(self._stretch_bytes // 4, _STRETCH_BYTES_MIN)
            else:
                self._stretch_bytes = min(self._stretch_bytes * 4, _STRETCH_BYTES_MAX)
                self._at = end + 2
                return [bytes(each) for each in elements]
        return []

    def _last_seam(self) -> int | None:
        """Where the last `},{` of the stretch is, else the first one behind it, else None."""
        if self._seam < self._at:
            found = self._bytes.find(_SEAM, self._at)
            self._seam = found if found >= 0 else len(self._bytes)
        if self._seam == len(self._bytes):
            return None
        return max(self._seam, self._bytes.rfind(_SEAM, self._at, self._at + self._stretch_bytes))

    def _pass(self, pattern: re.Pattern[bytes]) -> None:
        """Consume what `pattern` matches, which may be nothing."""
        match = pattern.match(self._bytes, self._at)
        self._at = match.end() if match else self._at

    def _pass_string(self) -> None:
        """Consume the rest of a string and its closing quote."""
        self._pass(_REST_OF_STRING)
        while self._bytes[self._at : self._at + 1] != b'"':
            self._must_more()
            self._pass(_REST_OF_STRING)
        self._at += 1

    def _pass_nest(self) -> None:
        """Consume an object or a list: brackets are counted, not told apart, for that is the decoder's to judge."""
        depth = 0
        while True:
            self._pass(_UP_TO_BRACKET)
            byte = self._bytes[self._at : self._at + 1]
            started = self._at
            if not byte:
                self._must_more()
            elif byte == b'"':
                self._at += 1
                self._pass_string()
            elif byte in b"{[":
                self._pass(_OPENING)
                depth += self._at - started
            else:
                self._pass(_CLOSING)
                depth -= self._at - started
                if depth <= 0:
                    self._at += depth
                    return

    def _pass_scalar(self) -> None:
        started = self._at
        self._pass(_SCALAR)
        if self._at == started:
            raise _not_json("a value is missing")
        while self._at == len(self._bytes) and self._more():
            self._pass(_SCALAR)

    def _must_more(self) -> None:
        if not self._more():
            raise _not_json("it ends before its end")

    def _more(self) -> bool:
        """Read on; False at the end. At most the last few bytes of a piece are still to be consumed by then."""
        self._keep()
        piece = next(self._pieces, None)
        if piece is None:
            return False
        self._bytes = self._bytes[self._at :] + piece
        self._hopeless_to = max(0, self._hopeless_to - self._at)
        self._at = self._from = 0
        self._seam = -1
        return True

    def _keep(self) -> None:
        room = max(0, self._keep_bytes_max - len(self._kept))
        self._kept += self._bytes[self._from : min(self._at, self._from + room)]
        self._from = self._at


def _not_json(detail: str) -> Invalid:
    return Invalid("not_json", f"the file is no whole JSON: {detail}")


def _no_records() -> Invalid:
    return Invalid("no_records", "the file has no Records")
