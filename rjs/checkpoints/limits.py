"""Caps that every server keeps for checkpoints, with their reason or attacker. Sizes in bytes."""

from __future__ import annotations

from typing import Final

from rjs.limits import MIB

FILES: Final = 1_000
BYTES: Final = 256 * MIB
"""Files and bytes of one checkpoint, unpacked: it crosses the network whenever its task moves, and what a
compute server unpacks of another's must not fill the owner's disk."""

JAR: Final = BYTES + 16 * MIB
"""Bytes of the signed JAR: its files are stored, and beside them names, digests and signatures."""
