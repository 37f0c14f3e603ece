"""Sizes in bytes as people read them, alike wherever they compare a need with an offer or a use."""

from __future__ import annotations

from rjs.limits import KIB, MIB


def size_text(amount: float, digits: int = 0) -> str:
    """B, KiB or MiB, the largest that leaves one or more; of MiB so many ``digits`` behind the point."""
    if amount >= MIB:
        return f"{amount / MIB:,.{digits}f} MiB"
    return f"{amount / KIB:,.0f} KiB" if amount >= KIB else f"{amount:.0f} B"
