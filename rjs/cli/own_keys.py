"""``rjs cert request`` and ``rjs cert passphrase``: a person's own keys, which sign jobs and open sealed answers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rjs.cli.console import say
from rjs.cli.group import person_folder
from rjs.cli.passphrases import Passphrases, new_passphrase_option, passphrase_option, replacement

if TYPE_CHECKING:
    from rjs.identity.folder import IdentityFolder


def _own() -> IdentityFolder:
    """The folder of the caller's keys. Raises ConfigError when the caller submits no jobs."""
    from rjs.identity.folder import IdentityFolder
    from rjs.identity.names import Role
    from rjs.state import member_of, sole_cluster

    folder = person_folder()
    member_of(folder, Role.USER)
    return IdentityFolder(sole_cluster(folder) / "identity")


@click.command("request")
@click.option("--signing", is_flag=True, help="For your signing key, which signs jobs.")
@click.option("--encryption", is_flag=True, help="For your encryption key, which opens sealed answers.")
@passphrase_option
def request(signing: bool, encryption: bool, passphrase_file: Path | None) -> None:
    """Make a request for a certificate of your signing or encryption key.

    Keys stay as they are, so that owners need not be asked again and what was sealed stays readable; an encryption
    key is made where there is none. Prints the request's file: the operator certifies it with `rjs ca issue`. An
    encryption key serves without the operator.

    \b
    Example:
      rjs cert request --signing
      rjs cert request --encryption
    """
    if not (signing or encryption):
        raise click.UsageError("say for which key: --signing or --encryption")
    folder, ask = _own(), Passphrases(passphrase_file)
    made = [folder.request_signing(ask)] if signing else []
    if encryption:
        made.append(folder.request_encryption(datetime.now(UTC), ask))
    for path in made:
        click.echo(str(path))
        say(f"the operator runs: rjs ca issue CADIR {path.name}; what it makes belongs into {path.parent}")


@click.command("passphrase")
@passphrase_option
@new_passphrase_option
@click.option("--none", "unprotected", is_flag=True, help="Protect the keys no more.")
def passphrase(passphrase_file: Path | None, new_passphrase_file: Path | None, unprotected: bool) -> None:
    """Change the passphrase of your own keys, set one, or take it off.

    It is for your signing and encryption keys together, and asked for when you sign a job or open a sealed answer. If
    this is interrupted, both keys have the old one or both have the new one.

    \b
    Example:
      rjs cert passphrase
    """
    folder = _own()
    changed = folder.change_passphrase(
        Passphrases(passphrase_file), lambda: replacement(new_passphrase_file, unprotected)
    )
    what = "took the passphrase off" if unprotected else "changed the passphrase of"
    say(f"{what} {' and '.join(path.name for path in changed)}")
