"""What is told often: the newest counts, at most one in a time."""

from __future__ import annotations

from twisted.internet.task import Clock

from rjs.newest import Newest


def test_the_newest_is_told_and_never_too_often() -> None:
    """The first at once, then one a pause, the last one always."""
    clock, told = Clock(), list[tuple[float, int]]()
    newest: Newest[int] = Newest(clock, 1.0, lambda value: told.append((clock.seconds(), value)))
    for value in range(20):
        newest.offer(value)
        clock.advance(0.125)
    clock.pump([0.125] * 30)
    assert [round(at, 1) for at, _ in told] == [0.0, 1.0, 2.0, 3.0]
    assert told[0][1] == 0 and told[-1][1] == 19
    assert newest.idle and clock.getDelayedCalls() == []


def test_what_waits_is_dropped_at_the_end() -> None:
    """Nothing is told after the end, and no timer is left."""
    clock, told = Clock(), list[int]()
    newest: Newest[int] = Newest(clock, 1.0, told.append)
    newest.offer(1)
    newest.offer(2)
    newest.close()
    clock.advance(10.0)
    assert told == [1] and clock.getDelayedCalls() == []
