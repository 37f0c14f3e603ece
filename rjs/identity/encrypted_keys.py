"""Private keys at rest under a passphrase: PKCS#8 ``EncryptedPrivateKeyInfo`` in PEM, written.

PBES2 (RFC 8018) with PBKDF2-HMAC-SHA256 and AES-256-CBC, which OpenSSL and every other tool reads. Written here
because ``BestAvailableEncryption`` derives the key in 2,048 rounds: half a millisecond for each guess at the
passphrase of a stolen stick. Reading is the library's.
"""

from __future__ import annotations

import base64
import os
import textwrap
from typing import Final

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from rjs.limits import PASSPHRASE_ROUNDS

_PBES2: Final = bytes.fromhex("06092a864886f70d01050d")  # 1.2.840.113549.1.5.13
_PBKDF2: Final = bytes.fromhex("06092a864886f70d01050c")  # 1.2.840.113549.1.5.12
_HMAC_SHA256: Final = bytes.fromhex("06082a864886f70d02090500")  # 1.2.840.113549.2.9 and its NULL
_AES256_CBC: Final = bytes.fromhex("060960864801650304012a")  # 2.16.840.1.101.3.4.1.42
_SEQUENCE, _INTEGER, _OCTETS = 0x30, 0x02, 0x04
_KEY, _BLOCK = 32, 16  # bytes
_LABEL: Final = "ENCRYPTED PRIVATE KEY-----"


def encrypted_pem(pkcs8: bytes, passphrase: bytes) -> bytes:
    """The PEM of a private key (PKCS#8, DER) that ``passphrase`` alone opens."""
    salt, iv = os.urandom(_BLOCK), os.urandom(_BLOCK)
    wrapping = PBKDF2HMAC(hashes.SHA256(), _KEY, salt, PASSPHRASE_ROUNDS).derive(passphrase)
    padder = padding.PKCS7(8 * _BLOCK).padder()
    encryptor = Cipher(algorithms.AES(wrapping), modes.CBC(iv)).encryptor()
    encrypted = encryptor.update(padder.update(pkcs8) + padder.finalize()) + encryptor.finalize()
    info = _der(_SEQUENCE, _scheme(salt, iv), _der(_OCTETS, encrypted))
    lines = textwrap.wrap(base64.b64encode(info).decode("ascii"), 64)
    return "\n".join((f"-----BEGIN {_LABEL}", *lines, f"-----END {_LABEL}", "")).encode("ascii")


def _scheme(salt: bytes, iv: bytes) -> bytes:
    """The AlgorithmIdentifier of PBES2 (RFC 8018 appendix A.4)."""
    rounds = _der(_INTEGER, PASSPHRASE_ROUNDS.to_bytes(PASSPHRASE_ROUNDS.bit_length() // 8 + 1, "big"))
    parameters = _der(_SEQUENCE, _der(_OCTETS, salt), rounds, _der(_SEQUENCE, _HMAC_SHA256))
    derivation = _der(_SEQUENCE, _PBKDF2, parameters)
    cipher = _der(_SEQUENCE, _AES256_CBC, _der(_OCTETS, iv))
    return _der(_SEQUENCE, _PBES2, _der(_SEQUENCE, derivation, cipher))


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content
