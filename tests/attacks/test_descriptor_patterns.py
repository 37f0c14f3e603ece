"""Attack: patterns of files and names of files made for each other, so that comparing them takes for ever."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from rjs.descriptor import DescriptorError, parse_descriptor

LONG = tuple(f"{'a' * 190}{index:06d}" for index in range(48_000))
"""Names of nearly the greatest length, as many as a bundle may have."""
PATIENCE = 15.0
"""Seconds for what takes two on an idle machine, and took a hundred and more without the limit."""


@pytest.mark.parametrize(
    "patterns",
    [
        [f"*{'?' * 95}b{number}" for number in range(60)],
        [f"*{'[ab]' * 95}b{number}" for number in range(60)],
        [f"{'*a' * 60}b{number}" for number in range(60)],
        [f"**/*{'?' * 95}b{number}/**/x" for number in range(60)],
    ],
    ids=["any letters", "sets of letters", "many stars", "many folders"],
)
def test_comparing_ends(patterns: Sequence[str]) -> None:
    """By the count of what it costs, with a mistake that says so."""
    files = ", ".join(f'"{pattern}"' for pattern in patterns)
    toml = (
        f'name = "n"\nruntime = "python"\nentry = "run.py"\n[[resources]]\nos = "linux"\nfiles = [{files}]\n'
    )
    started = time.perf_counter()
    with pytest.raises(DescriptorError, match="takes too long to compare"):
        parse_descriptor(toml.encode(), {"run.py", *LONG})
    assert time.perf_counter() - started < PATIENCE
