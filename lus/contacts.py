"""Contacts: dials every compute server that announces itself, and keeps a session with each.

An announcement is a hint; the certificate decides who is there. A CS that dialled us is not dialled, but once, to
know whether it could be. A refused connection where we reached this very boot id before proves that process dead,
whoever dialled the session that was lost, and only that does. A CS that serves another LUS is left to it; one that is
refused for its certificate, or refuses ours, is dialled ever more seldom until it announces something new.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, DeferredSemaphore, TimeoutError
from twisted.logger import Logger

from lus import limits
from rjs.background import Tasks, sleep
from rjs.discovery import Seen
from rjs.errors import UnreachableError
from rjs.identity.tls import ClientContext
from rjs.limits import DIAL_BACKOFF_MOST
from rjs.wire.dial import Backoff, RefusedConnectionError, dial, jittered
from rjs.wire.duplicates import DialNumbers
from rjs.wire.handover import hold
from rjs.wire.refusals import lasts, same_words
from rjs.wire.session import Door, Self, Session

_log = Logger("lus.contacts")


@attrs.define
class Contact:
    """What is known of an announced CS. ``reached``: the boot id and address of the last session that we dialled;
    ``looked``: the boot id of which we know whether we can. ``elsewhere``: it serves another LUS. ``news``: it
    announced something new since it was dialled last. ``refused``: one of us refused the other, and that lasts."""

    seen: Seen
    at: float
    reached: tuple[str, str, int] | None = None
    looked: str = ""
    elsewhere: bool = False
    news: bool = False
    refused: bool = False
    trouble: str = ""
    nap: Deferred[None] | None = None


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
    current: Callable[[str], Session | None] = lambda cs: None
    """The open session with a CS, whoever dialled it."""
    numbers: DialNumbers = attrs.field(factory=DialNumbers)
    known: dict[str, Contact] = attrs.field(factory=dict)
    _dialling: set[str] = attrs.field(factory=set)
    _room: DeferredSemaphore = attrs.field(factory=partial(DeferredSemaphore, limits.DIALS_AT_ONCE))

    def seen(self, seen: Seen) -> None:
        """An announcement was heard."""
        contact = self.known.get(seen.id)
        if contact is None:
            if len(self.known) >= limits.CONTACTS:
                return
            contact = self.known[seen.id] = Contact(seen, self.reactor.seconds())
            contact.elsewhere = self._is_elsewhere(seen)
        is_news = _said(seen) != _said(contact.seen)
        contact.seen, contact.at = seen, self.reactor.seconds()
        if is_news:
            contact.elsewhere = self._is_elsewhere(seen)
            contact.news = True
            if contact.nap is not None and not contact.elsewhere:
                contact.nap.callback(None)
        if seen.id not in self._dialling:
            self._dialling.add(seen.id)
            self.tasks.spawn(f"contact with {seen.id}", self._keep(seen.id, contact))

    def _is_elsewhere(self, seen: Seen) -> bool:
        return seen.serves is not None and not self.me.name.endswith(f"/{seen.serves}")

    async def _keep(self, cs: str, contact: Contact) -> None:
        """One session after the other until the CS is dead or long unheard."""
        backoff, pause = Backoff(), 0.0
        try:
            while self.reactor.seconds() - contact.at < limits.CONTACT_FORGOTTEN:
                await self._nap(contact, jittered(limits.SERVED_ELSEWHERE) if contact.elsewhere else pause)
                held = await self._meet(cs, contact)
                if not held and contact.reached is None and not self._is_announced(contact):
                    return
                pause = backoff.pause(held, limits.REFUSED_DIALLED if contact.refused else DIAL_BACKOFF_MOST)
        finally:
            self._dialling.discard(cs)
            self.known.pop(cs, None)

    async def _nap(self, contact: Contact, seconds: float) -> None:
        """Pause. What the CS announces newly ends a long one, and is no reason to hurry more than ``WOKEN``."""
        if seconds > limits.WOKEN:
            await sleep(self.reactor, limits.WOKEN)
            if contact.news and not contact.elsewhere:
                return
            seconds -= limits.WOKEN
            contact.nap = Deferred()
            try:
                await contact.nap.addTimeout(seconds, self.reactor, lambda *_: None)
            finally:
                contact.nap = None
        elif seconds:
            await sleep(self.reactor, seconds)

    async def _meet(self, cs: str, contact: Contact) -> float:
        """The seconds for which a session held; 0 when there was none."""
        began, other = self.reactor.seconds(), self.current(cs)
        contact.news = contact.refused = False
        if other is None or not await self._left(other, contact):
            session = await self._dial(cs, contact)
            if session is None:
                return 0.0
            contact.trouble = await hold(self.reactor, session, partial(self._dial, cs, contact))
            contact.elsewhere = contact.trouble.startswith("serving-another:")
            contact.refused = lasts(contact.trouble)
        contact.at = self.reactor.seconds()
        return contact.at - began

    async def _left(self, session: Session, contact: Contact) -> bool:
        """Waits while the CS keeps a session that it dialled. False: it is time to see whether we could have."""
        boot, contact.looked = contact.looked, session.peer_hello.boot
        if boot == contact.looked:
            await session.gone()
            return True
        try:
            await session.gone().addTimeout(jittered(limits.DOOR_LOOK), self.reactor)
        except TimeoutError:
            return False
        return True

    def _is_announced(self, contact: Contact) -> bool:
        return self.reactor.seconds() - contact.at < limits.CONTACT_SILENT

    async def _dial(self, cs: str, contact: Contact) -> Session | None:
        """A session at the first address where this CS answers. Those never reached wait for each other."""
        if contact.reached is not None:
            return await self._dialled(cs, contact)
        await self._room.acquire()
        try:
            return await self._dialled(cs, contact)
        finally:
            self._room.release()

    async def _dialled(self, cs: str, contact: Contact) -> Session | None:
        """The same at once; notices when the CS's process is dead."""
        seen, why = contact.seen, self.unwanted(cs)
        faults = [why] if why else []
        for address in () if why else seen.addresses:
            try:
                session = await dial(
                    self.reactor,
                    address,
                    seen.port,
                    self.me,
                    self.door,
                    self.creator(cs),
                    self.numbers.next(),
                )
            except RefusedConnectionError as error:
                faults.append(str(error))
                if contact.reached == (seen.boot, address, seen.port) and self.current(cs) is None:
                    contact.reached = None
                    self.dead(cs)
            except UnreachableError as error:
                faults.append(str(error))
            else:
                contact.looked = session.peer_hello.boot
                contact.reached = (contact.looked, address, seen.port)
                return session
        contact.refused = any(map(lasts, faults))
        trouble = "; ".join(map(same_words, faults))
        if trouble != contact.trouble:
            _log.info("cannot reach {cs}: {trouble}", cs=cs, trouble=trouble)
        contact.trouble = trouble
        return None


def _said(seen: Seen) -> tuple[object, ...]:
    """What of an announcement is worth dialling again for."""
    return seen.boot, seen.serves, seen.port, frozenset(seen.addresses)
