"""Wall time, which judges and dates certificates, lists and receipts; nothing is scheduled by it (``rjs.clock``).

Whoever needs it takes a ``Wall`` as an argument, so that a test can let a month pass.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

Wall = Callable[[], dt.datetime]
"""The time of day of some clock, aware of its zone."""


def utc_now() -> dt.datetime:
    """The time of this machine's clock."""
    return dt.datetime.now(dt.UTC)
