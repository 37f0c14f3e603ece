"""Handing a session over to a new one before a certificate ends under it: make before break.

The dialling end does it, when its own certificate or the peer's is old enough that both have newer ones. The new
session is open before the old one is left, and what is under way on the old one is done there (``Session.give_way``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.interfaces import IReactorTime

from rjs.limits import HANDOVER_PAUSE, RENEWAL_LOOK, RENEWAL_LOOK_FIRST
from rjs.wire.session import Session


async def hold(reactor: IReactorTime, session: Session, dial: Callable[[], Awaitable[Session | None]]) -> str:
    """Hold ``session``, and the ones that ``dial`` opens in its place as certificates age; the reason of the last
    one's end. ``dial`` gives None where it cannot: then the old session is held on and ``dial`` is called again.

    Cancelling it says goodbye, and then waits for the end.
    """
    pause = 0.0
    while True:
        try:
            reason = await _gone_or_due(reactor, session, pause)
            newer = await dial() if reason is None else None
        except CancelledError:
            session.close("closing", "this side stops")
            await session.gone()
            raise
        if reason is not None:
            return reason
        if newer is not None:
            session.give_way(newer)
            session = newer
        pause = _pause(session)


def _pause(session: Session) -> float:
    """Seconds to hold a session that is due although it is new or nothing could take its place: a few tries before
    its end, and not many."""
    if session.due_in() > 0:
        return 0.0
    return min(max(session.ends_in() / 4, RENEWAL_LOOK_FIRST), HANDOVER_PAUSE)


async def _gone_or_due(reactor: IReactorTime, session: Session, pause: float) -> str | None:
    """The reason of its end, or None when a handover is due and ``pause`` seconds are over. Looks in between, because
    clocks are set and machines sleep."""
    not_before = reactor.seconds() + pause
    while (left := max(session.due_in(), not_before - reactor.seconds())) > 0:
        try:
            return await session.gone().addTimeout(min(left, RENEWAL_LOOK), reactor)
        except TimeoutError:
            continue
    return session.reason if session.ended else None
