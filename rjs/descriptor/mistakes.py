"""What is wrong with a descriptor: collected, so that a person mends it in one go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rjs import limits
from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.toml_lines import Path


class Mistakes:
    """Those of a ``job.toml`` so far, each with the line of what it is about. ``lines``: where each key stands."""

    def __init__(self, lines: Mapping[Path, int]) -> None:
        self._lines = lines
        self._found: list[tuple[int, str]] = []
        self._wrong: set[Path] = set()

    def field(self, path: Path, sentence: str) -> None:
        """``sentence`` continues "field 'a.b' …" and says the remedy."""
        self._wrong.update(path[:length] for length in range(1, len(path) + 1))
        self.other(f"field {field_name(path)!a} {sentence}", path)

    def other(self, sentence: str, path: Path = ()) -> None:
        """A mistake that is no field's."""
        line = next((self._lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self._lines), 0)
        self._found.append((line, sentence))

    def wrong(self, *path: str | int) -> bool:
        """Whether a mistake in the field ``path`` or below it is known, so that no rule need look at its value."""
        return path in self._wrong

    def raise_any(self) -> None:
        """Raise DescriptorError with all of them, by line, unless there are none."""
        if self._found:
            raise DescriptorError(listed(self._found))


def listed(found: Iterable[tuple[int, str]]) -> list[str]:
    """Sentences with the lines that they are about, from top to bottom, 0 for none; of very many the first ones."""
    ordered = sorted(found, key=lambda each: each[0])
    sentences = [f"line {line}: {sentence}" if line else sentence for line, sentence in ordered]
    more = len(sentences) - limits.MAX_MISTAKES
    return [*sentences[: limits.MAX_MISTAKES], *([f"and {more} more"] if more > 0 else [])]


def field_name(path: Path) -> str:
    """The name of a field in messages, such as ``resources.files``; the line says which one it is."""
    return ".".join(part for part in path if isinstance(part, str))
