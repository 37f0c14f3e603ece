"""Looks at the certificates and keys of a member's folder, without asking for a passphrase or changing anything."""

from __future__ import annotations

import datetime as dt
import stat
from pathlib import Path

from cryptography import x509

from rjs.doctor.rules.certificates import CertificateFacts
from rjs.errors import RefusedError
from rjs.identity.held import FILES
from rjs.identity.keys import Chain, is_encrypted, load_chain, load_private, spki_digest
from rjs.identity.paths import check_chain

_NEVER = dt.datetime.fromtimestamp(0, dt.UTC)

KEYS = {
    "token": "token.pem", "answer": "answer.key", "signing": "signing.key", "encryption": "encryption.key",
    "intermediate": "authority/intermediate.key", "record": "authority/record.key",
}  # fmt: skip
"""Where the private key of each certificate lies."""

EXPECTED = {
    "ws": ("intermediate", "record", "root"),
    "lus": ("token", "root"),
    "cs": ("token", "answer", "root"),
    "user": ("token", "signing", "encryption", "root"),
    "admin": ("token", "root"),
}
"""The certificates of each role, in the order in which they are told."""

OPTIONAL = frozenset({"signing", "encryption"})
"""What a person may lack: the operator certifies it later."""


def look_at_certificates(identity: Path, role: str) -> list[CertificateFacts]:
    """The certificates that a member of this role should have in its folder ``identity``."""
    root = _root(identity)
    found = []
    for what in EXPECTED[role]:
        path = identity / FILES[what]
        if what in OPTIONAL and not path.exists():
            continue
        found.append(look_at_certificate(what, path, identity / KEYS[what] if what in KEYS else None, root))
    return found


def look_at_certificate(
    what: str, path: Path, key: Path | None, root: x509.Certificate | None
) -> CertificateFacts:
    """One certificate, and the key that should fit it."""
    try:
        chain = load_chain(path)
    except (OSError, RefusedError) as error:
        return CertificateFacts(what, str(path), _NEVER, _NEVER, error=_words(error))
    mode, key_error, fits, encrypted = _key(key, chain)
    return CertificateFacts(
        what=what,
        path=str(path),
        start=chain[0].not_valid_before_utc,
        end=chain[0].not_valid_after_utc,
        of_root=root is None or _leads_to(chain, root),
        key_path="" if key is None else str(key),
        key_mode=mode,
        key_error=key_error,
        key_fits=fits,
        encrypted=encrypted,
    )


def _root(identity: Path) -> x509.Certificate | None:
    try:
        return load_chain(identity / "root.pem")[-1]
    except (OSError, RefusedError):
        return None


def _leads_to(chain: Chain, root: x509.Certificate) -> bool:
    """A self-signed encryption certificate stands for itself, as a root does."""
    if len(chain) == 1:
        return chain[0] == root or chain[0].issuer == chain[0].subject
    try:
        check_chain(chain, root, now=None)
    except RefusedError:
        return False
    return True


def _key(path: Path | None, chain: Chain) -> tuple[int | None, str, bool | None, bool]:
    """Mode, what is wrong, whether it fits, whether a passphrase protects it."""
    if path is None:
        return None, "", None, False
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        encrypted = is_encrypted(path)
        if encrypted:
            return mode, "", None, True
        if mode & 0o077:
            return mode, "", None, False  # it is refused for that, whatever it holds
        return mode, "", spki_digest(load_private(path)) == spki_digest(chain[0]), False
    except PermissionError:
        return None, "", None, False  # another account's, as an authority's should be
    except (OSError, RefusedError) as error:
        return None, _words(error), None, False


def _words(error: Exception) -> str:
    if isinstance(error, RefusedError):
        return error.sentence
    return str(getattr(error, "strerror", None) or error)
