"""``rjs verify``: judges a bundle as a compute server would, or an answer as the web server would."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from rjs.cli.console import json_option, print_json
from rjs.cli.options import at_option
from rjs.errors import RefusedError, RjsError, UsageError

if TYPE_CHECKING:
    from cryptography import x509

    from rjs.bundle.verify import OpenedBundle


@click.command("verify")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--trust", required=True, multiple=True, metavar="PEM",
              type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Certificate of a CA whose signers are trusted, or of one trusted signer.")  # fmt: skip
@click.option("--answer", is_flag=True, help="It is an answer; --trust names the organisation's root.")
@at_option
@json_option
def command(bundle: Path, trust: tuple[Path, ...], answer: bool, at: datetime | None, as_json: bool) -> None:
    """Judge a bundle or an answer as a compute server would.

    Exit status 0 means accepted, every file of it; 1 means refused, and stderr says why: "refused: CODE: sentence".

    \b
    Example:
      rjs verify mandelbrot.jar --trust root.pem
      rjs verify ans/1f0c5a7e9d3b2c48/0.jar --answer --trust root.pem
    """
    authorities, signers = _certificates(trust)
    if answer and not authorities:
        raise click.UsageError("--answer needs --trust with the certificate of a CA: the organisation's root")
    moment = at or datetime.now(UTC)
    with bundle.open("rb") as file:
        if answer:
            from rjs.bundle.answer import open_answer

            accepted = open_answer(file, roots=authorities, at=moment).bundle
        else:
            accepted = _accept_job(file, authorities, signers, moment)
    if as_json:
        print_json({"id": accepted.bundle_id, "signer": accepted.signer.subject, "key": accepted.signer.spki})
    else:
        click.echo(f"accepted: {accepted.bundle_id}, signed by {accepted.signer.subject}")


def _certificates(paths: Sequence[Path]) -> tuple[list[x509.Certificate], list[x509.Certificate]]:
    """The certificates of CAs, and those of signers. One a file counts: a signer's chain means the signer alone."""
    from rjs.identity.keys import load_chain

    authorities: list[x509.Certificate] = []
    signers: list[x509.Certificate] = []
    for path in paths:
        first, *others = load_chain(path)
        by_ca = _is_ca(first, path)
        if others and (by_ca or not all(_is_ca(each, path) for each in others)):
            raise UsageError(f"{path} holds {len(others) + 1} certificates; give the one that you mean")
        (authorities if by_ca else signers).append(first)
    return authorities, signers


def _is_ca(certificate: x509.Certificate, path: Path) -> bool:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
    except ValueError as error:
        raise RjsError(f"{path} holds a certificate that cannot be read: {error}") from error


def _accept_job(
    file: BinaryIO,
    authorities: Sequence[x509.Certificate],
    signers: Sequence[x509.Certificate],
    at: datetime,
) -> OpenedBundle:
    """Accept a bundle of a trusted signer that may be a job at ``at``, with every file as it was signed."""
    from rjs.bundle.descriptor import DESCRIPTOR_NAME, parse_descriptor
    from rjs.bundle.policy import check_job_conditions
    from rjs.limits import MAX_DESCRIPTOR_BYTES

    bundle = _open_trusted(file, authorities, signers, at)
    check_job_conditions(bundle, at=at)
    bundle.check_all()
    parse_descriptor(bundle.read(DESCRIPTOR_NAME, MAX_DESCRIPTOR_BYTES), bundle.entries)
    return bundle


def _open_trusted(
    file: BinaryIO,
    authorities: Sequence[x509.Certificate],
    signers: Sequence[x509.Certificate],
    at: datetime,
) -> OpenedBundle:
    """Open by a path to one of ``authorities``; where the path alone fails, by one of the keys of ``signers``."""
    from rjs.bundle.verify import open_bundle, spki_of

    if authorities:
        try:
            return open_bundle(file, at=at, roots=authorities)
        except RefusedError as refused:
            if refused.code != "path" or not signers:
                raise
    bundle = open_bundle(file, at=at)
    if bundle.signer.spki not in {spki_of(certificate) for certificate in signers}:
        raise RefusedError(
            "untrusted",
            f"no --trust names the key of {bundle.signer.subject} ({bundle.signer.spki}) or a CA that certified it",
        )
    return bundle
