"""Amounts with units, as people write them: ``256 MiB``, ``5 min``, and Java's ``256m``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rjs import limits

SIZE_UNITS: Final[Mapping[str, int]] = MappingProxyType(
    {"B": 1, "KiB": limits.KIB, "MiB": limits.MIB, "GiB": limits.GIB, "TiB": 1024 * limits.GIB}
)
"""Bytes of each unit."""

TIME_UNITS: Final[Mapping[str, int]] = MappingProxyType({"s": 1, "min": 60, "h": 3600, "d": 86400})
"""Seconds of each unit."""

JAVA_SIZE: Final = r"[1-9][0-9]{0,14}[kKmMgGtT]?"
"""How Java writes a size."""

_JAVA_SIZE: Final = re.compile(JAVA_SIZE, re.ASCII)
_JAVA_UNITS: Final = MappingProxyType(
    {"k": limits.KIB, "m": limits.MIB, "g": limits.GIB, "t": 1024 * limits.GIB}
)


def java_size(text: str) -> int | None:
    """Bytes of a size as Java writes it, such as ``64m``; None where it is none."""
    if not _JAVA_SIZE.fullmatch(text):
        return None
    digits = text.rstrip("kKmMgGtT")
    return int(digits) * _JAVA_UNITS.get(text[len(digits) :].lower(), 1)


def amount(value: int | str, units: Mapping[str, int]) -> int | None:
    """``value`` in the first of ``units``: a number, or digits and a unit; None for a unit that is none of them."""
    if isinstance(value, int):
        return value
    digits = value.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    unit = units.get(value[len(digits) :])
    return None if unit is None else int(digits) * unit
