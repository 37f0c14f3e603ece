"""Which modules a compute server has, whatever Python the packer runs."""

from __future__ import annotations

import hashlib
import sys

from rjs.packing.standard import ADDED, REMOVED, STANDARD, hint_about

PUBLIC_OF_3_11 = "363df37139aa80739ff10c761133a8b1a0c08192b1f4230d39ea059a52dbe5eb"
"""SHA-256 of the public names in Python 3.11's ``sys.stdlib_module_names``, sorted, one a line."""


def test_the_standard_library_is_that_of_the_oldest_python() -> None:
    """Without what newer Pythons added, and without ours, the names are those of Python 3.11, on every Python."""
    public = sorted(name for name in STANDARD - {*ADDED, "rjs"} if not name.startswith("_"))
    assert hashlib.sha256("\n".join(public).encode()).hexdigest() == PUBLIC_OF_3_11


def test_what_was_removed_is_what_this_python_lacks() -> None:
    """Each removed module is there until its version and not from then on."""
    here = ".".join(map(str, sys.version_info[:2]))
    assert {name for name in REMOVED if REMOVED[name] > here} <= sys.stdlib_module_names
    assert not {name for name in REMOVED if REMOVED[name] <= here} & sys.stdlib_module_names


def test_a_module_that_nobody_knows_belongs_beside_the_entry() -> None:
    """Advice for a module that is not installed does not invent a distribution."""
    assert hint_about("nowhere_to_be_found") == (
        "put it beside the entry, or name its package with --requirement"
    )
