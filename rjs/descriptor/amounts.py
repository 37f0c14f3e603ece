"""Amounts with units, as people write them: ``256 MiB``, ``5 min``."""

from __future__ import annotations

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


def amount(value: int | str, units: Mapping[str, int]) -> int | None:
    """``value`` in the first of ``units``: a number, or digits and a unit; None for a unit that is none of them."""
    if isinstance(value, int):
        return value
    digits = value.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    unit = units.get(value[len(digits) :])
    return None if unit is None else int(digits) * unit
