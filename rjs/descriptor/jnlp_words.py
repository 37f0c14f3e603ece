"""Collecting what is wrong in a JNLP file, each with its line, and what becomes of elements that no job can have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from rjs.bundle.names import shown
from rjs.descriptor.mistakes import Listed
from rjs.descriptor.xml_tree import Element

REFUSED: Final[Mapping[str, str]] = {
    "applet-desc": "a job is a program of its own: use application-desc",
    "component-desc": "a job is a program of its own: use application-desc",
    "installer-desc": "a job installs nothing: use application-desc",
    "javafx-desc": "a job has no window: use application-desc",
    "extension": "name its JARs with jar and nativelib, signed by the same key",
    "package": "all JARs are there before a task starts; remove it",
    "update": "a job is what was signed, nothing newer; remove it",
    "progress-class": "nobody watches; remove it",
    "param": "use argument",
}
"""Elements and attributes of JNLP that jobs cannot have, each with what to do instead."""


class JnlpMistakes:
    """What is wrong in a JNLP file, each with its line."""

    def __init__(self) -> None:
        self._listed = Listed()

    @property
    def found(self) -> list[str]:
        """The mistakes, from top to bottom."""
        return self._listed.sentences()

    def add(self, element: Element, sentence: str) -> None:
        """Note what is wrong with ``element``."""
        self._listed.add(element.line, sentence)

    def check(
        self, element: Element, attributes: Collection[str], children: Collection[str], *, text: bool = False
    ) -> None:
        """Note every attribute, child and text that ``element`` may not have."""
        for name in element.attributes:
            if name not in attributes:
                self.add(
                    element, f"{element.name} cannot have the attribute {self._unknown(name, attributes)}"
                )
        for child in element.children:
            if child.name not in children:
                self.add(
                    child, f"{element.name} cannot have the element {self._unknown(child.name, children)}"
                )
        if not text and element.text.strip():
            self.add(element, f"{element.name} has text in it, which means nothing; remove it")

    def _unknown(self, name: str, known: Collection[str]) -> str:
        if name in REFUSED:
            return f"{name}: {REFUSED[name]}"
        near = self._listed.nearest(name, known)
        return f"{shown(name)}; " + (f"did you mean {near}?" if near else "remove it")
