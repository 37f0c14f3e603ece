"""Which files of a bundle a pattern such as ``data/**/*.bin`` names.

Both the pattern and the names may be made to take for ever: what each comparison of a part may cost is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from typing import Final

import attrs

from rjs import limits

_ANY_FOLDERS: Final = "**"
_LETTER_PAIRS: Final = 512
"""Letters of a name times letters of a pattern, which all may be compared, that take as long as another step."""
_COMPILING: Final = 60
"""Steps for each letter of a part with wildcards: sets of letters beyond Latin-1 take the longest."""


@attrs.frozen
class _Part:
    """Whether a part of a name fits one of the pattern; ``letters`` are those of a pattern with wildcards."""

    fits: Callable[[str], object]
    letters: int = 0


class TooManyStepsError(Exception):
    """The patterns cannot be compared with the names within ``limits.MAX_PATTERN_STEPS``."""


class FileNames:
    """The names of a bundle's files. All patterns together may take ``limits.MAX_PATTERN_STEPS``.

    Unless ``hidden``, what begins with a dot is matched only by a dot, as in a shell.
    """

    def __init__(self, names: Iterable[str], hidden: bool = True) -> None:
        self._names = [(name, name.split("/")) for name in sorted(names)]
        self._hidden = hidden
        self._steps = 0

    def matching(self, pattern: str) -> tuple[str, ...]:
        """The files that ``pattern`` names, sorted; none where it leaves the bundle.

        ``*`` ``?`` ``[…]`` match within a part and ``**`` any number of folders; a folder stands for all that is in
        it. Raises TooManyStepsError.
        """
        parts = [part for part in pattern.removesuffix("/").split("/") if part != "."]
        if not parts or "" in parts or ".." in parts:
            return ()
        pattern_parts = [self._compiled(part) for part in (*parts, _ANY_FOLDERS)]
        return tuple(name for name, split in self._names if self._fits(split, pattern_parts))

    def _compiled(self, part: str) -> _Part | None:
        """A part of a pattern; None stands for any number of parts of a name."""
        if part == _ANY_FOLDERS:
            return None
        if not any(letter in part for letter in "*?["):
            return _Part(part.__eq__)
        self._count(_COMPILING * len(part))
        matches = re.compile(translate(part)).match
        if part.startswith("."):
            return _Part(matches, len(part))
        return _Part(lambda name: self._is_seen(name) and matches(name), len(part))

    def _is_seen(self, part: str) -> bool:
        """Whether wildcards see this part of a name."""
        return self._hidden or not part.startswith(".")

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > limits.MAX_PATTERN_STEPS:
            raise TooManyStepsError

    def _fits(self, name: Sequence[str], pattern: Sequence[_Part | None]) -> bool:
        """The greedy match of wildcards: on a mismatch the last ``**`` takes one part more, the ones before never."""
        at, reached = 0, 0  # in the name, in the pattern
        taken, after_any = 0, 0  # by the last ``**``, and what follows it
        while at < len(name):
            part = pattern[reached]
            self._count(1 + (part.letters * len(name[at]) // _LETTER_PAIRS if part else 0))
            if part is None and reached + 1 == len(pattern):
                return all(map(self._is_seen, name[at:]))
            if part is None:
                reached = after_any = reached + 1
                taken = at
            elif part.fits(name[at]):
                at, reached = at + 1, reached + 1
            elif after_any and self._is_seen(name[taken]):
                taken = at = taken + 1
                reached = after_any
            else:
                return False
        return all(part is None for part in pattern[reached:])
