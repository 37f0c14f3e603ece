"""What is wrong with a ``job.toml``: collected, so that a person mends it in one go."""

from __future__ import annotations

from collections.abc import Mapping

from rjs import limits
from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.toml_lines import Path


class Mistakes:
    """Mistakes so far, each with the line of what it is about. ``lines`` says where each key stands."""

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
        self._found.append((line, f"line {line}: {sentence}" if line else sentence))

    def wrong(self, *path: str | int) -> bool:
        """Whether a mistake in the field ``path`` or below it is known, so that no rule need look at its value."""
        return path in self._wrong

    def raise_any(self) -> None:
        """Raise DescriptorError with all of them, by line, unless there are none."""
        if not self._found:
            return
        listed = [sentence for _, sentence in sorted(self._found, key=lambda each: each[0])]
        more = len(listed) - limits.MAX_MISTAKES
        if more > 0:
            listed[limits.MAX_MISTAKES :] = [f"and {more} more"]
        raise DescriptorError(listed)


def field_name(path: Path) -> str:
    """The name of a field in messages, such as ``resources.files``; the line says which one it is."""
    return ".".join(part for part in path if isinstance(part, str))
