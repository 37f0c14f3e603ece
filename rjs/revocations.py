"""The list of what is revoked that a server goes by: kept on its disk, told on, and enforced at every session.

    book = RevocationBook(root, folder / REVOCATIONS)
    acceptor = Acceptor(reactor, me, GuardedDoor(door, book), context, most)
    book.changed = ...                       # called after every new list

Servers tell each other the number of their list before anything else on a session; who has the higher one tells the
list. So a machine that slept, or was away, has the newest list of whoever serves it before it hears of any work. A
list is judged by its reader alone, to the organisation's root: who carried it counts for nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.logger import Logger

from rjs.bundle.verify import Signer, spki_of
from rjs.identity.errors import IdentityError
from rjs.identity.keys import Chain
from rjs.identity.names import SERVERS, RjsName, Role
from rjs.identity.revocation import (
    Revocations,
    RevokedError,
    StaleRevocationsError,
    What,
    check_floor,
    check_fresh,
    check_succession,
    read_revocations,
)
from rjs.identity.revocation_file import keep_revocations, kept_revocations
from rjs.wall_time import Wall, utc_now
from rjs.wire import messages as m
from rjs.wire.session import Door, Routes, Session

_log = Logger("rjs.revocations")


class RevocationBook:
    """The newest list that this server knows, and the sessions for which it counts.

    ``current`` is None before the first. ``received`` judges what a peer tells; a web server has its authority put
    that together with its own.
    """

    def __init__(self, root: x509.Certificate, path: Path, wall: Wall = utc_now) -> None:
        self._root = root
        self._path = path
        self._wall = wall
        self._sessions: dict[Session, int] = {}
        self._logged: set[tuple[What, str]] = set()
        self.current = kept_revocations(path, root)
        self.changed: Callable[[], object] = lambda: None
        self.received: Callable[[Revocations], object] = self.take
        self.may_tell: Callable[[], bool] = lambda: True
        """Whether our certificate is good: with one that has expired we may not speak of lists."""

    # --- the list -----------------------------------------------------------------------------------

    def take(self, offered: Revocations) -> None:
        """Go by ``offered`` from now on: kept on disk, enforced on every session, and told on.

        A full disk (a job may have filled it) keeps nothing out of force: after a restart the servers that this one
        meets tell it again. Raises IdentityError when it is older, or takes something back.
        """
        if self.current is not None:
            if offered.is_same(self.current):
                return
            check_succession(self.current, offered, self._wall())
        else:
            check_floor(offered, self._wall())
        self.current = offered
        try:
            keep_revocations(self._path, offered)
        except OSError as error:
            _log.error("the list of what is revoked is in force, and cannot be kept: {error}", error=error)
        for session in list(self._sessions):
            if not self._turned_out(session) and self._sessions[session] < offered.number:
                self._tell(session)
        self.changed()

    def check_fresh(self) -> None:
        """Raises StaleRevocationsError when nothing new may start by this list."""
        check_fresh(self.current, self._wall())

    def check_signer(self, signer: Signer) -> None:
        """Raises RevokedError when a key of this verified path is revoked: the signer's own, or of a CA above it."""
        if self.current is None:
            return
        keys = (spki_of(x509.load_der_x509_certificate(each)) for each in signer.path)
        entry = next(filter(None, map(self.current.signer, keys)), None)
        if entry is not None:
            raise RevokedError(entry, "sign with a new key, which joining anew into another folder makes")

    def check_caller(self, chain: Chain, name: RjsName) -> None:
        """Raises RevokedError when this chain of an invitation or a token certificate, which is for ``name``, is
        revoked."""
        entry = None if self.current is None else self.current.caller(chain, name)
        if entry is not None:
            raise RevokedError(entry)

    def check_answer(self, cs: str, signer: Signer | None = None) -> None:
        """Raises RevokedError when this CS, or a certificate of its answer key's path, is revoked."""
        if self.current is None:
            return
        chain = () if signer is None else tuple(map(x509.load_der_x509_certificate, signer.path))
        entry = self.current.answer(cs, chain)
        if entry is not None:
            raise RevokedError(entry)

    def document(self) -> dict[str, Any]:
        """What the server's status says of it."""
        if self.current is None:
            return {"number": 0, "entries": 0, "until": None, "stale": True}
        return {
            "number": self.current.number,
            "entries": len(self.current.said.entries),
            "until": self.current.until.isoformat(timespec="seconds"),
            "stale": self._is_stale(),
        }

    def _is_stale(self) -> bool:
        try:
            self.check_fresh()
        except StaleRevocationsError:
            return True
        return False

    # --- sessions -----------------------------------------------------------------------------------

    def admits(self, session: Session) -> bool:
        """Whether the list lets this peer in; if not, it is told and its session ends."""
        if self._turned_out(session):
            return False
        self._sessions[session] = 0
        if session.peer.name.role in SERVERS and self.may_tell():
            session.tell(self._our_number())
        return True

    def left(self, session: Session) -> bool:
        """It ended; whether it had been admitted."""
        return self._sessions.pop(session, None) is not None

    def routes(self) -> Routes:
        """What servers say to each other of their lists, and what people ask."""
        return {
            m.RevocationNumber: self._number_of,
            m.RevocationList: self._told,
            m.RevocationRead: self._read,
        }

    def _turned_out(self, session: Session) -> bool:
        entry = self.current.peer(session.peer) if self.current is not None else None
        if entry is None:
            return False
        refused = RevokedError(entry)
        if entry.key not in self._logged:  # whoever comes again and again fills no disk
            self._logged.add(entry.key)
            _log.warn("turned {name} out, and will again: {why}", name=session.peer.common_name, why=refused)
        self._tell(session)  # an honest server passes on even what turns itself out
        session.close(refused.code, refused.sentence)
        return True

    def _number_of(self, session: Session, message: m.RevocationNumber) -> None:
        ours = self._our_number()
        if message.number < ours.number or (message.number == ours.number and message.digest != ours.digest):
            self._tell(session)

    def _our_number(self) -> m.RevocationNumber:
        if self.current is None:
            return m.RevocationNumber(number=0)
        digest = hashlib.sha256(self.current.signed.statement).digest()
        return m.RevocationNumber(number=self.current.number, digest=digest)

    def _read(self, session: Session, message: m.RevocationRead) -> m.RevocationList | m.Done:
        if self.current is None or self.current.number <= message.known:
            return m.Done()
        return m.RevocationList(list=self.current.signed)

    def _told(self, session: Session, message: m.RevocationList) -> None:
        told = self._sessions.get(session, 0)
        try:
            offered = read_revocations(message.list, self._root)
            self._sessions[session] = offered.number  # or it would be told back
            self.received(offered)
        except IdentityError as refused:
            self._sessions[session] = told
            _log.warn("refused a list of what is revoked from {name}: {why}", name=session.peer.name.uri(),
                      why=refused)  # fmt: skip
            self._tell(session)
            raise

    def _tell(self, session: Session) -> None:
        """Tell our list, once: two sides that do not believe each other's would tell them for ever."""
        if self.current is None or session.peer.name.role not in SERVERS or not self.may_tell():
            return
        if self._sessions.get(session, 0) < self.current.number:
            if session in self._sessions:
                self._sessions[session] = self.current.number
            session.tell(m.RevocationList(list=self.current.signed))


class GuardedDoor:
    """A door behind which nobody comes who is revoked, and at which lists are exchanged. Implements ``Door``.

    ``more`` is what else is said here of revoking.
    """

    def __init__(self, door: Door, book: RevocationBook, more: Routes | None = None) -> None:
        self._door = door
        self._book = book
        self.welcome: frozenset[Role] = door.welcome
        self.routes: Routes = {**door.routes, **book.routes(), **(more or {})}

    def opened(self, session: Session) -> None:
        """Admit it, unless it is revoked."""
        if self._book.admits(session):
            self._door.opened(session)

    def heard(self, session: Session) -> None:
        """As the door says."""
        self._door.heard(session)

    def answered(self, session: Session, sent: float) -> None:
        """As the door says."""
        self._door.answered(session, sent)

    def closed(self, session: Session, reason: str) -> None:
        """As the door says, if it ever came in."""
        if self._book.left(session):
            self._door.closed(session, reason)
