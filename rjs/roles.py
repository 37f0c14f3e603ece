"""The door to the roles' own code: entry points of the installed distribution, because rjs imports no role."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from rjs.errors import RjsError

DISTRIBUTION = "rjs-cluster"
ROLE_GROUP = "rjs.roles"


def role_entry(name: str) -> Any:
    """Load the part of a server that this installation offers under ``name`` (such as ``cs.run``).

    Raises RjsError where the distribution is not installed or offers no such part.
    """
    try:
        offered = metadata.distribution(DISTRIBUTION).entry_points
    except metadata.PackageNotFoundError:
        raise RjsError(f"{DISTRIBUTION} is not installed in this Python; run: pip install .") from None
    for entry in offered.select(group=ROLE_GROUP, name=name):
        return entry.load()
    raise RjsError(f"this installation of {DISTRIBUTION} has no part {name}; install it again")
