"""Joining, renewing, and what is revoked."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from rjs import limits
from rjs.attempts import Number
from rjs.identity.enrolment import EnrolmentRequest
from rjs.identity.names import Role
from rjs.identity.presenting import PresentationRequest
from rjs.identity.renewal import Der, RenewalRequest
from rjs.identity.revocation import SignedRevocations, What
from rjs.listing import ListingRequest
from rjs.wire.messages.base import PEOPLE, SERVERS, Message, Name


class MemberEnrol(Message, frozen=True, kw_only=True, tag="member.enrol"):
    """Turns an invitation into a member, once. The invitation's one-time key made the request's proof, and is the TLS
    identity of whoever asks; a LUS, which carries the request of somebody whom it serves, says that one's ``chain``
    (DER, leaf first), and nobody else says any."""

    callers: ClassVar = frozenset({Role.INVITATION, Role.LUS})
    request: EnrolmentRequest
    chain: Annotated[tuple[Der, ...], Meta(max_length=limits.CHAIN_LENGTH)] = ()


class MemberEnrolled(Message, frozen=True, kw_only=True, tag="member.enrolled"):
    """The token certificate's chain, leaf first, DER."""

    callers: ClassVar = frozenset({Role.WS, Role.LUS})
    chain: Annotated[tuple[bytes, ...], Meta(max_length=4)]


class MemberRenew(Message, frozen=True, kw_only=True, tag="member.renew"):
    """Asks for the next token certificate; a LUS carries a CS's and a person's. All that an expired certificate may
    call."""

    callers: ClassVar = frozenset({Role.LUS, Role.CS, Role.EXPIRED}) | PEOPLE
    request: RenewalRequest


class MemberRenewed(Message, frozen=True, kw_only=True, tag="member.renewed"):
    """The renewed token certificate's chain, leaf first, DER."""

    callers: ClassVar = frozenset({Role.WS, Role.LUS})
    chain: Annotated[tuple[bytes, ...], Meta(max_length=4)]


class MemberPresent(Message, frozen=True, kw_only=True, tag="member.present"):
    """Asks for a token certificate by a certificate of another CA, which is the TLS identity: all that it may call.
    Answered with ``member.enrolled``."""

    callers: ClassVar = frozenset({Role.GUEST})
    request: PresentationRequest


class AccountSigner(Message, frozen=True, kw_only=True, tag="account.signer.add"):
    """Asks that the caller's account list another signing key, which made the request. Done once that is durable."""

    callers: ClassVar = frozenset({Role.USER})
    request: ListingRequest


class RevocationNumber(Message, frozen=True, kw_only=True, tag="revocation.number"):
    """The number of the list that the sender goes by, or 0, and the SHA-256 of its statement: told first of all. Who
    has a higher one tells it, and who has another one of that number."""

    callers: ClassVar = SERVERS
    number: Number
    digest: Annotated[bytes, Meta(max_length=32)] = b""


class RevocationList(Message, frozen=True, kw_only=True, tag="revocation.list"):
    """A list of what is revoked, as the web server's authority signed it; told on as soon as it is gone by, and the
    reply to whoever reads it."""

    callers: ClassVar = SERVERS
    list: SignedRevocations


class RevocationRead(Message, frozen=True, kw_only=True, tag="revocation.read"):
    """Asks for the list of what is revoked that the server goes by: for people, who judge answers by it. ``known`` is
    the number of the one that they have; where there is no newer one, the reply is ``done``."""

    callers: ClassVar = PEOPLE
    known: Number = 0


class AdminRevoke(Message, frozen=True, kw_only=True, tag="admin.revoke"):
    """Revokes from now on: a certificate by its serial number, a member by ``rjs://<role>/<id>``, its id or its
    name, a signer by the SHA-256 of its key. Done once the list that says so is durable."""

    callers: ClassVar = frozenset({Role.ADMIN})
    what: What
    id: Name
    reason: Annotated[str, Meta(max_length=limits.REVOCATION_REASON)] = ""


MESSAGES: tuple[type[Message], ...] = (
    MemberEnrol,
    MemberEnrolled,
    MemberRenew,
    MemberRenewed,
    MemberPresent,
    AccountSigner,
    RevocationNumber,
    RevocationList,
    RevocationRead,
    AdminRevoke,
)
