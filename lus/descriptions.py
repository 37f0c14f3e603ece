"""What compute servers say of themselves, heard at a measured pace: of many words in a moment the last one counts.

Each description costs the board some work, and a CS may send thousands a second. The order of what one CS says is
kept: what was not heard yet is heard before anything else that it says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import attrs

from lus import limits
from rjs.attempts import AttemptId
from rjs.background import Timer, Timers
from rjs.wire.messages import CsState
from rjs.wire.session import Session

Hear = Callable[[Session, CsState, Collection[AttemptId]], None]
"""A CS described itself; since it last did, it said that it ran these attempts."""


@attrs.define
class _Later:
    """What a session said since it was heard last; ``ran`` are attempts in what nobody heard."""

    call: Timer
    state: CsState | None = None
    ran: dict[AttemptId, None] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Descriptions:
    """Hands on what sessions say, of each at once or at most ``DESCRIBED`` seconds later. ``gave`` says whether this
    CS was given that attempt."""

    timers: Timers
    hear: Hear
    gave: Callable[[str, AttemptId], bool]
    _later: dict[Session, _Later] = attrs.field(factory=dict)

    def say(self, session: Session, state: CsState) -> None:
        """It described itself."""
        later = self._later.get(session)
        if later is None:
            self._pause(session)
            self.hear(session, state, ())
            return
        if later.state is not None:
            cs = session.peer.name.id
            later.ran.update((each, None) for each in later.state.running if self.gave(cs, each))
        later.state = state

    def settle(self, session: Session | None) -> None:
        """It says something else: what it said of itself before comes first."""
        later = self._later.get(session) if session is not None else None
        if session is None or later is None or later.state is None:
            return
        state, ran = later.state, later.ran
        later.state, later.ran = None, {}
        self.hear(session, state, ran)

    def forget(self, session: Session) -> None:
        """It has ended; a new one begins with all that there is to say."""
        later = self._later.pop(session, None)
        if later is not None:
            later.call.cancel()

    def _pause(self, session: Session) -> None:
        call = self.timers.callLater(limits.DESCRIBED, self._paused, session)
        self._later[session] = _Later(call)

    def _paused(self, session: Session) -> None:
        later = self._later.pop(session)
        if later.state is not None:
            self._pause(session)
            self.hear(session, later.state, later.ran)
