"""On which line each key and element of a TOML document stands, for messages: ``tomllib`` does not tell.

It reads only documents that ``tomllib`` has accepted, so it looks for where keys and values begin and end and never
judges. It has no recursion: nesting is as deep as ``tomllib`` allows.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

Path = tuple[str | int, ...]
"""Keys, and indices of elements, from the outermost table to a value."""

_BLANK: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*+")
_BLANK_OR_COMMA: Final = re.compile(r"(?:[ \t\n,]|#[^\n]*)*+")
_KEY_PART: Final = re.compile(
    r"""[ \t]*(?:(?P<bare>[A-Za-z0-9_-]+)|'(?P<literal>[^'\n]*)'|(?P<basic>"(?:[^"\\\n]|\\.)*+"))[ \t]*\.?"""
)
_SCALAR: Final = re.compile(
    r'''"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}'''
    r"""|'{3}(?:[^']|'{1,2}(?!'))*+'{3,5}"""
    r'''|"(?:[^"\\\n]|\\.)*+"'''
    r"""|'[^'\n]*'"""
    r"""|[^\n,\]}#]+""",  # a number, a boolean, a date, maybe with a space in it and after it
    re.DOTALL,
)


def line_index(toml: str) -> Mapping[Path, int]:
    """The line, from 1, of every key, table and element of ``toml``, which ``tomllib.loads`` accepts.

    A table stands where it, or the first key through it, is first written.
    """
    scanner = _Scanner(toml.replace("\r\n", "\n"))
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, toml: str) -> None:
        self.lines: dict[Path, int] = {}
        self._toml = toml
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", toml))]
        self._arrays: dict[Path, int] = {}
        """How many tables each array of tables has so far."""

    def document(self) -> None:
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._toml):
            if self._toml[self._at] == "[":
                table = self._header()
            else:
                self._value(self._key(table))
            self._skip(_BLANK)

    def _header(self) -> Path:
        """Read ``[table]`` or ``[[array of tables]]``; give the path of the table that is now open."""
        line = self._line()
        is_array = self._toml.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        parts = self._parts()
        self._at += 2 if is_array else 1
        table: Path = ()
        for part in parts[:-1]:
            table = self._last_of(self._seen((*table, part), line))
        table = self._seen((*table, parts[-1]), line)
        if is_array:
            self._arrays[table] = self._arrays.get(table, 0) + 1
            return self._seen(self._last_of(table), line)
        return table

    def _last_of(self, table: Path) -> Path:
        return (*table, self._arrays[table] - 1) if table in self._arrays else table

    def _key(self, table: Path) -> Path:
        """Read a key of ``table`` and the ``=`` behind it; give the whole path."""
        line = self._line()
        for part in self._parts():
            table = self._seen((*table, part), line)
        self._at += 1
        return table

    def _parts(self) -> list[str]:
        parts = []
        while True:
            match = _KEY_PART.match(self._toml, self._at)
            assert match is not None, "tomllib accepted it"
            self._at = match.end()
            if match["basic"] is not None:
                parts.append(tomllib.loads(f"key = {match['basic']}")["key"])
            else:
                parts.append(match["literal"] if match["bare"] is None else match["bare"])
            if not match[0].endswith("."):
                return parts

    def _value(self, path: Path) -> None:
        """Read the value of ``path``, and all that is in it."""
        inside: list[
            tuple[Path, int | None]
        ] = []  # arrays with the number of elements so far, and inline tables
        while True:
            self._skip(_BLANK)
            if self._toml[self._at] in "[{":
                inside.append((path, 0 if self._toml[self._at] == "[" else None))
                self._at += 1
            else:
                self._skip(_SCALAR)
            self._skip_closed(inside)
            if not inside:
                return
            outer, index = inside.pop()
            inside.append((outer, None if index is None else index + 1))
            path = self._key(outer) if index is None else self._seen((*outer, index), self._line())

    def _skip_closed(self, inside: list[tuple[Path, int | None]]) -> None:
        """Leave what ends here, up to the next element or key."""
        while inside:
            self._skip(_BLANK_OR_COMMA)
            if self._toml[self._at] not in "]}":
                return
            self._at += 1
            inside.pop()

    def _seen(self, path: Path, line: int) -> Path:
        self.lines.setdefault(path, line)
        return path

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._toml, self._at)
        assert match is not None, "tomllib accepted it"
        self._at = match.end()
