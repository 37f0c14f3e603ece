"""What the operator has stated and certified for this web server: which other CAs count, and its authority's years.

Every paper is judged to the organisation's root, here and by the authority for itself; the operator's commands bring
them by orders in a folder. A new statement or certificate counts from the next question on; nothing is restarted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec
from cryptography import x509
from twisted.logger import Logger

from rjs.errors import RefusedError
from rjs.identity.accepted_cas import (
    Acceptance,
    SignedAcceptance,
    check_acceptance_succession,
    read_acceptance,
)
from rjs.identity.accepted_file import ACCEPTED_CAS, keep_acceptance, kept_acceptance
from rjs.identity.errors import IdentityError
from rjs.identity.peers import PeerIdentity, guest
from rjs.identity.profiles import subject_text
from rjs.identity.succession import REMEDY, due
from rjs.operator_orders import (
    accept_orders,
    certify_orders,
    request_orders,
)
from rjs.orders import give_result, settle
from ws.authority.child import AuthorityChild
from ws.authority.errors import CannotIssueError

_log = Logger("ws.mandates")


@attrs.define(eq=False)
class Mandates:
    """The operator's papers. ``folder`` is that of the cluster, ``orders`` where commands place what to do."""

    authority: AuthorityChild
    root: x509.Certificate
    folder: Path
    orders: Path
    acceptance: Acceptance | None = attrs.field(init=False)

    @acceptance.default
    def _kept(self) -> Acceptance | None:
        return kept_acceptance(self.folder / ACCEPTED_CAS, self.root)

    async def begin(self) -> None:
        """Follow what was ordered while nobody ran, and see that the authority goes by the same statement."""
        await self.follow_orders()
        if self.acceptance is not None:
            try:
                await self.authority.accept(self.acceptance.signed)
            except RefusedError as error:
                _log.error("the authority goes by another statement of accepted CAs: {error}", error=error)

    async def follow_orders(self) -> None:
        """Do what commands asked for since the last look. One that cannot be followed now waits."""
        try:
            for path, accept in accept_orders(self.orders).waiting():
                await self._settle(path, self.accept(accept.signed))
            for path, _ in request_orders(self.orders).waiting():
                await self._settle(path, self._request(path))
            for path, certified in certify_orders(self.orders).waiting():
                await self._settle(path, self._take_over(certified.certificates))
        except CannotIssueError as error:
            _log.warn("an order of the operator waits: {error}", error=error)

    async def _settle(self, order: Path, work: Awaitable[None]) -> None:
        try:
            await work
        except CannotIssueError:
            raise
        except RefusedError as error:
            _log.warn("refused an order of the operator: {error}", error=error)
            settle(order, error)
        else:
            settle(order)

    async def accept(self, signed: SignedAcceptance) -> None:
        """Go by this statement from now on, if it is the operator's and newer. Raises RefusedError."""
        offered = read_acceptance(signed, self.root)
        check_acceptance_succession(self.acceptance, offered)
        await self.authority.accept(signed)
        keep_acceptance(self.folder / ACCEPTED_CAS, offered)
        self.acceptance = offered
        _log.info("goes by statement {number} of accepted CAs", number=offered.number)

    async def _request(self, order: Path) -> None:
        give_result(order, msgspec.msgpack.encode(await self.authority.prepare()))

    async def _take_over(self, certificates: tuple[bytes, ...]) -> None:
        await self.authority.take_over(certificates)
        _log.info("the authority issues by new certificates until {until}", until=self.authority.not_after)

    def guest(self, chain: Sequence[x509.Certificate], now: dt.datetime) -> PeerIdentity:
        """Who shows this chain at the door, as a guest. Raises IdentityError for a stranger."""
        if self.acceptance is None:
            raise IdentityError(
                "other_root",
                f"the certificate of {subject_text(chain[0])} does not lead to our organisation's root, and no other "
                f"CA is accepted",
            )
        return guest(self.acceptance.path(chain, now))

    def warnings(self, now: dt.datetime) -> list[str]:
        """What the operator should do within weeks, in words."""
        ends = [
            ("token intermediate", self.authority.not_after),
            ("record key", self.authority.record_not_after),
        ]
        found = [
            f"the web server's certificate as {what} ends on {until:%Y-%m-%d %H:%M}Z, and nothing is issued then; "
            f"{REMEDY}"
            for what, until in ends
            if until is not None and due(until, now)
        ]
        if self.acceptance is not None and self.acceptance.said.cas and due(self.acceptance.until, now):
            found.append(
                f"the statement of accepted CAs counts until {self.acceptance.until:%Y-%m-%d %H:%M}Z; make it anew: "
                f"rjs ca accept, then rjs ws accept"
            )
        return found

    async def tell(self, now: dt.datetime) -> None:
        """Log the warnings."""
        for warning in self.warnings(now):
            _log.warn("{warning}", warning=warning)

    def document(self, now: dt.datetime) -> dict[str, Any]:
        """What the web server's status says of it."""
        accepted = self.acceptance
        return {
            "accepted_cas": 0 if accepted is None else len(accepted.said.cas),
            "statement": 0 if accepted is None else accepted.number,
            "until": None if accepted is None else accepted.until.isoformat(timespec="seconds"),
            "warnings": self.warnings(now),
        }
