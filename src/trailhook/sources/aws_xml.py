"""Reading the XML that AWS answers with: small, flat, and never trusted with a document type or an entity."""

from collections.abc import Callable
from xml.parsers import expat

Leaf = Callable[[str, str, str], None]
"""Called with (parent, tag, text) when an element ends. Names have no namespace."""


class UnreadableXml(ValueError):
    """Not XML, or XML that no AWS service writes."""


def read_xml(body: bytes, on_end: Leaf) -> None:
    """Call `on_end` for every element, inner ones first. Builds no tree. Raises `UnreadableXml`."""
    path = [""]
    text: list[str] = []

    def start(tag: str, _attributes: object) -> None:
        path.append(tag)
        text.clear()

    def end(tag: str) -> None:
        path.pop()
        on_end(path[-1], tag, "".join(text))
        text.clear()

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise UnreadableXml(expat.ErrorString(error.code)) from error


def leaf_texts(body: bytes) -> dict[str, str]:
    """The first text of each element by its tag: enough for answers that repeat nothing. Raises `UnreadableXml`."""
    texts: dict[str, str] = {}

    def on_end(_parent: str, tag: str, text: str) -> None:
        texts.setdefault(tag, text)

    read_xml(body, on_end)
    return texts


def _refuse(*_declaration: object) -> None:
    raise UnreadableXml("it declares a document type")
