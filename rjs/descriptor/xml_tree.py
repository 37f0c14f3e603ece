"""A small XML document of somebody unknown, as a tree with line numbers. Code that must be read twice.

Strict where XML is dangerous: UTF-8 only, no DOCTYPE (and so no entities but the five that XML has), no processing
instructions, no namespaces, and every size has a cap. Refuses to know what any element means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NoReturn
from xml.parsers import expat

import attrs

from rjs import limits


class XmlRefusedError(Exception):
    """The document is no XML that we read; the message says on which line, and why."""


@attrs.define
class Element:
    """An element. ``text`` is all text directly in it; ``line`` is where its tag begins, from 1."""

    name: str
    attributes: Mapping[str, str]
    line: int
    text: str = ""
    children: list[Element] = attrs.field(factory=list)

    def named(self, name: str) -> Iterator[Element]:
        """Its children of that name, in order."""
        return (child for child in self.children if child.name == name)


def read_tree(xml: bytes) -> Element:
    """The root element of ``xml``. Raises XmlRefusedError at the first thing that is not as it must be."""
    if len(xml) > limits.MAX_DESCRIPTOR_BYTES:
        raise XmlRefusedError(f"it is larger than {limits.MAX_DESCRIPTOR_BYTES} bytes; shorten it")
    try:
        xml.decode("utf-8")
    except UnicodeDecodeError:
        raise XmlRefusedError("it is not UTF-8; save it in this encoding") from None
    reader = _Reader()
    try:
        reader.parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise XmlRefusedError(
            f"line {error.lineno}: it is not XML: {expat.ErrorString(error.code)}"
        ) from None
    assert reader.root is not None, "expat accepts no document without an element"
    return reader.root


class _Reader:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._elements = 0
        self.parser = parser = expat.ParserCreate("utf-8")  # whatever the document says of itself
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype  # before anything in it: no entity is ever declared
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() != "utf-8":
            self._refuse("it declares another encoding than UTF-8; save it in that one")

    def _doctype(self, name: str, system: str | None, public: str | None, has_internal_subset: int) -> None:
        self._refuse("DOCTYPE is not allowed; remove it")

    def _instruction(self, target: str, data: str) -> None:
        self._refuse("processing instructions (<?...?>) are not allowed; remove them")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > limits.MAX_XML_ELEMENTS:
            self._refuse(f"there are more than {limits.MAX_XML_ELEMENTS} elements")
        if len(self._open) >= limits.MAX_XML_DEPTH:
            self._refuse(f"elements are nested deeper than {limits.MAX_XML_DEPTH}")
        if len(attributes) > limits.MAX_XML_ATTRIBUTES:
            self._refuse(f"an element has more than {limits.MAX_XML_ATTRIBUTES} attributes")
        for word in (name, *attributes):
            if ":" in word or word == "xmlns":
                self._refuse("namespaces are not allowed; remove the prefixes and xmlns")
            self._check_size(word)
        for value in attributes.values():
            self._check_size(value)
        element = Element(name, attributes, self.parser.CurrentLineNumber)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, name: str) -> None:
        self._open.pop()

    def _text(self, data: str) -> None:
        element = self._open[-1]
        element.text += data
        self._check_size(element.text)

    def _check_size(self, text: str) -> None:
        if len(text) > limits.MAX_XML_TEXT:
            self._refuse(f"a name, value or text is longer than {limits.MAX_XML_TEXT} characters")

    def _refuse(self, reason: str) -> NoReturn:
        raise XmlRefusedError(f"line {self.parser.CurrentLineNumber}: {reason}")
