"""``rjs open``: verifies an answer, decrypts it when it is sealed, and unpacks it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rjs.cli.certificates import holders_certificate, one_certificate
from rjs.cli.console import json_option, print_json, say
from rjs.cli.options import at_option
from rjs.cli.own import own_encryption_key, own_root
from rjs.cli.passphrases import Passphrases, passphrase_option
from rjs.errors import ConfigError, UsageError
from rjs.files import open_plain

if TYPE_CHECKING:
    from cryptography import x509

    from rjs.answers.answer_jar import OpenedAnswer
    from rjs.bundle.seal_keys import OpeningKey
    from rjs.identity.keys import AskPassphrase

    Pair = tuple[OpeningKey, x509.Certificate]

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("open")
@click.argument("answer", type=_file)
@click.option("--trust", type=_file, metavar="PEM",
              help="Certificate of the organisation's root [your own organisation's].")  # fmt: skip
@click.option("--into", type=click.Path(path_type=Path), metavar="DIR",
              help="New folder for the files [beside the answer, named like it].")  # fmt: skip
@click.option("--key", type=_file, metavar="FILE",
              help="Private key that opens sealed outputs (PEM) [your own].")  # fmt: skip
@click.option("--certificate", type=_file, metavar="FILE", help="The key's certificate, as the job named it.")
@passphrase_option
@at_option
@json_option
def command(
    answer: Path,
    trust: Path | None,
    into: Path | None,
    key: Path | None,
    certificate: Path | None,
    passphrase_file: Path | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Verify, decrypt and unpack an answer.

    The folder appears only when every file in it is what the compute server signed and, where the outputs are sealed,
    what it sealed for this very attempt. An answer whose certificate has expired needs --at, the time of its commit.
    Outputs that were sealed for you (rjs submit --encrypt) are opened with your own key.

    \b
    Example:
      rjs open ans/1f0c5a7e9d3b2c48/0.jar
      rjs open 0.jar --trust root.pem --into results --key reader.key --certificate reader.pem
    """
    if (key is None) != (certificate is None):
        raise click.UsageError("--key and --certificate belong together")
    ask = Passphrases(passphrase_file)
    pair = None if key is None or certificate is None else _pair(key, certificate, ask)
    destination = _new_folder(into or answer.with_suffix(""))
    root = own_root() if trust is None else one_certificate(trust)
    with open_plain(answer) as file:
        from rjs.answers.answer_jar import open_answer

        opened = open_answer(file, roots=[root], at=at or datetime.now(UTC))
        _unpack(opened, destination, pair, ask)
    if pair is not None and not opened.is_sealed:
        say("The outputs were not sealed: every server on their way could read them.")
    _report(opened, destination, as_json)


def _new_folder(path: Path) -> Path:
    if os.path.lexists(path):
        raise UsageError(f"{path} exists already; name a new folder with --into")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to make {path.name} in")
    return path


def _unpack(answer: OpenedAnswer, destination: Path, pair: Pair | None, ask: AskPassphrase) -> None:
    from rjs.answers.sealed_outputs import open_outputs

    if not answer.is_sealed:
        answer.bundle.unpack(destination)
        return
    key, certificate = pair or (_own_key(ask), None)
    open_outputs(answer, destination, key=key, certificate=certificate)


def _own_key(ask: AskPassphrase) -> OpeningKey:
    """The caller's key. Whoever has none is told whose would do, too."""
    from rjs.bundle.seal_errors import SealRefusedError
    from rjs.identity.errors import IdentityError

    try:
        return own_encryption_key(ask)
    except (ConfigError, IdentityError) as error:
        if isinstance(error, IdentityError) and error.code != "identity.no_encryption_key":
            raise
        raise SealRefusedError(
            "sealed-key",
            "the outputs are sealed, and you have no encryption key of your own; give --key and --certificate of the "
            "reader whom the job named",
        ) from None


def _pair(key: Path, certificate: Path, ask: AskPassphrase) -> Pair:
    from rjs.bundle.seal_keys import check_opening_key, read_opening_key
    from rjs.files import read_small
    from rjs.limits import IDENTITY_FILE

    pem = read_small(key, IDENTITY_FILE)
    passphrase = ask(key) if b"ENCRYPTED" in pem else None
    pair = read_opening_key(pem, passphrase), holders_certificate(certificate)
    check_opening_key(*pair)
    return pair


def _report(answer: OpenedAnswer, destination: Path, as_json: bool) -> None:
    import msgspec

    receipt = answer.receipt
    if as_json:
        print_json(
            {
                "into": destination,
                "job": receipt.bundle_id,
                "task": receipt.task,
                "cs": receipt.cs,
                "exit": msgspec.to_builtins(receipt.exit),
                "sealed": answer.is_sealed,
                "signer": answer.signer.subject,
            }
        )
        return
    click.echo(str(destination))
    sealed = "sealed outputs" if answer.is_sealed else "outputs"
    say(f"Unpacked the {sealed} of task {receipt.task} of job {receipt.bundle_id}, run by {receipt.cs_name}.")
