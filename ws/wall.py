"""Wall time for decisions that cannot be taken back: it follows the machine's clock, but no sudden jump of it. Pure.

A bundle whose not-after passes ends as failed, for good. A clock that somebody set ten days ahead for a moment
must not do that, so a jump counts only after the clock has stood by it for a while.
"""

from __future__ import annotations

from ws.limits import CLOCK_DRIFT, CLOCK_PATIENCE


class WallClock:
    """Unix time, reckoned from a steady clock and an offset that is believed."""

    def __init__(self, now: float, wall: float) -> None:
        self._offset = wall - now
        self._doubted: tuple[float, float] | None = None

    def read(self, now: float, wall: float) -> float:
        """The believed Unix time when the steady clock says ``now`` and the machine's clock ``wall``.

        Drift is followed at once. After a jump the old reckoning goes on until the new one has held for
        CLOCK_PATIENCE seconds. To be called more often than that.
        """
        offset = wall - now
        if abs(offset - self._offset) <= CLOCK_DRIFT:
            self._offset, self._doubted = offset, None
        elif self._doubted is None or abs(offset - self._doubted[0]) > CLOCK_DRIFT:
            self._doubted = offset, now
        elif now - self._doubted[1] >= CLOCK_PATIENCE:
            self._offset, self._doubted = offset, None
        return now + self._offset
