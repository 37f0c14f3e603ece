"""Keys with certificates of other CAs, as they come: a PEM pair, or a PKCS#12 file. Nothing else reads these.

What they are good for, and whether anybody accepts them, is judged by whoever uses them.
"""

from __future__ import annotations

from pathlib import Path

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key, pkcs12

from rjs.errors import RefusedError
from rjs.files import read_small
from rjs.identity.foreign import ForeignIdentity, foreign_public_key
from rjs.identity.keys import AskPassphrase, load_chain
from rjs.limits import FOREIGN_CHAIN, IDENTITY_FILE

_SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class KeyFileError(RefusedError):
    """A file holds no key with its certificate that can be read or presented; the sentence says what would be one."""

    def __init__(self, sentence: str) -> None:
        super().__init__("key-file", sentence)


@attrs.frozen
class KeyFile:
    """A private key of whatever kind, with the certificates that came with it, in their order; ``path`` is theirs."""

    path: Path
    key: object = attrs.field(repr=False)
    certificates: tuple[x509.Certificate, ...]


def read_pem(key: Path, certificates: Path, ask: AskPassphrase) -> KeyFile:
    """A PEM key, and PEM certificates in any order. Raises KeyFileError, OSError."""
    pem = read_small(key, IDENTITY_FILE)
    encrypted = b"ENCRYPTED" in pem
    if not encrypted and key.stat().st_mode & 0o077:
        raise KeyFileError(f"{key} can be read by others; close it with: chmod 600 {key}")
    try:
        found = load_pem_private_key(pem, ask(key) if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileError(f"{key} holds no private key that the passphrase opens, or none at all") from None
    return KeyFile(certificates, found, load_chain(certificates))


def read_pkcs12(path: Path, ask: AskPassphrase) -> KeyFile:
    """What a PKCS#12 file (``.p12``, ``.pfx``) holds; raises like ``read_pem``."""
    data = read_small(path, IDENTITY_FILE)
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(data, ask(path))
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError(f"{path} is no PKCS#12 file that the passphrase opens") from None
    if key is None or certificate is None:
        raise KeyFileError(f"{path} lacks a private key with its certificate; export both")
    return KeyFile(path, key, (certificate, *others))


def foreign_identity(file: KeyFile) -> ForeignIdentity:
    """The key with its own certificate, and those of the CAs above. Raises KeyFileError."""
    key = file.key
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise KeyFileError("the private key is neither RSA nor of P-256, P-384 or P-521")
    certificates = list(dict.fromkeys(file.certificates))
    ours = key.public_key().public_bytes(*_SPKI)
    own = [each for each in certificates if foreign_public_key(each).public_bytes(*_SPKI) == ours]
    if not own:
        raise KeyFileError(
            f"no certificate in {file.path} belongs to the private key; give the one issued for it"
        )
    issuers = _issuers(own[0], certificates)
    return ForeignIdentity(key, (own[0], *issuers[: FOREIGN_CHAIN - 1]))


def _issuers(leaf: x509.Certificate, found: list[x509.Certificate]) -> list[x509.Certificate]:
    """Those above ``leaf``, nearest first, without one that vouches for itself: whoever believes that has it."""
    above: list[x509.Certificate] = []
    current: x509.Certificate | None = leaf
    while current is not None and len(above) < len(found):
        issuer = current.issuer
        current = next((each for each in found if each.subject == issuer != each.issuer), None)
        if current is not None and current not in above:
            above.append(current)
        else:
            break
    return above
