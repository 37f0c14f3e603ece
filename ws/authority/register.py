"""What the authority keeps of the revoked: the newest list, and the rules by which the next one is made. Pure.

Entries are added and never taken back, whoever asks: a broken-into web server can revoke too much, and no less. Asked
twice for the same it answers the same, so that a question may be repeated after either process died.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable

import attrs
import msgspec
from cryptography import x509

from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.invitation import serial_of
from rjs.identity.paths import check_chain
from rjs.identity.profiles import Kind
from rjs.identity.revocation import (
    Revocations,
    Revoked,
    SignedRevocations,
    What,
    check_entry,
    read_revocations,
    sign_revocations,
    with_entries,
    without_lapsed,
)
from rjs.identity.succession import ended
from rjs.limits import CLOCK_SKEW, RENEWAL_GRACE, REVOKED, REVOKED_UNSEEN
from ws.authority.log import IssuedToken


@attrs.define(eq=False)
class Register:
    """The record key with the newest list, None before the first. ``ours`` are certificates without which there is no
    cluster. ``token_end`` says until when a token certificate was valid (Unix time), by its serial number; 0 for
    those of other kinds. ``issued`` lists the token certificates of a name."""

    record: Identity
    ours: tuple[x509.Certificate, ...]
    newest: Revocations | None = None
    token_end: Callable[[str], float] = lambda serial: 0.0
    issued: Callable[[str], Iterable[IssuedToken]] = lambda name: ()

    def __attrs_post_init__(self) -> None:
        if check_chain(self.record.chain, self.record.root, now=None) is not Kind.RECORD:
            raise IdentityError("kind", "record.pem does not hold the certificate of a record key")

    @property
    def not_after(self) -> dt.datetime:
        """When the operator must have certified the record key again."""
        return self.record.chain[0].not_valid_after_utc

    def revoke(self, entry: Revoked, now: dt.datetime) -> Revocations:
        """The list with ``entry``, from now on. One that is listed since ``entry.when`` or later is not listed anew.

        A member's token certificates that a clock which ran ahead dated later than now are listed one by one.
        Raises IdentityError for what is no entry, for the cluster's own certificates, and when the list is full.
        """
        check_entry(entry)
        if entry.what is What.CERTIFICATE and entry.id in map(serial_of, self.ours):
            raise IdentityError(
                "own_certificate", "nobody would be left: that certificate is the web server's own"
            )
        lapses = self._lapses(entry)
        if self.newest is not None and self.newest.covers([msgspec.structs.replace(entry, lapses=lapses)]):
            return self.newest
        latest = now.timestamp() + CLOCK_SKEW  # or nobody could ever be invited again
        when = min(max(entry.when, now.timestamp()), latest)
        stamped = Revoked(entry.what, entry.id, when, entry.reason, lapses)
        tokens = list(self.issued(entry.id)) if entry.what is What.MEMBER else []
        if not (tokens or lapses):
            self._check_room()
        ahead = (each for each in tokens if each.when.timestamp() > when)
        return self._next((stamped, *(_certificate(each, stamped) for each in ahead)), now)

    def _check_room(self) -> None:
        """Keep room for members and their certificates: with names that it made up, a broken-into web server would
        fill the list for good, and nobody could be revoked any more. Raises IdentityError."""
        if self.newest is not None and len(self.newest.said.entries) >= REVOKED_UNSEEN:
            raise IdentityError(
                "revocations_full",
                f"the list has {REVOKED_UNSEEN} entries; the other {REVOKED - REVOKED_UNSEEN} are for members who "
                f"were certified here, and for their token certificates",
            )

    def _lapses(self, entry: Revoked) -> float:
        """When the entry will say nothing any more: what the web server says of that counts for nothing."""
        end = self.token_end(entry.id) if entry.what is What.CERTIFICATE else 0.0
        return end + RENEWAL_GRACE if end else 0.0

    def renew(self, known: SignedRevocations | None, now: dt.datetime) -> Revocations:
        """The next list, with all that stands in ``known`` too: a list that a reader has, and that was lost here with
        what came after a backup. Raises IdentityError when that was not signed with a record key."""
        other = None if known is None else read_revocations(known, self.record.root)
        if other is not None and (self.newest is None or self.newest.number < other.number):
            return self._next(other.said.entries, now, other.number)
        return self._next(() if other is None else other.said.entries, now)

    def _next(self, added: tuple[Revoked, ...], now: dt.datetime, above: int = 0) -> Revocations:
        held, floor = ((), 0.0) if self.newest is None else (self.newest.said.entries, self.newest.said.floor)
        if now > self.not_after:
            raise ended("record key", self.not_after)
        number = max(above, 0 if self.newest is None else self.newest.number) + 1
        entries, floor = without_lapsed(with_entries(held, added), floor, now)
        return sign_revocations(self.record, number, entries, now, floor)


def _certificate(token: IssuedToken, member: Revoked) -> Revoked:
    """The entry of one token certificate of a member that is revoked."""
    lapses = token.until.timestamp() + RENEWAL_GRACE
    return Revoked(What.CERTIFICATE, token.serial, member.when, member.reason, lapses)
