"""Runs ``rjs`` in this process, with some of ``rjs.limits`` as a test wants them.

    python shortened.py LUS_LEASE=6,LUS_RENEWAL=2 ws run DIR

Tests start servers so; no setting does that, for both ends of a lease must count alike.
"""

from __future__ import annotations

import sys

from rjs import limits  # before anything that takes a name out of it

for each in sys.argv.pop(1).split(","):
    name, _, value = each.partition("=")
    assert isinstance(getattr(limits, name), float), name
    setattr(limits, name, float(value))

if __name__ == "__main__":
    from rjs.cli import main

    sys.exit(main())
