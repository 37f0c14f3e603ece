"""Java's and OpenSSL's own tools, as the interoperability tests drive them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.testing import Party, make_party

PASSWORD: Final = "changeit"
QUICK: Final = ("-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC")
"""A JVM that starts sooner: each run is short, and there are many."""
KEYS: Final[dict[str, Callable[[], Any]]] = {
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-3072": lambda: rsa.generate_private_key(65537, 3072),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def make_chains() -> Mapping[str, Callable[[], Party]]:
    """Every signer of the matrix, by name: each kind of key, under a root and under an intermediate."""
    direct = {f"{kind} under a root": partial(_signer, kind, ()) for kind in KEYS}
    return direct | {f"{kind} under an intermediate": partial(_signer, kind, ("CA",)) for kind in KEYS}


def run(*command: str | Path) -> str:
    """What the command said; it must end well within a minute."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def verify_strictly(jar: Path, signer: Party, folder: Path) -> str:
    """The report of ``jarsigner -verify -strict`` with the signer's root as the only one; it must exit 0."""
    store = folder / "trust.p12"
    if not store.exists():
        encryption = BestAvailableEncryption(PASSWORD.encode())
        trusted = pkcs12.PKCS12Certificate(signer.root, b"root")
        store.write_bytes(pkcs12.serialize_java_truststore([trusted], encryption))
    return run("jarsigner", *QUICK, "-verify", "-strict", "-keystore", store, "-storepass", PASSWORD, jar)


def sign_with_jarsigner(jar: Path, signer: Party, folder: Path, *options: str) -> None:
    """Let ``jarsigner`` sign ``jar`` in its place."""
    store = folder / "signer.p12"
    encryption = BestAvailableEncryption(PASSWORD.encode())
    store.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"ada", signer.key, signer.certificate, list(signer.chain[1:]), encryption
        )
    )
    run("jarsigner", *QUICK, "-keystore", store, "-storepass", PASSWORD, *options, jar, "ada")


def _signer(kind: str, intermediates: tuple[str, ...]) -> Party:
    issuer = make_party("Root", ca=True)
    for name in intermediates:
        issuer = make_party(name, issuer, ca=True, path_length=0)
    return make_party("Ada", issuer, key=KEYS[kind](), usages=[CODE_SIGNING])
