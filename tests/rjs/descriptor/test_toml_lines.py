"""The line index, against documents written by a generator that knows its lines, and against tomllib."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjs.descriptor.toml_lines import Path, line_index

KEYS = st.sampled_from(
    ["a", "b", "needs", "1979-05-27", "", "a.b", "#", "ß", "[x]", '"', "'", "\\", "=", "\t"]
)
SCALARS = st.sampled_from(
    [
        "1",
        "-0x1F".removeprefix("-"),
        "1e9",
        "inf",
        "-nan",
        "true",
        "1979-05-27 07:32:00",
        "1979-05-27T07:32:00-07:00",
        "07:32:00",
        '""',
        "''",
        '"a # ] } , = \\" \\\\"',
        "'a # ] } , = \\'",
        '""""""',
        "''''''",
        '"""\na\n[b]\nc = 1 # "" \\""" \\\n """',
        '"""a"""""',
        '"""""a"""',
        "'''\n''a\n''b = \\'''''",
        "'''a'''''",
    ]
)
BLANKS = st.sampled_from(["", "", " ", "\t"])
BREAKS = st.sampled_from(["", " ", "\n", "# a = [ \" '\n", "\n\n  "])


class Writer:
    """Writes random TOML and notes on which line each path came to stand."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Path, int] = {}

    def put(self, text: str) -> None:
        self.text += text

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def key(self, name: str) -> str:
        bare = name and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name)
        styles = ["bare"] if bare else []
        styles += ["literal"] if "'" not in name else []
        style = self.draw(st.sampled_from([*styles, "basic", "escaped"]))
        if style == "escaped":
            return '"' + "".join(f"\\U{ord(letter):08x}" for letter in name) + '"'
        if style == "basic":
            return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return name if style == "bare" else f"'{name}'"

    def keyed(self, path: Path, depth: int) -> None:
        """``key = value`` for a new key in the table ``path``, maybe through new tables."""
        for part in self.new_parts(path):
            path = (*path, part)
            self.note(path)
        names = [self.key(str(part)) for part in path[-self.added :]]
        self.put(
            f"{self.draw(BLANKS)}.{self.draw(BLANKS)}".join(names)
            + f"{self.draw(BLANKS)}={self.draw(BLANKS)}"
        )
        self.value(path, depth)

    def new_parts(self, path: Path) -> list[str]:
        parts = self.draw(st.lists(KEYS, min_size=1, max_size=3))
        self.added = len(parts)
        return parts if (*path, parts[0]) not in self.lines else self.unused(path)

    def unused(self, path: Path) -> list[str]:
        self.added = 1
        return [next(name for name in map(str, range(1000)) if (*path, name) not in self.lines)]

    def value(self, path: Path, depth: int) -> None:
        kind = self.draw(st.sampled_from(["scalar", "array", "inline"] if depth else ["scalar"]))
        if kind == "scalar":
            self.put(self.draw(SCALARS))
            return
        self.put("[" if kind == "array" else "{")
        for index in range(self.draw(st.integers(0, 3))):
            if kind == "array":
                self.put(((index and ",") or "") + self.draw(BREAKS))
                self.note((*path, index))
                self.value((*path, index), depth - 1)
                self.put(self.draw(BREAKS))
            else:
                self.put(((index and ",") or "") + self.draw(BLANKS))
                self.keyed(path, depth - 1)
                self.put(self.draw(BLANKS))
        self.put("]" if kind == "array" else "}")

    def statements(self, table: Path) -> None:
        for _ in range(self.draw(st.integers(0, 3))):
            self.put(self.draw(BREAKS))
            self.put(self.draw(BLANKS))
            self.keyed(table, 3)
            self.put(self.draw(BLANKS) + self.draw(st.sampled_from(["\n", "# b = 1\n"])))

    def document(self) -> None:
        self.statements(())
        arrays: dict[Path, int] = {}
        for _ in range(self.draw(st.integers(0, 4))):
            if self.draw(st.booleans()) and arrays:
                path = self.draw(st.sampled_from(sorted(arrays, key=repr)))
            else:
                path = tuple(self.unused(()))
            is_array = path in arrays or self.draw(st.booleans())
            self.put(self.draw(BREAKS))
            self.note(path)
            spelt = ".".join(self.key(part) for part in path if isinstance(part, str))
            self.put(f"[[{spelt}]]" if is_array else f"[ {spelt}\t]")
            table = path
            if is_array:
                table = (*path, arrays.get(path, 0))
                arrays[path] = arrays.get(path, 0) + 1
                self.note(table)
            self.put("\n")
            self.statements(table)
            if is_array and self.draw(st.booleans()):  # a table in the last element, by a header of its own
                name = self.unused(table)[0]
                self.note((*table, name))
                self.put(f"[{spelt}.{name}]\n")
                self.statements((*table, name))


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Path, int]]:
    writer = Writer(draw)
    writer.document()
    return writer.text, writer.lines


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


@given(documents(), st.booleans())
def test_every_key_has_the_line_on_which_it_was_written(
    document: tuple[str, dict[Path, int]], windows: bool
) -> None:
    """What tomllib finds in a document is what is indexed, on the lines where its writer put it."""
    text, lines = document
    if windows:
        text = text.replace("\n", "\r\n")
    assert set(paths(tomllib.loads(text))) == set(lines)
    assert line_index(text) == lines


@pytest.mark.parametrize(
    ("toml", "lines"),
    [
        ("", {}),
        ("# only\n\n", {}),
        (
            "\n[a.b]\n[a]\nc.d = 1\nc.e = 2",
            {("a",): 2, ("a", "b"): 2, ("a", "c"): 4, ("a", "c", "d"): 4, ("a", "c", "e"): 5},
        ),
        (
            "[[a.b]]\n[[a.b]]\n[a.b.c]",
            {("a",): 1, ("a", "b"): 1, ("a", "b", 0): 1, ("a", "b", 1): 2, ("a", "b", 1, "c"): 3},
        ),
        (
            'a = [\n  "[",\n  # ]\n  [2,\n  3] ]',
            {("a",): 1, ("a", 0): 2, ("a", 1): 4, ("a", 1, 0): 4, ("a", 1, 1): 5},
        ),
    ],
)
def test_lines(toml: str, lines: dict[Path, int]) -> None:
    """Tables stand where they are first written, elements where they begin."""
    assert line_index(toml) == lines


def test_nesting_as_deep_as_tomllib_allows() -> None:
    """Whatever depth tomllib accepts is indexed."""
    depth = 20
    while True:
        toml = "a = " + "[" * depth + "\n" + "]" * depth
        try:
            tomllib.loads(toml)
        except RecursionError:
            break
        assert len(line_index(toml)) == depth
        depth += 40
    assert depth > 100
