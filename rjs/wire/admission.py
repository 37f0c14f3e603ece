"""How many handshakes a listener is busy with at a time; the others wait in order, their bytes in the kernel.

    session.protocol.gate = partial(admission.enter, session.abort)     # TlsDoor asks it at the first byte
    session.ready or session.gone: admission.leave(session.abort)

A handshake costs some milliseconds of this machine: when a thousand servers come back at once, the first are served
quickly, and not all so slowly that every one gives up. Whoever says nothing has not begun and keeps nobody out;
whoever begins and dawdles while others wait is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from rjs import limits
from rjs.background import Timer, Timers

Drop = Callable[[str], None]
"""Ends a connection with a sentence. It also stands for the connection here."""


class Admission:
    """The handshakes under way at one listener, and those that wait."""

    def __init__(self, timers: Timers, most: int = limits.HANDSHAKES_AT_ONCE) -> None:
        self._timers = timers
        self._most = most
        self._begun: dict[Drop, float] = {}
        self._waiting: deque[tuple[Drop, Callable[[], None]]] = deque()
        self._look: Timer | None = None

    def enter(self, connection: Drop, begin: Callable[[], None]) -> None:
        """``begin`` its handshake, now or when there is room."""
        self._waiting.append((connection, begin))
        self._admit()

    def leave(self, connection: Drop) -> None:
        """Its handshake is done, or it is gone; whichever comes first counts."""
        if self._begun.pop(connection, None) is None:
            self._waiting = deque(each for each in self._waiting if each[0] != connection)
        self._admit()

    @property
    def begun(self) -> int:
        """Handshakes under way."""
        return len(self._begun)

    def _admit(self) -> None:
        while self._waiting and len(self._begun) < self._most:
            connection, begin = self._waiting.popleft()
            self._begun[connection] = self._timers.seconds()
            begin()
        if self._waiting and self._look is None:
            oldest = next(iter(self._begun.values()))
            pause = max(0.0, oldest + limits.HANDSHAKE_SLOW - self._timers.seconds())
            self._look = self._timers.callLater(pause, self._drop_slow)

    def _drop_slow(self) -> None:
        self._look = None
        if not self._waiting:
            return
        since = self._timers.seconds() - limits.HANDSHAKE_SLOW
        for connection in [each for each, began in self._begun.items() if began <= since]:
            connection("its handshake took long, and others waited")
        self._admit()
