"""Which files a pattern names, and which it never does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rjs.descriptor.patterns import FileNames
from rjs.packing.include import matching
from rjs.packing.tree import Tree

FILES = dict.fromkeys(
    [
        "a.csv", "b.txt", ".hidden.csv", "data/a.csv", "data/b.csv", "data/deep/c.csv", "data/deep/er/d.csv",
        "data/.secret", "data/__pycache__/x.csv", "data/deep/__pycache__/y.csv", "out/e.csv", "[x].csv", ".cfg/f.csv",
    ],
    "x",
)  # fmt: skip
DATA = ["data/a.csv", "data/b.csv"]
DEEP = ["data/deep/c.csv", "data/deep/er/d.csv"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.csv", ["a.csv"]),
        ("./a.csv", ["a.csv"]),
        ("*.csv", ["[x].csv", "a.csv"]),
        ("[ab].*", ["a.csv", "b.txt"]),
        ("[[]x].csv", ["[x].csv"]),
        (".hidden.csv", [".hidden.csv"]),
        (".*.csv", [".hidden.csv"]),
        (".cfg", [".cfg/f.csv"]),
        ("data/*.csv", DATA),
        ("data", DATA + DEEP),
        ("data/", DATA + DEEP),
        ("data/*", DATA + DEEP),
        ("data/**", DATA + DEEP),
        ("data/**/*.csv", DATA + DEEP),
        ("d?ta/**/**/[c-d].csv", DEEP),
        ("**/d.csv", ["data/deep/er/d.csv"]),
        ("**/deep", DEEP),
        ("data/.secret", ["data/.secret"]),
        ("data/__pycache__/x.csv", []),
        ("out/e.csv", []),
        ("missing/*", []),
        ("../job/a.csv", []),
        ("data/../a.csv", []),
        ("/etc/passwd", []),
        ("data//a.csv", []),
        ("", []),
        ("A.CSV", []),
    ],
)
def test_a_pattern_names_files_of_the_folder(
    write_files: Callable[[Mapping[str, str]], Path], pattern: str, names: list[str]
) -> None:
    """Folders stand for their files; hidden files, what stays out, and what lies outside are never swept in.

    A Java job's class path, which is not of folders alone, goes by the same rule.
    """
    assert matching(Tree(write_files(FILES)), pattern) == names
    may_be_taken = [name for name in FILES if "__pycache__" not in name and not name.startswith("out/")]
    assert list(FileNames(may_be_taken, hidden=False).matching(pattern)) == names


def test_links_are_not_followed(write_files: Callable[[Mapping[str, str]], Path]) -> None:
    """A link to a folder is not entered; one that the pattern spells out is named, so that it can be refused."""
    folder = write_files({"data/a.csv": "x"})
    (folder / "link").symlink_to("data")
    (folder / "loop").symlink_to(".")
    assert matching(Tree(folder), "**/*.csv") == ["data/a.csv"]
    assert matching(Tree(folder), "link/*.csv") == ["link"]
    assert matching(Tree(folder), "l*/a.csv") == []
