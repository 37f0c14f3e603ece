"""The file in which a server keeps the list of what is revoked that it goes by: whole, durable, judged when read."""

from __future__ import annotations

from pathlib import Path

import msgspec
from cryptography import x509

from rjs.errors import ConfigError
from rjs.files import read_small, write_atomically
from rjs.identity.errors import IdentityError
from rjs.identity.proofs import UNREADABLE
from rjs.identity.revocation import Revocations, SignedRevocations, read_revocations
from rjs.limits import FRAME

REVOCATIONS = "revocations"
"""The file's name, in the folder of its cluster and in that of the authority."""


def keep_revocations(path: Path, revocations: Revocations) -> None:
    """Replace the list at ``path``, atomically and durably. Raises OSError, and then it is the one before."""
    write_atomically(path, msgspec.msgpack.encode(revocations.signed))


def kept_revocations(path: Path, root: x509.Certificate) -> Revocations | None:
    """The list at ``path``, judged anew; None when there is none. Raises ConfigError for a damaged one."""
    try:
        return read_list(path, root)
    except FileNotFoundError:
        return None
    except IdentityError as error:
        raise ConfigError(
            f"{path} is damaged ({error}); restore it from a copy, or remove it: the servers that this one "
            f"meets have the list too"
        ) from error


def read_list(path: Path, root: x509.Certificate) -> Revocations:
    """The list in the file at ``path``, judged. Raises IdentityError for what is none, and OSError."""
    try:
        signed = msgspec.msgpack.decode(read_small(path, FRAME), type=SignedRevocations)
    except UNREADABLE as error:
        raise IdentityError("revocations", f"{path} holds no list of what is revoked: {error}") from error
    return read_revocations(signed, root)
