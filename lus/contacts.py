"""Contacts: dials every compute server that announces itself, and keeps a session with each.

An announcement is a hint; the certificate decides who is there. A refused connection where this very boot id
was reached before proves that process dead, and only that does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.base import ReactorBase
from twisted.logger import Logger

from lus import limits
from rjs.background import Tasks, sleep
from rjs.discovery import Seen
from rjs.errors import UnreachableError
from rjs.identity.tls import ClientContext
from rjs.wire.dial import Backoff, RefusedConnectionError, dial
from rjs.wire.handover import hold
from rjs.wire.session import Door, Self, Session

_log = Logger("lus.contacts")


@attrs.define
class Contact:
    """What is known of an announced CS. ``reached``: the boot id and address of its last session."""

    seen: Seen
    at: float
    reached: tuple[str, str, int] | None = None
    trouble: str = ""


@attrs.define(eq=False)
class Contacts:
    """Announced compute servers, by id."""

    reactor: ReactorBase
    me: Self
    door: Door
    tasks: Tasks
    creator: Callable[[str], ClientContext]
    dead: Callable[[str], None]
    unwanted: Callable[[str], str] = lambda cs: ""
    """Why a CS is not dialled at all, in words; empty for the others."""
    known: dict[str, Contact] = attrs.field(factory=dict)
    _dialling: set[str] = attrs.field(factory=set)
    _numbers: int = 0

    def seen(self, seen: Seen) -> None:
        """An announcement was heard."""
        contact = self.known.get(seen.id)
        if contact is None:
            if len(self.known) >= limits.CONTACTS:
                return
            contact = self.known[seen.id] = Contact(seen, self.reactor.seconds())
        contact.seen, contact.at = seen, self.reactor.seconds()
        if seen.id not in self._dialling:
            self._dialling.add(seen.id)
            self.tasks.spawn(f"contact with {seen.id}", self._keep(seen.id, contact))

    async def _keep(self, cs: str, contact: Contact) -> None:
        """One session after the other until the CS is dead or long unheard."""
        backoff = Backoff()
        try:
            while self.reactor.seconds() - contact.at < limits.CONTACT_FORGOTTEN:
                held = 0.0
                session = await self._dial(cs, contact)
                if session is not None:
                    began = self.reactor.seconds()
                    contact.trouble = await hold(self.reactor, session, partial(self._dial, cs, contact))
                    contact.at = self.reactor.seconds()
                    held = contact.at - began
                elif contact.reached is None and not self._is_announced(contact):
                    return
                await sleep(self.reactor, backoff.pause(held))
        finally:
            self._dialling.discard(cs)
            self.known.pop(cs, None)

    def _is_announced(self, contact: Contact) -> bool:
        return self.reactor.seconds() - contact.at < limits.CONTACT_SILENT

    async def _dial(self, cs: str, contact: Contact) -> Session | None:
        """A session at the first address where this CS answers; notices when its process is dead."""
        seen, why = contact.seen, self.unwanted(cs)
        faults = [why] if why else []
        for address in () if why else seen.addresses:
            self._numbers += 1
            try:
                session = await dial(
                    self.reactor, address, seen.port, self.me, self.door, self.creator(cs), self._numbers
                )
            except RefusedConnectionError as error:
                faults.append(str(error))
                if contact.reached == (seen.boot, address, seen.port):
                    contact.reached = None
                    self.dead(cs)
            except UnreachableError as error:
                faults.append(str(error))
            else:
                contact.reached = (session.peer_hello.boot, address, seen.port)
                return session
        trouble = "; ".join(faults)
        if trouble != contact.trouble:
            _log.info("cannot reach {cs}: {trouble}", cs=cs, trouble=trouble)
        contact.trouble = trouble
        return None
