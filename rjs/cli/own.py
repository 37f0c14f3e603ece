"""What lies in the folder of the person who calls: the organisation's root, and the keys for sealed answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rjs.cli.group import person_folder
from rjs.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from cryptography import x509

    from rjs.identity.folder import IdentityFolder
    from rjs.identity.keys import AskPassphrase, PrivateKey


def own_root() -> x509.Certificate:
    """The organisation's root, where no ``--trust`` names one. Raises UsageError for whoever has joined none."""
    try:
        return _own().root()
    except (ConfigError, FileNotFoundError) as error:
        raise UsageError(
            f"give the organisation's root with --trust; there is none of your own: {error}"
        ) from None


def own_encryption_certificate(ask: AskPassphrase | None) -> x509.Certificate:
    """The caller's certificate, for jobs whose answers are for the caller alone. Raises RefusedError, ConfigError."""
    from rjs.identity.encryption import encryption_certificate

    return encryption_certificate(_own().path, datetime.now(UTC), ask)


def own_encryption_key(ask: AskPassphrase) -> PrivateKey:
    """The key that opens what was sealed for the caller. Raises RefusedError, ConfigError."""
    from rjs.identity.encryption import encryption_key

    return encryption_key(_own().path, ask)


def _own() -> IdentityFolder:
    from rjs.state import person_identity

    return person_identity(person_folder())
