"""Values taken out of records before they are frozen: by path, and nothing else of a record is touched.

Records are never written anew, so a redaction cuts out the bytes of a value and puts a text in their place. The key in
the ledger stays the original's: what is redacted later, or no more, is still the same event.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from trailhook.cloudtrail.records import event_of
from trailhook.cloudtrail.stretch import Stretch, searched

T = TypeVar("T")

REDACTED: Final = b'"[redacted]"'
"""What stands in the place of a value, whatever it was."""
ANY_NAME: Final = b"*"
_ESCAPE: Final = b"\\u"
"""A name may be written with such escapes, and is then not found by its bytes."""

Redact = Callable[[bytes], bytes]

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_STEP: Final = re.compile(
    rb"[\s,]*+(?:(%b)\s*+:\s*+)?+(?:([{\[])|([}\]])|(%b|[^\s,}\]]++))" % (_STRING, _STRING), re.DOTALL
)
"""From one value to the next inside an object or a list, or to its end. A text is a name where a colon follows."""
_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|%b)*+([{}\[\]])' % _STRING, re.DOTALL)


class _Node(msgspec.Struct, gc=False):
    """What is looked for inside a value, by name. A leaf is what is taken out."""

    below: dict[bytes, "_Node"] = {}
    leaf: bool = False


def redacted(stretch: Stretch, redact: Redact | None) -> Stretch:
    """The records as a source's filter lets them go out. The fields that are searched by are those of the redacted
    record; its key is not.
    """
    if redact is None:
        return stretch
    raws = stretch.raws()
    after = list(map(redact, raws))
    changed = [place for place, raw in enumerate(raws) if after[place] is not raw]
    if not changed:
        return stretch
    read_only, texts_after = searched([event_of(after[place]) for place in changed])
    return replace(
        stretch.written(after),
        read_only=_with(stretch.read_only, changed, read_only),
        texts=[_with(texts, changed, found) for texts, found in zip(stretch.texts, texts_after, strict=True)],
    )


def _with(values: Sequence[T], places: Sequence[int], others: Iterable[T]) -> list[T]:
    """The values, but other ones at some places."""
    changed = list(values)
    for place, other in zip(places, others, strict=True):
        changed[place] = other
    return changed


def compile_redaction(paths: Sequence[str]) -> Redact | None:
    """What redacts a record's bytes: `userIdentity.accessKeyId` names a value, `*` stands for any one name, and lists
    are gone through element by element. None where there is nothing to redact; the same bytes where nothing is found.

    Every value at a path is replaced by `REDACTED`, an object or a list as a whole, and so is each of several of one
    name; names are compared as they are meant, however they are escaped. All other bytes stay.
    """
    tree = _tree(paths)
    signs = _signs(paths)
    return (lambda raw: _redacted(raw, tree, signs)) if paths else None


def _tree(paths: Iterable[str]) -> _Node:
    tree = _Node()
    for path in paths:
        node = tree
        for name in path.split("."):
            node = node.below.setdefault(name.encode(), _Node())
        node.leaf = True
    return tree


def _signs(paths: Iterable[str]) -> Sequence[bytes]:
    """Texts of which a record has at least one if there is anything to redact in it."""
    names = [[each for each in path.encode().split(b".") if each != ANY_NAME] for path in paths]
    return [_ESCAPE, *(b'"%b"' % each[-1] if each else b"" for each in names)]


def _redacted(raw: bytes, tree: _Node, signs: Sequence[bytes]) -> bytes:
    if not any(sign in raw for sign in signs):
        return raw
    pieces: list[bytes] = []
    done = 0
    for start, end in _spans(raw, tree):
        pieces += (raw[done:start], REDACTED)
        done = end
    return b"".join([*pieces, raw[done:]]) if pieces else raw


def _spans(raw: bytes, tree: _Node) -> Iterator[tuple[int, int]]:
    """Where the values to take out stand in a record, in their order. `raw` is known to be good JSON."""
    inside: list[list[_Node]] = [[tree]]
    at = 0
    while step := _STEP.match(raw, at):
        at = step.end()
        name, opens, closes, _ = step.groups()
        if closes:
            inside.pop()
            if len(inside) == 1:
                return
            continue
        nodes = inside[-1] if name is None else _below(inside[-1], name)
        leaf = any(node.leaf for node in nodes)
        if opens and nodes and not leaf:
            inside.append(nodes)
        elif opens:
            at = _end(raw, at)
        if leaf:
            yield step.start(2 if opens else 4), at


def _below(nodes: list[_Node], written: bytes) -> list[_Node]:
    """What is looked for in the value of this name."""
    name = json.loads(written).encode(errors="surrogatepass") if b"\\" in written else written[1:-1]
    found = [node.below.get(each) for node in nodes for each in (name, ANY_NAME)]
    return [each for each in found if each is not None]


def _end(raw: bytes, at: int) -> int:
    """Where the object or list ends that was opened right before `at`."""
    depth = 1
    while depth and (bracket := _BRACKET.match(raw, at)):
        depth += 1 if bracket[1] in b"{[" else -1
        at = bracket.end()
    return at
