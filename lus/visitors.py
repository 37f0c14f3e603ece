"""Visitors at the LUS's door: whoever joins, and people who renew, where only the LUS reaches the WS. Their requests
are signed objects, which the LUS carries and can neither alter nor redirect.

    door = GuardedDoor(FrontDoor(CsDoor(…), Visitors(shell, root)), book)

Nothing else of theirs is carried. A request is judged here, to the organisation's root, before the WS hears of it: an
invitation that was made up costs a handshake. What the WS decides, it decides as if they had come themselves.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import attrs
from cryptography import x509
from twisted.logger import Logger

from lus import limits
from lus.api import CsDoor
from lus.shell import Shell
from rjs.errors import RefusedError
from rjs.identity.enrolment import check_enrolment
from rjs.identity.names import Role
from rjs.identity.paths import chain_der
from rjs.identity.renewal import check_renewal
from rjs.wall_time import Wall, utc_now
from rjs.wire import messages as m
from rjs.wire.session import Routes, Session, SessionLostError

_log = Logger("lus.visitors")

VISITORS = frozenset({Role.INVITATION, Role.USER, Role.ADMIN})

Reply = TypeVar("Reply", bound=m.Message)


@attrs.define(eq=False)
class Visitors:
    """Their sessions, which are few and short, and their requests, one at a time each."""

    shell: Shell
    root: x509.Certificate
    wall: Wall = utc_now
    _here: dict[Session, None] = attrs.field(factory=dict)
    _by_name: Counter[str] = attrs.field(factory=Counter)
    _asking: set[Session] = attrs.field(factory=set)

    def opened(self, session: Session) -> None:
        """Somebody came. One visitor too many goes, and everybody does in time."""
        name = session.peer.certified.uri()
        if len(self._here) >= limits.VISITORS or self._by_name[name] >= limits.VISITS_OF_ONE:
            session.close("too-many-visitors", "too many are being served here; come again in a minute")
            return
        self._here[session] = None
        self._by_name[name] += 1
        timer = self.shell.timers.callLater(limits.VISIT, self._over, session)
        session.gone().addCallback(lambda _: timer.cancel() if timer.active() else None)

    def closed(self, session: Session) -> None:
        """They left."""
        if session in self._here:
            del self._here[session]
            self._by_name -= Counter((session.peer.certified.uri(),))

    async def enrol(self, session: Session, message: m.MemberEnrol) -> m.MemberEnrolled:
        """Carry a joiner's request, with the chain of the invitation that this very connection proved."""
        if message.chain or session.peer.name.role is not Role.INVITATION:
            raise RefusedError("not-yours", "whoever joins shows the invitation on a connection of its own")
        chain, now = session.peer.chain, self.wall()
        who = check_enrolment(message.request, chain, self.root, now).name
        _log.info("carrying the enrolment of {name}", name=who.uri())
        carried = m.MemberEnrol(request=message.request, chain=chain_der(chain))
        return await self._carry(session, carried, m.MemberEnrolled)

    async def renew(self, session: Session, message: m.MemberRenew) -> m.MemberRenewed:
        """Carry a person's request for the next certificate."""
        if check_renewal(message.request, self.root, self.wall()).name != session.peer.certified:
            raise RefusedError("not-yours", "a certificate is renewed by its holder")
        return await self._carry(session, m.MemberRenew(request=message.request), m.MemberRenewed)

    async def _carry(self, session: Session, message: m.Message, kind: type[Reply]) -> Reply:
        ws = self.shell.ws
        if ws is None:
            raise RefusedError(
                "ws-away", "this lookup server does not reach the web server either now; try again later"
            )
        with self._one_at_a_time(session):
            try:
                return await ws.request(message, kind)
            except SessionLostError as lost:
                raise RefusedError(
                    "ws-away", f"the web server was lost meanwhile ({lost}); ask again"
                ) from lost

    @contextmanager
    def _one_at_a_time(self, session: Session) -> Iterator[None]:
        if session in self._asking:
            raise RefusedError("busy", "the request before this one is still on its way")
        self._asking.add(session)
        try:
            yield
        finally:
            self._asking.discard(session)

    def _over(self, session: Session) -> None:
        session.close(
            "too-long", f"a visit here takes at most {dt.timedelta(seconds=limits.VISIT)}; come again"
        )


class FrontDoor:
    """What stands behind the LUS's port: compute servers go on to their own door. Implements ``Door``."""

    def __init__(self, servers: CsDoor, visitors: Visitors) -> None:
        self._servers = servers
        self._visitors = visitors
        self.welcome: frozenset[Role] = servers.welcome | VISITORS
        self.routes: Routes = {
            **servers.routes,
            m.MemberEnrol: visitors.enrol,
            m.MemberRenew: self._renew,
        }

    def opened(self, session: Session) -> None:
        """A compute server, or a visitor."""
        if _visits(session):
            self._visitors.opened(session)
        else:
            self._servers.opened(session)

    def heard(self, session: Session) -> None:
        """A compute server's heartbeat renews its lease."""
        if not _visits(session):
            self._servers.heard(session)

    def answered(self, session: Session, sent: float) -> None:
        """We hold no lease of anybody's here."""

    def closed(self, session: Session, reason: str) -> None:
        """As either door says."""
        if _visits(session):
            _log.info("{name} left: {reason}", name=session.peer.name.uri(), reason=reason)
            self._visitors.closed(session)
        else:
            self._servers.closed(session, reason)

    async def _renew(self, session: Session, message: m.MemberRenew) -> m.MemberRenewed:
        if _visits(session):
            return await self._visitors.renew(session, message)
        return await self._servers.renew(session, message)


def _visits(session: Session) -> bool:
    """Whether this is no compute server, expired or not; others than those who are welcome do not get this far."""
    return session.peer.certified.role is not Role.CS
