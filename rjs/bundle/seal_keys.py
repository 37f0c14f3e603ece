"""Wraps a content key for a recipient's certificate, and unwraps it with the recipient's private key.

P-256 and P-384 by ephemeral ECDH (RFC 5753), RSA by OAEP (RFC 3560). It must be read twice. Whether a certificate
is whose it should be, and valid, is decided by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from rjs import limits
from rjs.bundle.cms import UNREADABLE
from rjs.bundle.cms_enveloped import (
    KEY_BYTES,
    SHARED_INFO,
    AgreedKey,
    RecipientName,
    TransportedKey,
    WrappedKey,
)
from rjs.bundle.seal_errors import SealRefusedError

OpeningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
RecipientKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_CURVES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
}
"""The curves that are accepted, each with the digest that we derive keys with."""
_UNCOMPRESSED: Final = b"\x04"
"""How a plain point of a curve begins (SEC 1 section 2.3.3)."""
_SPKI: Final = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def wrap_key(content_key: bytes, recipients: Sequence[x509.Certificate]) -> tuple[WrappedKey, ...]:
    """Return the content key wrapped for each of ``recipients``; raises like ``check_recipients``."""
    named = check_recipients(recipients)
    return tuple(_wrapped(content_key, name, key) for name, key in named)


def check_recipients(recipients: Sequence[x509.Certificate]) -> list[tuple[RecipientName, RecipientKey]]:
    """Return the name and key of each of ``recipients``.

    Raises SealRefusedError ``seal-recipient`` unless there are 1 to ``limits.MAX_RECIPIENTS`` certificates of as many
    keys, each with P-256 or P-384 and keyAgreement, or RSA of 2048 to 8192 bits and keyEncipherment.
    """
    if not 1 <= len(recipients) <= limits.MAX_RECIPIENTS:
        raise _recipient(f"name 1 to {limits.MAX_RECIPIENTS} recipients")
    keys = [_recipient_key(certificate) for certificate in recipients]
    names = [RecipientName.of(certificate) for certificate in recipients]
    if len(set(names)) < len(names) or len({key.public_bytes(*_SPKI) for key in keys}) < len(keys):
        raise _recipient("a recipient is named twice; name each one once")
    return list(zip(names, keys, strict=True))


def unwrap_key(keys: Sequence[WrappedKey], key: OpeningKey, certificate: x509.Certificate | None) -> bytes:
    """Return the content key that was wrapped for ``certificate``, whose private key ``key`` is.

    With None it is the one that was wrapped for ``key``, by whatever certificate its recipient was named: a person's
    certificate is renewed, and the key is kept. Raises SealRefusedError ``sealed-key``, ``sealed-recipient``,
    ``sealed-form`` when it is wrapped for it twice, and ``sealed-data`` when unwrapping fails, for whatever reason:
    the reason would help who is guessing.
    """
    if certificate is None:
        return _unwrapped_by(key, keys)
    check_opening_key(key, certificate)
    name = RecipientName.of(certificate)
    mine = [wrapped for wrapped in keys if wrapped.recipient == name]
    if not mine:
        raise SealRefusedError(
            "sealed-recipient", "it is not sealed for this certificate; give the one that the job named"
        )
    if len(mine) > 1:
        raise _named_twice()
    content_key = _content_key(mine[0], key)
    if content_key is None:
        raise SealRefusedError(
            "sealed-data",
            "its key cannot be unwrapped: it was changed, or sealed for another key; get it again",
        )
    return content_key


def _unwrapped_by(key: OpeningKey, keys: Sequence[WrappedKey]) -> bytes:
    """The one content key that ``key`` opens: what is wrapped for another key fails its own check."""
    found = [each for wrapped in keys if (each := _content_key(wrapped, key)) is not None]
    if not found:
        raise SealRefusedError(
            "sealed-recipient",
            "it is not sealed for your key, or was changed; if the job named another certificate of yours, give "
            "that with its key",
        )
    if len(found) > 1:
        raise _named_twice()
    return found[0]


def _content_key(wrapped: WrappedKey, key: OpeningKey) -> bytes | None:
    try:
        content_key = _unwrapped(wrapped, key)
    except (ValueError, keywrap.InvalidUnwrap, UnsupportedAlgorithm):
        return None
    return content_key if len(content_key) == KEY_BYTES else None


def _named_twice() -> SealRefusedError:
    return SealRefusedError("sealed-form", "the sealed file is not accepted: it names this recipient twice")


def check_opening_key(key: OpeningKey, certificate: x509.Certificate) -> None:
    """Raise SealRefusedError ``sealed-key`` unless ``certificate`` is readable and ``key`` is its private key."""
    try:
        same = key.public_key().public_bytes(*_SPKI) == certificate.public_key().public_bytes(*_SPKI)
        RecipientName.of(certificate)
    except UNREADABLE:
        same = False
    if not same:
        raise SealRefusedError("sealed-key", "the private key is not that of the certificate; give the pair")


def read_opening_key(pem: bytes, passphrase: bytes | None = None) -> OpeningKey:
    """Return the private key in ``pem``, which ``passphrase`` opens; raises SealRefusedError ``sealed-key``."""
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SealRefusedError(
            "sealed-key", "there is no private key in PEM that the passphrase opens, or none at all"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise SealRefusedError("sealed-key", "the private key is not of P-256, P-384 or RSA")
    return key


def _recipient_key(certificate: x509.Certificate) -> RecipientKey:
    try:
        key = certificate.public_key()
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        RecipientName.of(certificate)
    except x509.ExtensionNotFound:
        raise _recipient("a recipient's certificate does not state its key usage") from None
    except UNREADABLE:
        raise _recipient("a recipient's certificate cannot be read") from None
    match key:
        case ec.EllipticCurvePublicKey():
            fits, wanted = (
                key.curve.name in _CURVES and usage.key_agreement,
                "P-256 or P-384 and keyAgreement",
            )
        case rsa.RSAPublicKey():
            strong = limits.MIN_RSA_BITS <= key.key_size <= limits.MAX_RSA_BITS
            fits, wanted = strong and usage.key_encipherment, "2048 to 8192 bits and keyEncipherment"
        case _:
            raise _recipient("a recipient's key is not for encryption; use P-256")
    if not fits:
        raise _recipient(f"a recipient's certificate must be for a key with {wanted}")
    return key


def _wrapped(content_key: bytes, name: RecipientName, key: RecipientKey) -> WrappedKey:
    if isinstance(key, rsa.RSAPublicKey):
        digest: hashes.HashAlgorithm = hashes.SHA256()
        return TransportedKey(name, digest, key.encrypt(content_key, _oaep(digest)))
    digest = _CURVES[key.curve.name]
    ephemeral = ec.generate_private_key(key.curve)
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    wrapping = _derived(ephemeral.exchange(ec.ECDH(), key), digest)
    return AgreedKey(name, point, digest, keywrap.aes_key_wrap(wrapping, content_key))


def _unwrapped(wrapped: WrappedKey, key: OpeningKey) -> bytes:
    match wrapped, key:
        case TransportedKey(), rsa.RSAPrivateKey():
            return key.decrypt(wrapped.wrapped, _oaep(wrapped.digest))
        case AgreedKey(), ec.EllipticCurvePrivateKey():
            if wrapped.point[:1] != _UNCOMPRESSED:
                raise ValueError
            # Refuses a point that is not on the curve, so no invalid-curve attack learns about the key.
            point = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, wrapped.point)
            wrapping = _derived(key.exchange(ec.ECDH(), point), wrapped.digest)
            return keywrap.aes_key_unwrap(wrapping, wrapped.wrapped)
    raise ValueError


def _derived(secret: bytes, digest: hashes.HashAlgorithm) -> bytes:
    return X963KDF(algorithm=digest, length=KEY_BYTES, sharedinfo=SHARED_INFO).derive(secret)


def _oaep(digest: hashes.HashAlgorithm) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(digest), algorithm=digest, label=None)


def _recipient(why: str) -> SealRefusedError:
    return SealRefusedError("seal-recipient", f"nothing was sealed: {why}")
