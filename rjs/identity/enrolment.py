"""Enrolment, as pure rules: what a joiner asks for, and what the web server checks before it records anything.

The web server then decides with its store: the first request of an invitation's serial is recorded with its keys;
the same serial with the same keys is the repetition of a lost reply and is answered again; with other keys it is
refused.
"""

from __future__ import annotations

import datetime as dt

import attrs
import msgspec
from cryptography import x509

from rjs.identity.certificates import common_name_of
from rjs.identity.errors import IdentityError
from rjs.identity.invitation import check_expiry, serial_of
from rjs.identity.keys import Chain, PrivateKey, PublicKey, our_public_key, spki_digest
from rjs.identity.names import RjsName, Role, signer_uri
from rjs.identity.paths import check_chain, read_chain
from rjs.identity.peers import INVITATION_KINDS, check_answer_chain, invitation_name
from rjs.identity.proofs import check_statement, sign_statement
from rjs.identity.requests import requested_key
from rjs.ids import SpkiDigest

PURPOSE = "rjs-enrolment-1"


class EnrolmentRequest(msgspec.Struct, frozen=True):
    """What a joiner sends over a connection made with its invitation; all DER. No private key is among it.

    ``token_request`` is a PKCS#10 request for its name; a compute server adds the certificate of its answer key,
    issued by the invitation's one-time key; a user adds the PKCS#10 request of its signing key. ``proof`` is the
    signature of the invitation's one-time key over the others: who only saw the invitation's certificate has none.
    """

    token_request: bytes
    proof: bytes
    answer_certificate: bytes | None = None
    signing_request: bytes | None = None


def signed_enrolment(
    key: PrivateKey,
    token_request: bytes,
    answer_certificate: bytes | None = None,
    signing_request: bytes | None = None,
) -> EnrolmentRequest:
    """The request of the holder of an invitation's one-time ``key``."""
    unsigned = EnrolmentRequest(token_request, b"", answer_certificate, signing_request)
    return msgspec.structs.replace(unsigned, proof=sign_statement(key, PURPOSE, _signed_part(unsigned)))


@attrs.frozen
class CheckedEnrolment:
    """What a request proved. ``serial`` is the invitation's, in hex; digests are those of the enrolled keys."""

    name: RjsName
    common_name: str
    serial: str
    token_public_key: PublicKey
    token_spki: SpkiDigest
    answer_certificate: x509.Certificate | None
    answer_spki: SpkiDigest | None
    signing_spki: SpkiDigest | None


def check_enrolment(
    request: EnrolmentRequest, chain: Chain, root: x509.Certificate, now: dt.datetime
) -> CheckedEnrolment:
    """Judge a request that came over a connection authenticated by the invitation ``chain``.

    1. The chain is an invitation's, under ``root``, valid now.
    2. The invitation has not expired, and its one-time key signed the request.
    3. The token request is for exactly the invitation's name, signed with the key that it names.
    4. A compute server, and nobody else, brings an answer certificate: issued by this very invitation, for its id.
    5. A user, and nobody else, brings a signing request: for its account, signed with the key that it names.
    6. No key serves two purposes.

    Raises IdentityError. Whether the invitation was used before is for the caller's store to say.
    """
    kind = check_chain(chain, root, now)  # 1
    if kind not in INVITATION_KINDS:
        raise IdentityError("not_invited", f"joining needs an invitation; this is a {kind.value}")
    name = invitation_name(chain[0], kind)
    check_expiry(name, now)  # 2
    check_statement(our_public_key(chain[0]), PURPOSE, _signed_part(request), request.proof)
    token_key = requested_key(request.token_request, name.subject.uri())  # 3
    answer = _answer_certificate(request, name.subject, chain, now)  # 4
    signing_key = _signing_key(request, name.subject)  # 5
    answer_spki = None if answer is None else spki_digest(answer)
    signing_spki = None if signing_key is None else spki_digest(signing_key)
    _check_distinct([spki_digest(chain[0]), spki_digest(token_key), answer_spki, signing_spki])  # 6
    return CheckedEnrolment(
        name=name.subject,
        common_name=common_name_of(chain[0]),
        serial=serial_of(chain[0]),
        token_public_key=token_key,
        token_spki=spki_digest(token_key),
        answer_certificate=answer,
        answer_spki=answer_spki,
        signing_spki=signing_spki,
    )


def _signed_part(request: EnrolmentRequest) -> bytes:
    parts = (request.token_request, request.answer_certificate, request.signing_request)
    return msgspec.msgpack.encode(parts)


def _answer_certificate(
    request: EnrolmentRequest, subject: RjsName, chain: Chain, now: dt.datetime
) -> x509.Certificate | None:
    _check_presence("an answer certificate", request.answer_certificate, subject, Role.CS)
    if request.answer_certificate is None:
        return None
    (certificate,) = read_chain([request.answer_certificate])
    check_answer_chain((certificate, *chain), chain[-1], now)
    return certificate


def _signing_key(request: EnrolmentRequest, subject: RjsName) -> PublicKey | None:
    _check_presence("a signing request", request.signing_request, subject, Role.USER)
    if request.signing_request is None:
        return None
    return requested_key(request.signing_request, signer_uri(subject.id))


def _check_presence(what: str, part: bytes | None, subject: RjsName, role: Role) -> None:
    if (part is not None) != (subject.role is role):
        wants = "needs" if subject.role is role else "has no use for"
        raise IdentityError("request", f"whoever joins as {subject.role.value!r} {wants} {what}")


def _check_distinct(digests: list[SpkiDigest | None]) -> None:
    present = [digest for digest in digests if digest is not None]
    if len(set(present)) != len(present):
        raise IdentityError(
            "shared_key", "one key stands in two places of the request; each purpose has its own"
        )
