"""Which files of a bundle a pattern such as ``data/**/*.bin`` names.

Both the pattern and the names may be made to take for ever: every comparison of a part is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from typing import Final

from rjs import limits

_ANY_FOLDERS: Final = "**"
_Part = Callable[[str], object] | None
"""Whether a part of a name fits; None stands for any number of parts."""


class TooManyStepsError(Exception):
    """The patterns cannot be compared with the names within ``limits.MAX_PATTERN_STEPS``."""


class FileNames:
    """The names of a bundle's files."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = [(name, name.split("/")) for name in sorted(names)]
        self._steps = 0

    def matching(self, pattern: str) -> tuple[str, ...]:
        """The files that ``pattern`` names, sorted; none where it leaves the bundle.

        ``*`` ``?`` ``[…]`` match within a part and ``**`` any number of folders; a folder stands for all that is in
        it. Raises TooManyStepsError.
        """
        parts = [part for part in pattern.removesuffix("/").split("/") if part != "."]
        if not parts or "" in parts or ".." in parts:
            return ()
        fits = [_fitting(part) for part in (*parts, _ANY_FOLDERS)]
        return tuple(name for name, split in self._names if self._fits(split, fits))

    def _fits(self, name: Sequence[str], pattern: Sequence[_Part]) -> bool:
        """The greedy match of wildcards: on a mismatch the last ``**`` takes one part more, the ones before never."""
        at, reached = 0, 0  # in the name, in the pattern
        taken, after_any = 0, 0  # by the last ``**``, and what follows it
        while at < len(name):
            self._steps += 1
            if self._steps > limits.MAX_PATTERN_STEPS:
                raise TooManyStepsError
            fits = pattern[reached]
            if fits is None and reached + 1 == len(pattern):
                return True
            if fits is None:
                reached = after_any = reached + 1
                taken = at
            elif fits(name[at]):
                at, reached = at + 1, reached + 1
            elif after_any:
                taken = at = taken + 1
                reached = after_any
            else:
                return False
        return all(fits is None for fits in pattern[reached:])


def _fitting(part: str) -> _Part:
    if part == _ANY_FOLDERS:
        return None
    if not any(letter in part for letter in "*?["):
        return part.__eq__
    return re.compile(translate(part)).match
