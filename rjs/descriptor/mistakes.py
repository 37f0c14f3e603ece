"""What is wrong with a descriptor: collected, so that a person mends it in one go."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final

from rjs import limits
from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.toml_lines import Path

_COMPARED: Final = 64
"""Characters of a name that are compared with those known: each costs."""


class Listed:
    """The first ``limits.MAX_MISTAKES`` of what is wrong, each with its line (0 for none), and how many more there
    are. Whoever writes the descriptor chooses their number, so none of the others costs anything."""

    def __init__(self) -> None:
        self._found: list[tuple[int, str]] = []
        self._more = 0

    def add(self, line: int, sentence: str) -> None:
        """Note what is wrong."""
        if len(self._found) < limits.MAX_MISTAKES:
            self._found.append((line, sentence))
        else:
            self._more += 1

    def nearest(self, name: str, known: Iterable[str]) -> str | None:
        """What ``name`` was perhaps meant to be; looked for only where its mistake will be listed."""
        if len(self._found) == limits.MAX_MISTAKES:
            return None
        return next(iter(difflib.get_close_matches(name[:_COMPARED], known, n=1)), None)

    def sentences(self) -> list[str]:
        """All of them, from top to bottom; empty when nothing is wrong."""
        ordered = sorted(self._found, key=lambda each: each[0])
        sentences = [f"line {line}: {sentence}" if line else sentence for line, sentence in ordered]
        return [*sentences, *([f"and {self._more} more"] if self._more else [])]


class Mistakes:
    """Those of a ``job.toml`` so far, each with the line of what it is about. ``lines``: where each key stands."""

    def __init__(self, lines: Mapping[Path, int]) -> None:
        self._lines = lines
        self._listed = Listed()
        self._wrong: set[Path] = set()

    def field(self, path: Path, sentence: str) -> None:
        """``sentence`` continues "field 'a.b' …" and says the remedy."""
        self._wrong.update(path[:length] for length in range(1, len(path) + 1))
        self.other(f"field {field_name(path)!a} {sentence}", path)

    def other(self, sentence: str, path: Path = ()) -> None:
        """A mistake that is no field's."""
        line = next((self._lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self._lines), 0)
        self._listed.add(line, sentence)

    def nearest(self, name: str, known: Iterable[str]) -> str | None:
        """See ``Listed``."""
        return self._listed.nearest(name, known)

    def wrong(self, *path: str | int) -> bool:
        """Whether a mistake in the field ``path`` or below it is known, so that no rule need look at its value."""
        return path in self._wrong

    def raise_any(self) -> None:
        """Raise DescriptorError with all of them, by line, unless there are none."""
        if sentences := self._listed.sentences():
            raise DescriptorError(sentences)


def field_name(path: Path) -> str:
    """The name of a field in messages, such as ``resources.files``; the line says which one it is."""
    return ".".join(part for part in path if isinstance(part, str))
