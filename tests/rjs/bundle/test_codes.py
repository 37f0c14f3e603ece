"""The documented refusal codes are those in the code, and each is raised somewhere and tested somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rjs.bundle.errors import CODES

ROOT = Path(__file__).parents[3]


def test_the_table_in_the_reference_is_the_table_in_the_code() -> None:
    """Codes and meanings agree word for word, in the same order."""
    reference = (ROOT / "docs" / "bundle-format.md").read_text()
    table = reference.partition("## Refusal codes")[2]
    assert re.findall(r"^\| `([a-z0-9-]+)` \| (.+) \|$", table, re.MULTILINE) == list(CODES.items())


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_raised_and_tested(code: str) -> None:
    """No code is dead, and none is without a test that sees it."""
    folders = [ROOT / "rjs" / "bundle", ROOT / "rjs" / "answers"]
    raising = [path for folder in folders for path in folder.glob("*.py") if path.name != "errors.py"]
    testing = [*(ROOT / "tests" / "attacks").glob("*.py"), *(ROOT / "tests" / "rjs" / "bundle").glob("*.py")]
    for paths in (raising, testing):
        assert any(re.search(rf'"\^?{code}[":]|="{code}"', path.read_text()) for path in paths)
