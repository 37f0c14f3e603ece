"""Which files a pattern names, and what it costs to find out."""

from __future__ import annotations

import re
import time
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjs import limits
from rjs.descriptor.patterns import FileNames, TooManyStepsError

NAMES = (
    "a.so",
    "lib/a.so",
    "lib/b.txt",
    "lib/x/a.so",
    "lib/x/y/c.so",
    "lib.d/a",
    ".hidden",
    "lib/[1]",
    "lib/1",
)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.so", ["a.so"]),
        ("*.so", ["a.so"]),
        ("lib/*.so", ["lib/a.so"]),
        ("lib", ["lib/1", "lib/[1]", "lib/a.so", "lib/b.txt", "lib/x/a.so", "lib/x/y/c.so"]),
        ("lib/", ["lib/1", "lib/[1]", "lib/a.so", "lib/b.txt", "lib/x/a.so", "lib/x/y/c.so"]),
        ("./lib/x", ["lib/x/a.so", "lib/x/y/c.so"]),
        ("**/a.so", ["a.so", "lib/a.so", "lib/x/a.so"]),
        ("lib/**/*.so", ["lib/a.so", "lib/x/a.so", "lib/x/y/c.so"]),
        ("**/x/**/c.so", ["lib/x/y/c.so"]),
        ("**/**/y", ["lib/x/y/c.so"]),
        ("lib/?", ["lib/1", "lib/x/a.so", "lib/x/y/c.so"]),
        ("lib/[0-9]", ["lib/1"]),
        ("lib/[[]1]", ["lib/[1]"]),
        ("**", sorted(NAMES)),
        ("LIB", []),
        ("/lib", []),
        ("lib//a.so", []),
        ("../lib", []),
        ("lib/../a.so", []),
        ("", []),
        (".", []),
        ("lib/[z-a]", []),
    ],
)
def test_matching(pattern: str, expected: list[str]) -> None:
    """Wildcards stay within a name, two stars cross folders, a folder stands for its files, nothing leaves."""
    assert list(FileNames(NAMES).matching(pattern)) == expected


def no_step(part: str) -> bool:
    """``.`` and ``..`` are no names."""
    return part not in (".", "..")


PARTS = st.text(st.sampled_from("ab."), min_size=1, max_size=3).filter(no_step)
PATTERN_PARTS = st.text(st.sampled_from("ab*?."), min_size=1, max_size=3).filter(no_step)


def by_definition(pattern: list[str], name: list[str], hidden: bool) -> bool:
    """The rules, written down as they are told, whatever it costs."""
    seen = [hidden or not part.startswith(".") for part in name]
    if not pattern:
        return all(seen)  # what is left of the name lies in the folder
    if pattern[0] == "**":
        return any(
            all(seen[:taken]) and by_definition(pattern[1:], name[taken:], hidden)
            for taken in range(len(name) + 1)
        )
    if not name or not (seen[0] or pattern[0].startswith(".")):
        return False
    regex = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern[0])
    return bool(re.fullmatch(regex, name[0])) and by_definition(pattern[1:], name[1:], hidden)


@given(
    st.lists(PATTERN_PARTS | st.just("**"), min_size=1, max_size=5),
    st.lists(PARTS, min_size=1, max_size=5),
    st.booleans(),
)
def test_matching_is_what_it_says(pattern: list[str], name: list[str], hidden: bool) -> None:
    """The quick matcher finds what the definition does."""
    found = FileNames(["/".join(name)], hidden).matching("/".join(pattern))
    assert bool(found) == by_definition([part if part != "***" else "*" for part in pattern], name, hidden)


@given(st.text(max_size=12))
def test_no_pattern_fails(pattern: str) -> None:
    """Whatever text is a pattern of something, or of nothing."""
    FileNames(["a", "b/[", "b/]"]).matching(pattern)


def test_time_is_bounded() -> None:
    """Patterns and names made for each other end by the count of steps, not by patience."""
    deep = "/".join("a" * 20 for _ in range(limits.MAX_NAME_DEPTH - 1))
    names = FileNames(f"{deep}/{index}" for index in range(20_000))
    started = time.perf_counter()
    with pytest.raises(TooManyStepsError):
        for _ in range(limits.MAX_PATTERNS):
            names.matching("**/*a*a*a*a*b/**/x")
    assert time.perf_counter() - started < 20
    assert PurePosixPath(deep).parts[0] == "a" * 20
