"""Wall time that no sudden jump deceives."""

from __future__ import annotations

from ws.limits import CLOCK_PATIENCE
from ws.wall import WallClock

DAY = 86_400.0


def test_drift_is_followed() -> None:
    """A clock that is corrected by a second now and then is simply right."""
    clock = WallClock(100.0, 1000.0)
    assert clock.read(101.0, 1002.0) == 1002.0
    assert clock.read(102.0, 1001.5) == 1001.5


def test_a_jump_and_back_changes_nothing() -> None:
    """Ten days ahead for three seconds: time goes on as if nothing had been."""
    clock = WallClock(0.0, 1000.0)
    assert [clock.read(float(second), 1000.0 + 10 * DAY + second) for second in (1, 2, 3)] == [
        1001,
        1002,
        1003,
    ]
    assert clock.read(4.0, 1004.0) == 1004.0
    assert clock.read(CLOCK_PATIENCE + 10, 1010.0 + CLOCK_PATIENCE) == 1010.0 + CLOCK_PATIENCE


def test_a_jump_that_stays_is_believed_in_time() -> None:
    """Whoever set a wrong clock right is believed after a while; two different jumps do not add up."""
    clock = WallClock(0.0, 1000.0)
    assert clock.read(1.0, 1001.0 + DAY) == 1001.0
    half = CLOCK_PATIENCE / 2
    assert clock.read(half, 1000.0 + 2 * DAY + half) == 1000.0 + half
    assert clock.read(half + 1, 1001.0 + DAY + half) == 1001.0 + half
    assert clock.read(half + 1 + CLOCK_PATIENCE, 0.0) == 1001.0 + half + CLOCK_PATIENCE
    assert clock.read(2 * half + 1 + CLOCK_PATIENCE, half) == 1001.0 + 2 * half + CLOCK_PATIENCE
    assert clock.read(2 * half + 1 + CLOCK_PATIENCE + half, 2 * half) == CLOCK_PATIENCE
