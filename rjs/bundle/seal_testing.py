"""People for whom something can be sealed, with real keys of every kind: for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from rjs.bundle.seal_keys import OpeningKey
from rjs.bundle.testing import Party, make_party

RECIPIENT_KEYS: Final[Mapping[str, Callable[[], OpeningKey]]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
}


def make_recipient(name: str = "Ada", key: Any = None, *, serial: int | None = None) -> Party:
    """Return somebody with a self-signed encryption certificate; a P-256 key is made if none is given."""
    own = key or ec.generate_private_key(ec.SECP256R1())
    agrees = not isinstance(own, rsa.RSAPrivateKey)
    usage = x509.KeyUsage(False, False, not agrees, False, agrees, False, False, False, False)
    identifier = x509.SubjectKeyIdentifier.from_public_key(own.public_key())
    return make_party(name, key=own, serial=serial, replaced=[(usage, True), (identifier, False)])
