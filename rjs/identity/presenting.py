"""Presenting a certificate of another CA to have a token: what its holder asks for, and what must hold.

A request is a signed object, as a renewal is: the key of the foreign certificate names the keys of the person's
folder. The web server and, for itself, its authority judge it by the operator's statement that they hold, so neither
whoever carries it nor a broken-into web server can make one account of another. Pure but for the nonce.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from typing import Annotated

import attrs
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from rjs.errors import RefusedError
from rjs.identity.accepted_cas import Acceptance, Meant
from rjs.identity.errors import IdentityError
from rjs.identity.foreign import (
    ForeignIdentity,
    ForeignPrivateKey,
    ForeignPublicKey,
    foreign_public_key,
    guest_name,
    read_foreign_chain,
)
from rjs.identity.invitation import serial_of
from rjs.identity.keys import PrivateKey, PublicKey, spki_digest
from rjs.identity.lifetimes import check_made
from rjs.identity.names import RjsName
from rjs.identity.paths import chain_der
from rjs.identity.profiles import subject_text
from rjs.identity.proofs import read_statement, signed_bytes
from rjs.identity.requests import make_request, request_der, requested_key
from rjs.ids import SpkiDigest
from rjs.limits import CERTIFICATE, FOREIGN_CERTIFICATE, FOREIGN_CHAIN

PURPOSE = "rjs-presentation-1"
_NONCE = 16
_SIGNATURE = 1024  # bytes: RSA of 8,192 bits
_EVIDENCE = 200  # characters of an issuer's name

ForeignDer = Annotated[bytes, msgspec.Meta(max_length=FOREIGN_CERTIFICATE)]


class AccountTakenError(RefusedError):
    """A rule makes an account of a certificate, and somebody joined as that by invitation."""

    def __init__(self, account: str) -> None:
        super().__init__(
            "account-taken",
            f"the account {account} joined by an invitation, and a rule takes it over for nobody; the operator can "
            f"list the certificate for it: rjs ca accept CADIR CA.pem --accounts FILE",
        )


class PresentAgainError(RefusedError):
    """A token that was had by presenting is not renewed by itself: it would outlive what it was had by."""

    def __init__(self, name: RjsName) -> None:
        super().__init__(
            "present-again",
            f"{name.uri()} has its certificates by presenting one of another CA, and presents that again for the "
            f"next: rjs does so by itself where it finds it; rjs cert renew tells why not",
        )


class PresentationRequest(msgspec.Struct, frozen=True):
    """A holder's request for a token. ``statement`` is a PresentationStatement in msgpack, signed with the key of
    ``chain``: the certificate of another CA with those of the CAs above it, DER, leaf first."""

    statement: Annotated[bytes, msgspec.Meta(max_length=3 * CERTIFICATE)]
    signature: Annotated[bytes, msgspec.Meta(max_length=_SIGNATURE)]
    chain: Annotated[tuple[ForeignDer, ...], msgspec.Meta(max_length=FOREIGN_CHAIN)]


class PresentationStatement(msgspec.Struct, frozen=True):
    """What is signed: the cluster, the PKCS#10 request of the token key, 16 random bytes, the Unix time, and,
    where the account is to list it, the request of a key that signs jobs. Both name ``rjs://guest/<SHA-256 of the
    certificate>``."""

    cluster: str
    token_request: bytes
    nonce: Annotated[bytes, msgspec.Meta(min_length=_NONCE, max_length=_NONCE)]
    made: float
    signing_request: bytes | None = None


@attrs.frozen
class CheckedPresentation:
    """What a request proved. ``evidence`` tells it for the log, and is the same where the request is repeated.

    ``until``: the end of the certificates that were shown, which no token outlives.
    """

    meant: Meant
    token_public_key: PublicKey
    token_spki: SpkiDigest
    signing_spki: SpkiDigest | None
    until: dt.datetime
    evidence: str


def ask_token(
    foreign: ForeignIdentity,
    token_key: PrivateKey,
    signing_key: PrivateKey | None,
    cluster: str,
    now: dt.datetime,
) -> PresentationRequest:
    """The request of whoever holds ``foreign`` for a token for ``token_key``; the account shall list
    ``signing_key``."""
    uri = guest_name(foreign.leaf).uri()
    token = request_der(make_request(token_key, uri, "guest"))
    signing = None if signing_key is None else request_der(make_request(signing_key, uri, "guest"))
    said = PresentationStatement(cluster, token, os.urandom(_NONCE), now.timestamp(), signing)
    statement = msgspec.msgpack.encode(said)
    return PresentationRequest(statement, _sign(foreign.key, statement), chain_der(foreign.chain))


def check_presentation(
    request: PresentationRequest, acceptance: Acceptance | None, cluster: str, now: dt.datetime
) -> CheckedPresentation:
    """Judge a request, whoever brought it.

    1. The certificate leads to a CA that the operator accepts, and means one account: see ``Acceptance.meant``.
    2. Its key signed the statement.
    3. The statement is for this cluster, and was made now, as far as clocks agree.
    4. Both keys' requests are for the holder of this certificate, each signed with its own key.
    5. No key serves two purposes.

    Raises IdentityError.
    """
    if acceptance is None:
        raise IdentityError(
            "other_root", "this cluster accepts no other CA; join with an invitation: rjs join"
        )
    chain = read_foreign_chain(request.chain)
    meant = acceptance.meant(chain, now)  # 1
    public_key = foreign_public_key(chain[0])
    _check_signature(public_key, request.statement, request.signature)  # 2
    said = read_statement(request.statement, PresentationStatement, "request", "presentation")
    if said.cluster != cluster:  # 3
        raise IdentityError("other_cluster", f"the request is for cluster {said.cluster}, this is {cluster}")
    check_made(said.made, now)
    uri = guest_name(chain[0]).uri()
    token_key = requested_key(said.token_request, uri)  # 4
    signing_key = None if said.signing_request is None else requested_key(said.signing_request, uri)
    token_spki = spki_digest(token_key)
    signing_spki = None if signing_key is None else spki_digest(signing_key)
    if len({token_spki, signing_spki, _foreign_spki(public_key)}) < 3:  # 5
        raise IdentityError("shared_key", "one key stands in two places; each purpose has its own")
    digest = hashlib.sha256(request.statement).digest()
    return CheckedPresentation(
        meant=meant,
        token_public_key=token_key,
        token_spki=token_spki,
        signing_spki=signing_spki,
        until=min(each.not_valid_after_utc for each in meant.path),
        evidence=f"{digest.hex()} {_evidence(meant, acceptance)}",
    )


def _evidence(meant: Meant, acceptance: Acceptance) -> str:
    """Issuer, serial number and statement, for the log; a foreign name is quoted, and cut."""
    leaf = meant.path[0]
    issuer = subject_text(meant.path[1])[:_EVIDENCE].encode("ascii", "backslashreplace").decode()
    return f"serial {serial_of(leaf)} of {issuer} by statement {acceptance.number}"


def _sign(key: ForeignPrivateKey, statement: bytes) -> bytes:
    data = signed_bytes(PURPOSE, statement)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, _PSS, hashes.SHA256())
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _check_signature(key: ForeignPublicKey, statement: bytes, signature: bytes) -> None:
    data = signed_bytes(PURPOSE, statement)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, _PSS, hashes.SHA256())
        else:
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise IdentityError(
            "proof", f"the {PURPOSE} was not signed with the key of the certificate that it comes with"
        ) from None


_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)


def _foreign_spki(key: ForeignPublicKey) -> str:
    return spki_digest(key) if isinstance(key, ec.EllipticCurvePublicKey) else ""
