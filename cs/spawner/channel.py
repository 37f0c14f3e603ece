"""The spawner's end of a control channel: bytes between a job and the compute server, which alone understands them.

A job writes as fast as it likes, and is read as fast as it may: what is too much waits in the socket, and then the
job does. Whatever it does or leaves undone, nothing here blocks or grows.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

from cs.spawner import limits

VARIABLE: Final = "RJS_CONTROL"
DESCRIPTOR: Final = 3
"""The number that the job finds in VARIABLE."""


class Channel:
    """Both ends at first; ``forget_theirs`` once the job has its own. Times are of the spawner's clock."""

    def __init__(self, now: float) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._left = float(limits.CHANNEL_AT_ONCE)
        self._at = self._pause_until = now

    def forget_theirs(self) -> None:
        """The job has inherited its end, or never will."""
        self.theirs.close()

    @property
    def open(self) -> bool:
        """Neither end was closed."""
        return self._ours.fileno() >= 0

    def fileno(self) -> int:
        """Our descriptor, to be waited for."""
        return self._ours.fileno()

    def due(self, now: float) -> float:
        """When it may be read again: now, or later; never once it is closed."""
        if not self.open:
            return float("inf")
        self._left = min(limits.CHANNEL_AT_ONCE, self._left + (now - self._at) * limits.CHANNEL_A_SECOND)
        self._at = now
        missing = limits.CHANNEL_READ - self._left
        return max(self._pause_until, now + max(0.0, missing) / limits.CHANNEL_A_SECOND)

    def pause(self, now: float) -> None:
        """The server takes nothing just now."""
        self._pause_until = now + limits.CHANNEL_PAUSE

    def read(self) -> bytes:
        """What the job said, when it is ready to be read; empty, and closed, when it will say no more."""
        try:
            data = self._ours.recv(limits.CHANNEL_READ)
        except BlockingIOError:
            return b""
        except ConnectionError:
            data = b""
        if not data:
            self.close()
        self._left -= len(data)
        return data

    def say(self, data: bytes) -> None:
        """Tell the job, as far as its socket takes it: who does not read hears no more."""
        with suppress(OSError):
            self._ours.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def close(self) -> None:
        """No more words, either way."""
        self._ours.close()

    def environment(self, environment: dict[str, str]) -> dict[str, str]:
        """What the job finds in its environment."""
        return {**environment, VARIABLE: f"fd:{DESCRIPTOR}"}
