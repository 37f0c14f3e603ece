"""Certifying again what a web server's authority lives by for a year: its token intermediate and its record key.

The authority makes new keys and asks with the record key that it has, so the operator certifies for the web server
that was founded here, and for no stranger who hands in a file. What was certified before counts until its end: tokens
carry their intermediate's certificate, lists their record's.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import attrs
import msgspec
from cryptography import x509

from rjs.identity.ca import OperatorFolder
from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.keys import Chain, PrivateKey, PublicKey, our_public_key, spki_digest
from rjs.identity.paths import chain_der, check_chain, read_chain
from rjs.identity.profiles import Kind
from rjs.identity.proofs import UNREADABLE, check_statement, read_statement, sign_statement
from rjs.identity.renewal import Der
from rjs.identity.requests import make_request, request_der, requested_key
from rjs.limits import CERTIFICATE, CHAIN_LENGTH, RECERTIFY

PURPOSE = "rjs-succession-1"
INTERMEDIATE_URI, RECORD_URI = "rjs://authority/intermediate", "rjs://authority/record"
"""What the two requests name; no certificate carries either."""

ROWS = (("intermediate", Kind.TOKEN_INTERMEDIATE), ("record", Kind.RECORD))
"""The files' stems in an authority's folder, and the kinds of their certificates."""


class SuccessionRequest(msgspec.Struct, frozen=True):
    """An authority's request. ``statement`` is a SuccessionStatement in msgpack, signed with the record key whose
    certificate, expired or not, leads ``chain``, DER, leaf first."""

    statement: Annotated[bytes, msgspec.Meta(max_length=3 * CERTIFICATE)]
    signature: Annotated[bytes, msgspec.Meta(max_length=128)]
    chain: Annotated[tuple[Der, ...], msgspec.Meta(max_length=CHAIN_LENGTH)]


class SuccessionStatement(msgspec.Struct, frozen=True):
    """What is signed: the PKCS#10 requests of the next token intermediate's and the next record key."""

    intermediate: Der
    record: Der


@attrs.frozen
class Successors:
    """The keys to be certified."""

    intermediate: PublicKey
    record: PublicKey


def ask_succession(
    record: Identity, next_intermediate: PrivateKey, next_record: PrivateKey
) -> SuccessionRequest:
    """The request of the authority that holds ``record``."""
    said = SuccessionStatement(
        request_der(make_request(next_intermediate, INTERMEDIATE_URI, "token authority")),
        request_der(make_request(next_record, RECORD_URI, "record of revocations")),
    )
    statement = msgspec.msgpack.encode(said)
    signature = sign_statement(record.key, PURPOSE, statement)
    return SuccessionRequest(statement, signature, chain_der(record.chain))


def check_succession_request(request: SuccessionRequest, root: x509.Certificate) -> Successors:
    """Judge a request, whoever brought it.

    1. The chain is a record certificate's, under ``root``, valid now or once: it asks because it ends.
    2. Its key signed the statement.
    3. Both keys asked for themselves, each for its own part, and they differ.

    Raises IdentityError.
    """
    chain = read_chain(request.chain)
    kind = check_chain(chain, root, now=None)  # 1
    if kind is not Kind.RECORD:
        raise IdentityError("kind", f"an authority asks with its record key, not with that of a {kind.value}")
    check_statement(our_public_key(chain[0]), PURPOSE, request.statement, request.signature)  # 2
    said = read_statement(request.statement, SuccessionStatement, "request", "request")
    found = Successors(  # 3
        requested_key(said.intermediate, INTERMEDIATE_URI), requested_key(said.record, RECORD_URI)
    )
    if spki_digest(found.intermediate) == spki_digest(found.record):
        raise IdentityError("shared_key", "one key stands in two places; each purpose has its own")
    return found


def certify_successors(operator: OperatorFolder, request: SuccessionRequest, now: dt.datetime) -> Chain:
    """What the operator answers: the certificates of the intermediate and of the record key, and the root."""
    found = check_succession_request(request, operator.root)
    intermediate = operator.certify_intermediate(found.intermediate, now)
    return intermediate, operator.certify_record(found.record, now), operator.root


def read_request_file(data: bytes) -> SuccessionRequest | None:
    """The request in the file of ``rjs ws request``; None for a file that is something else."""
    try:
        return msgspec.msgpack.decode(data, type=SuccessionRequest)
    except UNREADABLE:
        return None


def ended(what: str, until: dt.datetime) -> IdentityError:
    """The refusal of an authority whose certificate as ``what`` has ended, with what to do."""
    return IdentityError(
        "authority_ended",
        f"the web server's certificate as {what} ended on {until:%Y-%m-%d %H:%M}Z; {REMEDY}",
    )


REMEDY = (
    "certify it again: rjs ws renew DIR --ca CADIR, or where the operator's folder is elsewhere: rjs ws request DIR, "
    "rjs ca issue CADIR FILE, rjs ws certify DIR FILE"
)
"""What the operator does about it, for DIR the web server's state folder."""


def due(until: dt.datetime, now: dt.datetime) -> bool:
    """Whether what ends at ``until`` should be certified again by now."""
    return (until - now).total_seconds() < RECERTIFY
