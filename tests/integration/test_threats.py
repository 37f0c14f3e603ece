"""docs/threats.md names a test for each defence; each of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", (ROOT / "docs" / "threats.md").read_text())))
INSIDERS = (
    "The network",
    "The web server",
    "A lookup server",
    "A compute server",
    "A submitter",
    "The operator",
)


@pytest.mark.parametrize("named", NAMED)
def test_a_named_test_exists(named: str) -> None:
    """The file is there, and the test in it; where no test is named, the file has some."""
    path, _, test = named.partition("::")
    functions = {
        node.name
        for node in ast.parse((ROOT / path).read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    assert test in functions if test else functions


def test_every_insider_has_a_section_with_tests() -> None:
    """None is left out, and none is described without a test."""
    sections = re.split(r"^## ", (ROOT / "docs" / "threats.md").read_text(), flags=re.MULTILINE)[1:]
    assert [section for section in sections if "`tests/" not in section] == []
    for insider in INSIDERS:
        assert any(section.startswith(insider) for section in sections), insider
