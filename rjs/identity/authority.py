"""The two authorities below the root: one issues the tokens by which everybody calls, one the invitations to join.

The token authority is held by the web server, the enrolment authority by the operator. What each cannot do is fixed
by its certificate, not by this code: a token intermediate has no usage for answers or code, so whoever steals it can
delay work and never forge any.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography import x509

from rjs.identity.certificates import Identity, Subject, mint
from rjs.identity.errors import IdentityError
from rjs.identity.invitation import Invitation
from rjs.identity.keys import Chain, PrivateKey, PublicKey, load_chain, load_private, new_key
from rjs.identity.names import INVITED, SERVERS, InvitationName, RjsName, Role, check_common_name
from rjs.identity.paths import check_chain
from rjs.identity.profiles import Kind
from rjs.limits import ENROLMENT_CA_LIFETIME, INVITATION_LIFETIME, JOB_TOKEN_LIFETIME, TOKEN_LIFETIME


class TokenAuthority:
    """Issues token certificates with the intermediate's ``key``; ``chain`` is (intermediate, root)."""

    def __init__(self, key: PrivateKey, chain: Chain) -> None:
        self._identity = Identity(key, chain)
        if check_chain(chain, chain[-1], now=None) is not Kind.TOKEN_INTERMEDIATE:
            raise IdentityError(
                "kind", "this key is not that of a token intermediate; only such a key issues tokens"
            )

    @classmethod
    def open(cls, path: Path) -> Self:
        """The authority whose ``intermediate.key`` and ``intermediate.pem`` lie in the folder ``path``."""
        return cls(load_private(path / "intermediate.key"), load_chain(path / "intermediate.pem"))

    @property
    def chain(self) -> Chain:
        """The intermediate's certificate and the root."""
        return self._identity.chain

    @property
    def root(self) -> x509.Certificate:
        """The organisation's root, under which its tokens count."""
        return self._identity.root

    @property
    def not_after(self) -> dt.datetime:
        """When the operator must have certified the intermediate again."""
        return self._identity.chain[0].not_valid_after_utc

    def issue(
        self,
        public_key: PublicKey,
        name: RjsName,
        common_name: str,
        now: dt.datetime,
        lifetime: float = TOKEN_LIFETIME,
    ) -> Chain:
        """A token certificate, or for an attempt a job token, for ``lifetime`` seconds: (leaf, intermediate, root).

        Whether ``public_key`` may have that name is the caller's decision. Raises IdentityError when the name is not
        one that calls, or the intermediate has ended.
        """
        kind, longest = (
            (Kind.JOB_TOKEN, JOB_TOKEN_LIFETIME) if name.role is Role.JOB else (Kind.TOKEN, TOKEN_LIFETIME)
        )
        if name.role not in INVITED | SERVERS | {Role.JOB}:
            raise IdentityError(
                "name", f"the token authority certifies members and jobs, and a {name.role.value} is none"
            )
        if not 0 < lifetime <= longest:
            raise IdentityError("lifetime", f"a {kind.value} lives for at most {longest} seconds")
        subject = Subject(
            public_key, check_common_name(common_name), lifetime, name.uri(), unit=name.role.value
        )
        return (mint(kind, subject, self._identity.issuer, now), *self._identity.chain)

    def own_identity(self, name: RjsName, common_name: str, now: dt.datetime) -> Identity:
        """A fresh key with a token certificate for the authority's own web server; it lives in memory only."""
        key = new_key()
        return Identity(key, self.issue(key.public_key(), name, common_name, now))


class EnrolmentAuthority:
    """Makes invitations with the enrolment CA's ``key``; ``chain`` is (enrolment CA, root)."""

    def __init__(self, key: PrivateKey, chain: Chain) -> None:
        self._identity = Identity(key, chain)
        if check_chain(chain, chain[-1], now=None) is not Kind.ENROLMENT_CA:
            raise IdentityError(
                "kind", "this key is not that of an enrolment CA; only such a key makes invitations"
            )

    def invite(
        self,
        role: Role,
        name: str | None,
        *,
        ws: Sequence[str],
        now: dt.datetime,
        lifetime: float = INVITATION_LIFETIME,
        lus: Sequence[str] = (),
    ) -> Invitation:
        """A new invitation to join as ``role`` within ``lifetime`` seconds, by way of the addresses ``ws``, or of the
        lookup servers at ``lus``.

        For a person ``name`` is the account; for a server it is a label for people, and its id is a new UUID.
        The one-time key is nowhere but in the invitation.
        """
        name_invited = InvitationName(_invited(role, name), self._expiry(now, lifetime))
        subject = name_invited.subject
        label = check_common_name(name or f"{role.value}-{subject.id[:8]}")
        key = new_key()
        holder = Subject(
            key.public_key(), label, ENROLMENT_CA_LIFETIME, name_invited.uri(), unit="invitation"
        )
        kind = Kind.CS_INVITATION if role is Role.CS else Kind.INVITATION
        chain = (mint(kind, holder, self._identity.issuer, now), *self._identity.chain)
        return Invitation.of(tuple(ws), Identity(key, chain), tuple(lus))

    def _expiry(self, now: dt.datetime, lifetime: float) -> dt.datetime:
        expires = (now + dt.timedelta(seconds=lifetime)).replace(microsecond=0)
        if lifetime < 1 or expires > self._identity.chain[0].not_valid_after_utc:
            raise IdentityError(
                "lifetime", "an invitation lives for a second or more, and ends before the enrolment CA"
            )
        return expires


def _invited(role: Role, name: str | None) -> RjsName:
    if role not in INVITED:
        raise IdentityError("name", f"nobody is invited as {role.value!r}")
    if role in SERVERS:
        return RjsName(role, uuid.uuid4().hex)
    if name is None:
        raise IdentityError("name", f"an invitation as {role.value!r} needs the name of the account")
    return RjsName(role, name)
