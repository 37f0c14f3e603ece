"""Which modules a job finds on a compute server, and where else the packer knows one from.

A compute server of this release gives a job the standard library alone, of Python 3.11 or newer.
"""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

_REMOVED: Final = {
    "3.12": ("_bootsubprocess", "_sha256", "_sha512", "asynchat", "asyncore", "distutils", "imp", "smtpd"),
    "3.13": (
        "_crypt", "_msi", "aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "lib2to3", "mailcap",
        "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib",
    ),
}  # fmt: skip
REMOVED: Final[Mapping[str, str]] = MappingProxyType(
    {name: version for version, names in _REMOVED.items() for name in names}
)
"""Modules of Python 3.11 and the version that first lacks each: ``sys.stdlib_module_names`` of 3.11 to 3.13."""

ADDED: Final[Mapping[str, str]] = MappingProxyType({"annotationlib": "3.14", "compression": "3.14"})
"""Public modules that are newer than Python 3.11, and the version that first has each (PEP 749, PEP 784)."""

STANDARD: Final = frozenset({*sys.stdlib_module_names, *REMOVED, *ADDED, "__main__", "rjs"})
"""Modules that a compute server has (of ``rjs`` it is ``rjs.task``); REMOVED and ADDED depend on its Python."""


def hint_about(module: str) -> str:
    """Say what would help a job that imports the top-level ``module``, which is not in STANDARD."""
    names = _distributions().get(module)
    if not names:
        return "put it beside the entry, or name its package with --requirement"
    return f"pack with --requirement {names[0]}"


def is_installed(module: str) -> bool:
    """Whether a distribution in the packer's own environment has the top-level ``module``."""
    return module in _distributions()


@functools.cache  # reading what is installed takes a tenth of a second, and it stays what it is
def _distributions() -> Mapping[str, Sequence[str]]:
    return importlib.metadata.packages_distributions()
