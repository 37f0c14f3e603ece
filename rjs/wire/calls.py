"""The log of calls: one line for each decision, with caller and method, in the namespace ``rjs.calls``.

Refusals are always told, and the calls of people and of whoever joins or comes back; those of servers, hundreds for
each second of work, at the level ``debug`` only. The time is the log's.
"""

from __future__ import annotations

from typing import Final

from twisted.logger import Logger, LogLevel

from rjs import limits
from rjs.identity.names import SERVERS, RjsName

_log: Final = Logger("rjs.calls")


class CallLog:
    """The log of one session's calls. Refusals beyond ``limits.LOGGED_REFUSALS`` fill no disk."""

    def __init__(self) -> None:
        self._refusals = 0

    def allowed(self, caller: RjsName, method: str) -> None:
        """The call may be made, and is."""
        level = LogLevel.debug if caller.role in SERVERS else LogLevel.info
        _log.emit(level, "{caller} {method} allowed", caller=caller.uri(), method=method)

    def refused(self, caller: RjsName, method: str, code: str, sentence: str) -> None:
        """The call was not allowed, or whoever it was for said no."""
        self._refusals += 1
        if self._refusals <= limits.LOGGED_REFUSALS:
            _log.info("{caller} {method} refused {code}: {sentence}",
                      caller=caller.uri(), method=method, code=code, sentence=sentence)  # fmt: skip
        if self._refusals == limits.LOGGED_REFUSALS:
            _log.info("{caller}: further refusals of this session are not logged", caller=caller.uri())
