"""The table of rules and attacks, ``BUNDLES.md``, names tests that exist, and every file of attacks on bundles."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = (HERE / "BUNDLES.md").read_text()


def test_every_attack_in_the_table_exists() -> None:
    """Each name stands behind its file's, as a function or a registered attack there."""
    named = 0
    for file, names in re.findall(r"`(test_\w+\.py)`: ((?:`\w+`(?:, )?)+)", TABLE):
        source = (HERE / file).read_text()
        for name in re.findall(r"`(\w+)`", names):
            assert f"def {name}(" in source, (file, name)
            named += 1
    assert named >= 80


def test_every_file_of_attacks_is_in_the_table() -> None:
    """No file of attacks on bundles is left out."""
    files = {path.name for path in HERE.glob("test_bundle_*.py")} - {Path(__file__).name}
    assert files == set(re.findall(r"`(test_bundle_\w+\.py)`: ", TABLE))
