"""Signed statements: what one of our keys says outside of TLS and certificates, so that it holds behind a relay too.

The signed bytes begin with what the statement is for and a zero byte. None of them can pass as a statement for
something else, as a certificate or request (which begin with 0x30) or as a TLS handshake (64 spaces).
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from rjs.identity.errors import IdentityError
from rjs.identity.keys import PrivateKey, PublicKey

Statement = TypeVar("Statement", bound=msgspec.Struct)

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgpack that somebody else encoded may raise; the last for a few hundred bytes of nested arrays."""


def sign_statement(key: PrivateKey, purpose: str, statement: bytes) -> bytes:
    """The holder of ``key`` says ``statement``: ECDSA with SHA-256, DER."""
    return key.sign(signed_bytes(purpose, statement), ec.ECDSA(hashes.SHA256()))


def check_statement(key: PublicKey, purpose: str, statement: bytes, signature: bytes) -> None:
    """Raises IdentityError unless the holder of ``key`` said exactly this, for this purpose."""
    try:
        key.verify(signature, signed_bytes(purpose, statement), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise IdentityError(
            "proof", f"the {purpose} was not signed with the key of the certificate that it comes with"
        ) from None


def read_statement(encoded: bytes, form: type[Statement], code: str, what: str) -> Statement:
    """What was said, in msgpack. Raises IdentityError with ``code``: who signed it may be hostile all the same."""
    try:
        return msgspec.msgpack.decode(encoded, type=form)
    except UNREADABLE as error:
        raise IdentityError(code, f"the {what} cannot be read: {error}") from error


def signed_bytes(purpose: str, statement: bytes) -> bytes:
    """What is signed when ``statement`` is said for this purpose."""
    return purpose.encode("ascii") + b"\0" + statement
