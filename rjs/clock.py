"""The clock that servers schedule by: it counts time spent asleep and never steps.

Twisted's reactors read ``time.time`` (26.10): when someone sets the wall clock back by an hour, every timer
stops for an hour. ``use_steady_clock`` is therefore the first thing that an ``app.py`` does with its reactor.
This module knows nothing of wall time: certificates and receipts get that as an argument of their own.

What it cannot give: the kernel's wait for events does not count sleep, so a timer that fell due while the
machine slept fires at the first event after waking (another timer, a byte), not in the instant of waking.
"""

from __future__ import annotations

import time

from twisted.internet.base import ReactorBase

if hasattr(time, "CLOCK_BOOTTIME"):

    def steady_seconds() -> float:
        """Seconds since this machine started, sleep included; never steps, never runs back."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    steady_seconds = time.monotonic


def use_steady_clock(reactor: ReactorBase) -> None:
    """Make ``reactor.seconds``, and so every timer of this reactor, follow ``steady_seconds``.

    ``callLater``, the main loop and delayed calls all read the instance's ``seconds``, so one assignment is
    enough. Raises RuntimeError when something is scheduled already: it would be due at a meaningless time.
    """
    if scheduled := reactor.getDelayedCalls():
        raise RuntimeError(f"the clock must be chosen before anything is scheduled; found {scheduled}")
    reactor.seconds = steady_seconds
