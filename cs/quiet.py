"""Waiting, for a bounded time, until something is so that others bring about."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from rjs.background import Timers


class Quiet:
    """Those who wait. Whoever changes something says ``look``."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def look(self) -> None:
        """Something changed."""
        for each in [each for each in self._waiting if each[0]()]:
            self._waiting.remove(each)
            each[1].callback(None)

    async def until(self, quiet: Callable[[], bool], seconds: float) -> None:
        """Returns when ``quiet()`` is true, or so many seconds have passed."""
        if quiet():
            return
        done: Deferred[None] = Deferred()
        waiting = quiet, done
        self._waiting.append(waiting)
        timer = self._timers.callLater(seconds, done.callback, None)
        await done
        if timer.active():
            timer.cancel()
        else:
            self._waiting.remove(waiting)
