"""What is told often and of which only the newest counts: at most one in a time, the last one always."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from rjs.background import Timer, Timers

T = TypeVar("T")


class Newest(Generic[T]):
    """Calls ``send`` with what was offered last, at once if it can, and never twice within ``pause`` seconds."""

    def __init__(self, timers: Timers, pause: float, send: Callable[[T], object]) -> None:
        self._timers = timers
        self._pause = pause
        self._send = send
        self._next: list[T] = []
        self._timer: Timer | None = None

    @property
    def idle(self) -> bool:
        """Nothing waits, and the next one would be sent at once."""
        return self._timer is None

    def offer(self, value: T) -> None:
        """This is the newest now."""
        if self._timer is None:
            self._timer = self._timers.callLater(self._pause, self._turn)
            self._send(value)
        else:
            self._next = [value]

    def close(self) -> None:
        """What waits is dropped."""
        self._next.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _turn(self) -> None:
        self._timer = None
        waiting, self._next = self._next, []
        for value in waiting:
            self.offer(value)
