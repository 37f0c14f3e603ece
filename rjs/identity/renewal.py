"""Renewal of token certificates, as pure rules: what a member asks for, and what must hold before it is granted.

A request is a signed object: the key of the certificate that the member has names the key of the next one. So it
holds whoever carries it: a compute server's travels through a lookup server and the web server to the authority,
which judges it itself, and none on the way can change a byte of it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from typing import Annotated

import attrs
import msgspec
from cryptography import x509

from rjs.identity.certificates import Identity, common_name_of
from rjs.identity.errors import IdentityError
from rjs.identity.keys import PrivateKey, PublicKey, our_public_key, spki_digest
from rjs.identity.lifetimes import check_made, check_renewable
from rjs.identity.names import RjsName
from rjs.identity.paths import chain_der, check_chain, read_chain
from rjs.identity.peers import token_name
from rjs.identity.profiles import Kind
from rjs.identity.proofs import check_statement, read_statement, sign_statement
from rjs.identity.requests import make_request, request_der, requested_key
from rjs.limits import CERTIFICATE, CHAIN_LENGTH

PURPOSE = "rjs-renewal-1"
_NONCE = 16

Der = Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE)]


class RenewalRequest(msgspec.Struct, frozen=True):
    """A member's request for its next token certificate. ``statement`` is a RenewalStatement in msgpack.

    ``chain`` is the certificate to be renewed with its issuers, DER, leaf first; its key made ``signature``.
    """

    statement: Annotated[bytes, msgspec.Meta(max_length=2 * CERTIFICATE)]
    signature: Annotated[bytes, msgspec.Meta(max_length=128)]
    chain: Annotated[tuple[Der, ...], msgspec.Meta(max_length=CHAIN_LENGTH)]


class RenewalStatement(msgspec.Struct, frozen=True):
    """What is signed: the PKCS#10 request of the new key for the same name, 16 random bytes, and the Unix time."""

    token_request: bytes
    nonce: Annotated[bytes, msgspec.Meta(min_length=_NONCE, max_length=_NONCE)]
    made: float


@attrs.frozen
class CheckedRenewal:
    """What a request proved. ``digest`` is that of the statement: the same one is the same request, repeated."""

    name: RjsName
    common_name: str
    public_key: PublicKey
    digest: bytes


def ask_renewal(current: Identity, key: PrivateKey, now: dt.datetime) -> RenewalRequest:
    """The request of the holder of ``current`` for a certificate of the same name for the new ``key``."""
    name, common_name = token_name(current.chain[0]), common_name_of(current.chain[0])
    request = request_der(make_request(key, name.uri(), common_name))
    statement = msgspec.msgpack.encode(RenewalStatement(request, os.urandom(_NONCE), now.timestamp()))
    signature = sign_statement(current.key, PURPOSE, statement)
    return RenewalRequest(statement, signature, chain_der(current.chain))


def check_renewal(request: RenewalRequest, root: x509.Certificate, now: dt.datetime) -> CheckedRenewal:
    """Judge a request, whoever brought it.

    1. The chain is a token certificate's, under ``root``.
    2. It is valid, or was until at most the grace ago.
    3. The statement is signed with that certificate's key.
    4. It was made now, as far as clocks agree: an old one that somebody kept is worth nothing.
    5. It asks for exactly the certificate's name, signed with the new key, which is not the old one.

    Raises IdentityError.
    """
    chain = read_chain(request.chain)
    kind = check_chain(chain, root, now=None)  # 1
    if kind is not Kind.TOKEN:
        raise IdentityError("kind", f"a token certificate is renewed by itself, not by a {kind.value}")
    check_renewable(chain, now)  # 2
    old_key = our_public_key(chain[0])
    check_statement(old_key, PURPOSE, request.statement, request.signature)  # 3
    said = read_statement(request.statement, RenewalStatement, "request", "renewal")
    check_made(said.made, now)  # 4
    name = token_name(chain[0])
    new_key = requested_key(said.token_request, name.uri())  # 5
    if spki_digest(new_key) == spki_digest(old_key):
        raise IdentityError("shared_key", "a renewed certificate has a key of its own, not the old one")
    digest = hashlib.sha256(request.statement).digest()
    return CheckedRenewal(name, common_name_of(chain[0]), new_key, digest)
