"""A log that whoever calls cannot fill a disk with: so many lines of one kind at once, and then a few a second.

Lines are of one kind when the same statement writes them, of one caller where it names one: who floods the log hides
no call of anybody else's. What is left out is counted, and told before the next line of its kind.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import attrs
from twisted.logger import ILogObserver, LogEvent, LogLevel
from zope.interface import implementer

from rjs import limits

Kind = tuple[str, str, str]


@attrs.define
class _Room:
    """Lines of one kind that may still be written, as of the time ``at``, and how many were left out."""

    left: float
    at: float
    omitted: int = 0


@implementer(ILogObserver)
class BoundedLog:
    """Passes events on to ``out`` within ``limits.LOG_AT_ONCE`` and ``limits.LOG_A_SECOND``; critical ones always."""

    def __init__(self, out: ILogObserver, steady: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._steady = steady
        self._rooms: OrderedDict[Kind, _Room] = OrderedDict()

    def __call__(self, event: LogEvent) -> None:
        """Twisted's door."""
        room = self._room(event)
        if room.left < 1 and event.get("log_level") is not LogLevel.critical:
            room.omitted += 1
            return
        room.left -= 1
        if room.omitted:
            said = "{omitted} lines like the next one were left out: they came too fast"
            plain = {key: value for key, value in event.items() if key != "log_failure"}  # nor its traceback
            self._out({**plain, "log_format": said, "omitted": room.omitted})
            room.omitted = 0
        self._out(event)

    def _room(self, event: LogEvent) -> _Room:
        parts = (event.get(each) or "" for each in ("log_namespace", "log_format", "caller"))
        namespace, form, caller = (str(each) for each in parts)
        kind, now = (namespace, form, caller), self._steady()
        room = self._rooms.pop(kind, None) or _Room(limits.LOG_AT_ONCE, now)
        room.left = min(limits.LOG_AT_ONCE, room.left + (now - room.at) * limits.LOG_A_SECOND)
        room.at = now
        self._rooms[kind] = room  # the longest unused is forgotten first
        if len(self._rooms) > limits.LOG_KINDS:
            self._rooms.popitem(last=False)
        return room
