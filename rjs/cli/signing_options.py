"""Who signs and for how long: the options that ``pack``, ``submit`` and ``sign`` share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from rjs.cli.group import person_folder
from rjs.cli.passphrases import Passphrases, passphrase_option

if TYPE_CHECKING:
    from rjs.ids import ClusterId
    from rjs.signer import SigningIdentity

_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_folder = click.Path(exists=True, file_okay=False, path_type=Path)

DEFAULT_VALID = 30
"""Days that a job may run within where nobody says otherwise."""


@attrs.frozen
class Signing:
    """What was said about the signature; ``valid`` are days, None where nobody said."""

    sign_with: Path | None
    key: Path | None
    certificate: Path | None
    pkcs12: Path | None
    passphrase_file: Path | None
    valid: int | None
    cluster: str | None

    def check(self) -> None:
        """Raise click.UsageError for what cannot be meant together."""
        sources = [self.sign_with, self.key or self.certificate, self.pkcs12]
        if sum(source is not None for source in sources) > 1:
            raise click.UsageError("--sign-with, --key with --certificate, and --pkcs12 exclude each other")
        if (self.key is None) != (self.certificate is None):
            raise click.UsageError("--key and --certificate belong together")

    @property
    def names_signer(self) -> bool:
        """Whether another signer than the person's own was named."""
        return any(each is not None for each in (self.sign_with, self.key, self.pkcs12))

    @property
    def is_given(self) -> bool:
        """Whether anything was said."""
        return any(getattr(self, field.name) is not None for field in attrs.fields(Signing))

    @property
    def days(self) -> int:
        return DEFAULT_VALID if self.valid is None else self.valid

    @property
    def cluster_id(self) -> ClusterId | None:
        from rjs.ids import ClusterId

        return None if self.cluster is None else ClusterId(self.cluster)

    @functools.cached_property
    def ask(self) -> Passphrases:
        """Gives the passphrases of keys; each is asked for once."""
        return Passphrases(self.passphrase_file)

    def signer(self, now: datetime) -> SigningIdentity:
        """The signer that was named, else the person's own; a passphrase is asked for where it is needed."""
        from rjs.signer import own_signer, pem_signer, pkcs12_signer

        if self.key is not None and self.certificate is not None:
            return pem_signer(self.key, self.certificate, ask=self.ask, now=now)
        if self.pkcs12 is not None:
            return pkcs12_signer(self.pkcs12, ask=self.ask, now=now)
        return own_signer(self.sign_with or person_folder(), self.ask)


_OPTIONS: Final = (
    click.option("--sign-with", type=_folder, metavar="DIR",
                 help="Folder with signing.key, signing.pem and root.pem [your own]."),
    click.option("--key", type=_file, metavar="FILE", help="Or the private key (PEM) of any CA's certificate."),
    click.option("--certificate", type=_file, metavar="FILE",
                 help="The key's certificate, and those of the CAs above it (PEM)."),
    click.option("--pkcs12", type=_file, metavar="FILE", help="Or key and certificates in one .p12 or .pfx."),
    passphrase_option,
    click.option("--valid", type=click.IntRange(1, 3650), metavar="DAYS",
                 help=f"Days the job may run within [{DEFAULT_VALID}]; never longer than your certificate."),
    click.option("--cluster", metavar="ID", help="Allow the job in this cluster only (16 hex digits)."),
)  # fmt: skip


def signing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options; its function receives them as ``signing``, checked against each other."""

    @functools.wraps(function)
    def collected(**given: Any) -> Any:
        signing = Signing(**{field.name: given.pop(field.name) for field in attrs.fields(Signing)})
        signing.check()
        return function(signing=signing, **given)

    command: Callable[..., Any] = collected
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
