"""Waiting until a server has done what a command ordered."""

from __future__ import annotations

import time
from pathlib import Path

PATIENCE = 30.0
"""Seconds: what a server needs first, such as an authority that died, is back by then."""

_LOOK = 0.05


def followed(folder: Path, order: Path, patience: float = PATIENCE) -> bool:
    """Whether the server of the state folder ``folder`` followed ``order``; False: it does not run, and will at its
    start. Raises RefusedError with its word, and UnreachableError when it takes longer than ``patience`` seconds."""
    from rjs.errors import UnreachableError
    from rjs.orders import refusal_of
    from rjs.status import read_status

    try:
        read_status(folder)
    except UnreachableError:
        return not order.exists()
    deadline = time.monotonic() + patience
    while order.exists():
        if time.monotonic() > deadline:
            raise UnreachableError(
                f"the server has not done it within {patience:.0f} s; it will once it can: its log says why"
            )
        time.sleep(_LOOK)
    refused = refusal_of(order)
    if refused is not None:
        raise refused
    return True
