"""The file in which the operator, the web server and its authority keep the statement of accepted CAs: judged when
read."""

from __future__ import annotations

from pathlib import Path

import msgspec
from cryptography import x509

from rjs.errors import ConfigError
from rjs.files import read_small, write_atomically
from rjs.identity.accepted_cas import Acceptance, SignedAcceptance, read_acceptance
from rjs.identity.errors import IdentityError
from rjs.identity.proofs import UNREADABLE
from rjs.limits import FRAME

ACCEPTED_CAS = "accepted-cas"
"""The file's name, in the operator's folder, in that of a web server's cluster and in that of its authority."""


def keep_acceptance(path: Path, acceptance: Acceptance) -> None:
    """Replace the statement at ``path``, atomically and durably. Raises OSError, and then it is the one before."""
    write_atomically(path, msgspec.msgpack.encode(acceptance.signed))


def read_acceptance_file(path: Path, root: x509.Certificate) -> Acceptance:
    """The statement at ``path``. Raises IdentityError for what is none of this organisation's, and OSError."""
    try:
        return read_acceptance(msgspec.msgpack.decode(read_small(path, FRAME), type=SignedAcceptance), root)
    except UNREADABLE as error:
        raise IdentityError("acceptance", f"{path} is no statement of rjs ca accept: {error}") from error


def kept_acceptance(path: Path, root: x509.Certificate) -> Acceptance | None:
    """The statement at ``path``, judged anew; None when there is none. Raises ConfigError for a damaged one."""
    try:
        return read_acceptance_file(path, root)
    except FileNotFoundError:
        return None
    except IdentityError as error:
        raise ConfigError(
            f"{path} is damaged ({error}); restore it from a copy, or remove it and run: rjs ws accept"
        ) from error
