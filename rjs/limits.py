"""Every cap and timer that more than one role uses, with its unit and its reason or its attacker.

Sections are named after the package that they belong to. Sizes are bytes, times are seconds.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
