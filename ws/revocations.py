"""The web server's part in revoking: asks its authority, tells everybody, and ends what no longer may be.

The list is the authority's alone: this process can neither write one nor take an entry off it. What a list means for
the queue is applied at every new one, so it holds after any crash in between.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import attrs
from cryptography import x509
from twisted.logger import Logger

from rjs.background import Tasks
from rjs.bundle.verify import Signer
from rjs.errors import RefusedError
from rjs.identity.names import RjsName, Role
from rjs.identity.revocation import (
    Revocations,
    Revoked,
    RevokedError,
    SignedRevocations,
    What,
    check_entry,
    read_revocations,
)
from rjs.operator_orders import revocation_orders
from rjs.orders import settle
from rjs.revocations import RevocationBook
from rjs.wire import messages as m
from rjs.wire.session import Routes, Session
from ws import store
from ws.authority.child import Registrar
from ws.authority.errors import CannotIssueError
from ws.job import SIGNER_REVOKED
from ws.members import Members
from ws.shell import Shell

_log = Logger("ws.revocations")


@attrs.define(eq=False)
class RevocationDesk:
    """Everything that a revocation is at the web server. ``orders`` is the folder where commands place them."""

    book: RevocationBook
    registrar: Registrar
    root: x509.Certificate
    shell: Shell
    members: Members
    tasks: Tasks
    orders: Path

    def __attrs_post_init__(self) -> None:
        self.book.changed = self._apply
        self.book.received = self._offered

    def routes(self) -> Routes:
        """What an admin may ask for."""
        return {m.AdminRevoke: self._asked}

    async def renew(self) -> None:
        """Issue the next list, with all that is known here; failing is told, and tried again at the next time."""
        known = self.book.current
        try:
            await self._take(await self.registrar.relist(None if known is None else known.signed))
        except RefusedError as error:
            _log.error("no new list of what is revoked: {error}", error=error)

    async def revoke(self, what: What, whom: str, reason: str) -> None:
        """Revoke from now on; returns when the list that says so is durable and told. Raises RefusedError."""
        name = (await self._member(whom)).uri() if what is What.MEMBER else whom.lower()
        entry = Revoked(what, name, self.shell.wall().timestamp(), reason)
        check_entry(entry)
        await self._take(await self.registrar.revoke(entry))
        _log.warn("revoked: {entry}", entry=entry.sentence())

    async def follow_orders(self) -> None:
        """Do what commands asked for since the last look. One that cannot be followed now waits."""
        for path, order in revocation_orders(self.orders).waiting():
            try:
                await self.revoke(order.what, order.id, order.reason)
            except CannotIssueError as error:
                _log.warn("an order to revoke waits: {error}", error=error)
                return
            except RefusedError as error:
                settle(path, error)
            else:
                settle(path)

    def check_upload(self, account: str, signer: Signer) -> None:
        """Raises RevokedError when the account is revoked, or a key of the signer's path."""
        newest, joined = self.book.current, self.members.joined.get(account, 0.0)
        person = None if newest is None else newest.member(RjsName(Role.USER, account), joined)
        if person is not None:
            raise RevokedError(person)
        self.book.check_signer(signer)

    async def _asked(self, session: Session, message: m.AdminRevoke) -> None:
        reason = message.reason or f"by {session.peer.name.uri()}"
        await self.revoke(message.what, message.id, reason)

    async def _member(self, whom: str) -> RjsName:
        """The member that a person means: by its whole name, by its id, or by what it is called."""
        text = whom.removeprefix("rjs://")
        if "/" in text:
            return RjsName.parse(f"rjs://{text}")
        found = await self.shell.storage.read(partial(store.members_called, text=text))
        if not found:
            raise RefusedError(
                "no-such-member", f"nobody who joined has the id or name {whom!r}: rjs ca list CADIR"
            )
        if len(found) > 1:
            names = ", ".join(name.uri() for name in found[:5])
            raise RefusedError("ambiguous", f"{whom!r} is the name of several: {names}; give one of these")
        return found[0]

    async def _take(self, signed: SignedRevocations) -> None:
        """Go by what the authority answered. One that was set back learns from us what it has lost."""
        offered, current = read_revocations(signed, self.root), self.book.current
        if current is None or (offered.number > current.number and offered.covers(current.said.entries)):
            self.book.take(offered)
        elif not current.covers(offered.said.entries):
            self.book.take(read_revocations(await self.registrar.relist(current.signed), self.root))

    def _offered(self, offered: Revocations) -> None:
        """A server tells a list: it knows more than we do where we were restored from a backup."""
        current = self.book.current
        if current is None or current.number < offered.number or not current.covers(offered.said.entries):
            _log.warn("a server knows a list of what is revoked, number {number}, that was lost here",
                      number=offered.number)  # fmt: skip
            self.tasks.spawn("lost list of what is revoked", self._recover(offered))

    async def _recover(self, offered: Revocations) -> None:
        try:
            await self._take(await self.registrar.relist(offered.signed))
        except RefusedError as error:
            _log.error("the list that was lost here is not recovered: {error}", error=error)

    def _apply(self) -> None:
        """What is revoked holds nothing and waits for nothing."""
        newest, queue, now = self.book.current, self.shell.queue, self.shell.now()
        assert newest is not None
        for lus in queue.luses():
            if newest.member(RjsName(Role.LUS, lus)) is not None:
                self.shell.perform(queue.lus_revoked(lus, now))
        for job, state in list(queue.jobs.items()):
            entry = None if state.ended else newest.signer(state.job.brief.signer)
            if entry is not None:
                self.shell.perform(queue.fail(job, f"{SIGNER_REVOKED}{entry.sentence()}", now))
