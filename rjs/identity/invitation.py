"""An invitation: one line of text that lets its holder become one named member, once.

It carries where the web server is, maybe lookup servers by way of which it is reached too, the organisation's root
(so that the joiner knows whom to believe), and a one-time key with the certificate by which the enrolment CA says who
may be made with it. Whoever reads the line can use it, so it is a secret until it is used or expired. Format:
``docs/identity.md``.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from typing import Self

import attrs
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from rjs.identity.certificates import Identity, Subject, common_name_of, mint
from rjs.identity.errors import IdentityError
from rjs.identity.keys import Chain, PrivateKey, PublicKey
from rjs.identity.names import InvitationName, RjsName, answer_uri
from rjs.identity.paths import chain_der, check_chain, if_wrong, read_chain
from rjs.identity.peers import INVITATION_KINDS, invitation_name
from rjs.identity.profiles import Kind
from rjs.limits import ENROLMENT_CA_LIFETIME, INVITATION_TEXT, LUS_ADDRESSES, WS_ADDRESSES

_PREFIX = "rjs1-"
_SCALAR = 32  # bytes of a P-256 private key
_ADDRESS = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]):([1-9][0-9]{0,4})")


class _Payload(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the text carries. Role, id, name, serial and expiry stand in the certificate, signed, and only there."""

    ws: tuple[str, ...]
    key: bytes
    chain: tuple[bytes, ...]
    lus: tuple[str, ...] = ()


@attrs.frozen
class Invitation:
    """A usable invitation: ``identity`` is its one-time key with the chain (invitation, enrolment CA, root).

    ``ws`` and ``lus`` are addresses of the form HOST:PORT.
    """

    ws: tuple[str, ...]
    identity: Identity
    name: InvitationName
    lus: tuple[str, ...] = ()

    @classmethod
    def of(cls, ws: tuple[str, ...], identity: Identity, lus: tuple[str, ...] = ()) -> Self:
        """An invitation whose addresses, chain and name all hold, whatever its dates. Raises IdentityError."""
        check_addresses(ws)
        check_lus_addresses(lus)
        kind = check_chain(identity.chain, identity.root, now=None)
        if kind not in INVITATION_KINDS:
            raise IdentityError("invitation", f"this carries a {kind.value}, which invites nobody")
        common_name_of(identity.chain[0])
        return cls(ws, identity, invitation_name(identity.chain[0], kind), lus)

    @property
    def subject(self) -> RjsName:
        """Who the invitation makes its holder."""
        return self.name.subject

    @property
    def common_name(self) -> str:
        """The name for people that the new member will have."""
        return common_name_of(self.identity.chain[0])

    @property
    def serial(self) -> str:
        """Hex serial number of the certificate: what the web server records as used."""
        return serial_of(self.identity.chain[0])

    def certify_answer(self, public_key: PublicKey, now: dt.datetime) -> Chain:
        """The chain of the invited compute server's answer key: (leaf, invitation, enrolment CA, root).

        Raises IdentityError when the invitation is another role's.
        """
        uri = answer_uri(self.subject.id)
        subject = Subject(public_key, self.common_name, ENROLMENT_CA_LIFETIME, uri, unit="answer")
        return (mint(Kind.ANSWER, subject, self.identity.issuer, now), *self.identity.chain)

    def check_expiry(self, now: dt.datetime) -> None:
        """Refuse when the invitation has expired at ``now``."""
        check_expiry(self.name, now)

    def encode(self) -> str:
        """The invitation as one line of text."""
        scalar = self.identity.key.private_numbers().private_value.to_bytes(_SCALAR, "big")
        payload = msgspec.msgpack.encode(_Payload(self.ws, scalar, chain_der(self.identity.chain), self.lus))
        return _PREFIX + base64.urlsafe_b64encode(payload).rstrip(b"=").decode("ascii")

    @classmethod
    def decode(cls, text: str) -> Self:
        """The invitation that ``text`` spells. Raises IdentityError for anything malformed or inconsistent.

        The root inside is as trustworthy as the way on which the text came: it pins the organisation.
        """
        payload = _payload(text.strip())
        identity = Identity(_private_key(payload.key), read_chain(payload.chain))
        return cls.of(payload.ws, identity, payload.lus)


def check_expiry(name: InvitationName, now: dt.datetime) -> None:
    """Refuse an invitation that has expired at ``now``; the sentence says what to do."""
    if now >= name.expires:
        raise IdentityError(
            "invitation_expired",
            f"the invitation of {name.subject.uri()} expired on {name.expires}; {if_wrong(now)}, "
            f"else ask the operator for a new one",
        )


def serial_of(certificate: x509.Certificate) -> str:
    """The serial number as lower-case hex digits."""
    return format(certificate.serial_number, "x")


def check_addresses(addresses: tuple[str, ...]) -> None:
    """Refuse unless these are one to eight addresses of the form HOST:PORT or [IPv6]:PORT."""
    if not 1 <= len(addresses) <= WS_ADDRESSES:
        raise IdentityError("address", f"name 1 to {WS_ADDRESSES} addresses of the web server")
    _check_form(addresses)


def check_lus_addresses(addresses: tuple[str, ...]) -> None:
    """Refuse unless these are at most eight addresses of the form HOST:PORT or [IPv6]:PORT."""
    if len(addresses) > LUS_ADDRESSES:
        raise IdentityError("address", f"name at most {LUS_ADDRESSES} addresses of lookup servers")
    _check_form(addresses)


def _check_form(addresses: tuple[str, ...]) -> None:
    for address in addresses:
        match = _ADDRESS.fullmatch(address)
        if match is None or int(match[2]) > 0xFFFF:
            raise IdentityError("address", f"{address!r} is not an address of the form HOST:PORT")


def _payload(text: str) -> _Payload:
    if not text.startswith(_PREFIX) or len(text) > INVITATION_TEXT:
        raise IdentityError("invitation", f"this is no invitation: one line that starts with {_PREFIX}")
    body = text.removeprefix(_PREFIX)
    try:
        encoded = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(encoded, type=_Payload)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise IdentityError(
            "invitation", "the invitation is damaged; copy the whole line once more"
        ) from error


def _private_key(scalar: bytes) -> PrivateKey:
    try:
        if len(scalar) != _SCALAR:
            raise ValueError(f"{len(scalar)} bytes")
        return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
    except ValueError as error:
        raise IdentityError("invitation", f"the invitation's one-time key is malformed: {error}") from error
