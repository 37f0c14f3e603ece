"""``rjs verify``: judges the signature of a bundle, of any signed JAR, or of an answer. It knows no job in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from rjs.cli.answer_list import answer_list
from rjs.cli.certificates import is_ca
from rjs.cli.console import json_option, print_json, say
from rjs.cli.described import is_answer
from rjs.cli.options import at_option
from rjs.cli.own import own_root
from rjs.errors import RefusedError, UsageError
from rjs.files import open_plain

if TYPE_CHECKING:
    from cryptography import x509

    from rjs.bundle.crl import RevocationList
    from rjs.bundle.verify import OpenedBundle
    from rjs.identity.revocation import Revocations


@click.command("verify")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--trust", multiple=True, metavar="PEM",
              type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Certificate of a CA whose signers are trusted, or of one trusted signer.")  # fmt: skip
@click.option("--answer", is_flag=True,
              help="It is an answer; --trust names the organisation's root [your own organisation's].")  # fmt: skip
@click.option("--crl", multiple=True, metavar="FILE",
              type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Revocation lists, PEM or DER. Given once, every CA of the path needs a fresh one.")  # fmt: skip
@click.option("--revocations", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="With --answer: the list of what is revoked [the one last fetched].")  # fmt: skip
@at_option
@json_option
def command(
    bundle: Path,
    trust: tuple[Path, ...],
    answer: bool,
    crl: tuple[Path, ...],
    revocations: Path | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Judge the signature of a bundle, an answer or any signed JAR.

    Exit status 0 means accepted, every file of it; 1 means refused, and stderr says why: "refused: CODE: sentence".
    A bundle's own dates count too. Whether it is a job that can run is for `rjs inspect` to show.

    An answer of a compute server that is revoked counts no more. With --at, what was revoked later is left out: give
    the time when you had the answer from the web server.

    \b
    Example:
      rjs verify mandelbrot.jar --trust root.pem --crl root.crl
      rjs verify ans/1f0c5a7e9d3b2c48/0.jar --answer
    """
    if not (trust or answer):
        raise click.UsageError("--trust must name a CA whose signers are trusted, or a trusted signer")
    authorities, signers = _certificates(trust) if trust else ([own_root()], [])
    if answer and not authorities:
        raise click.UsageError("--answer needs --trust with the certificate of a CA: the organisation's root")
    if revocations is not None and not answer:
        raise click.UsageError("--revocations is for answers; a bundle's signer is judged by --crl")
    moment = at or datetime.now(UTC)
    lists = _revocation_lists(crl)
    with open_plain(bundle) as file:
        if answer:
            judged_by = answer_list(revocations, authorities, own=not trust)
            accepted = _accept_answer(file, authorities, lists, judged_by.newest, moment)
            if judged_by.note:
                say(judged_by.note)
        else:
            with _hint_about_answers(file, moment):
                accepted = _accept_bundle(file, authorities, signers, lists, moment)
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
        by_ca = is_ca(first, path)
        if others and (by_ca or not all(is_ca(each, path) for each in others)):
            raise UsageError(f"{path} holds {len(others) + 1} certificates; give the one that you mean")
        (authorities if by_ca else signers).append(first)
    return authorities, signers


def _revocation_lists(paths: Sequence[Path]) -> list[RevocationList] | None:
    """All lists of all files; None where no file is given, so that none is asked for."""
    from rjs.bundle.crl import load_crls
    from rjs.files import read_small
    from rjs.limits import MAX_CRL_BYTES

    return [each for path in paths for each in load_crls(read_small(path, MAX_CRL_BYTES))] if paths else None


def _accept_answer(
    file: BinaryIO,
    authorities: Sequence[x509.Certificate],
    lists: Sequence[RevocationList] | None,
    newest: Revocations | None,
    at: datetime,
) -> OpenedBundle:
    """Accept an answer by an enrolled key that neither the lists, where asked for, nor the cluster's own revokes."""
    from cryptography import x509

    from rjs.answers.answer_jar import open_answer
    from rjs.bundle.crl import check_revocation

    try:
        opened = open_answer(file, roots=authorities, at=at)
    except RefusedError as refused:
        if refused.code == "certificate" and _is_bundle(file, at):
            sentence = (
                f"{refused.sentence}; this is no answer: leave --answer out, and name its CA with --trust"
            )
            raise RefusedError(refused.code, sentence) from refused
        raise
    bundle = opened.bundle
    path = [x509.load_der_x509_certificate(each) for each in bundle.signer.path]
    if lists is not None:
        check_revocation(path, lists, at=at)
    entry = newest and newest.answer(opened.receipt.cs, tuple(path), at.timestamp())
    if entry:
        raise RefusedError("revoked", f"{entry.sentence()}; judge one that you had before with --at TIME")
    return bundle


def _is_bundle(file: BinaryIO, at: datetime) -> bool:
    """Whether the file is signed as bundles are, by whomever."""
    from rjs.bundle.verify import open_bundle

    try:
        open_bundle(file, at=at)
    except RefusedError:
        return False
    return True


@contextmanager
def _hint_about_answers(file: BinaryIO, at: datetime) -> Iterator[None]:
    """Say so where what is refused as a bundle is an answer."""
    try:
        yield
    except RefusedError as refused:
        if refused.code == "certificate" and is_answer(file, at):
            raise RefusedError(
                refused.code, f"{refused.sentence}; this is an answer: judge it with --answer"
            ) from refused
        raise


def _accept_bundle(
    file: BinaryIO,
    authorities: Sequence[x509.Certificate],
    signers: Sequence[x509.Certificate],
    lists: Sequence[RevocationList] | None,
    at: datetime,
) -> OpenedBundle:
    """Accept a bundle of a trusted signer whose dates allow ``at``, with every file as it was signed."""
    from rjs.bundle.policy import check_job_conditions

    bundle = _open_trusted(file, authorities, signers, lists, at)
    check_job_conditions(bundle, at=at)
    bundle.check_all()
    return bundle


def _open_trusted(
    file: BinaryIO,
    authorities: Sequence[x509.Certificate],
    signers: Sequence[x509.Certificate],
    lists: Sequence[RevocationList] | None,
    at: datetime,
) -> OpenedBundle:
    """Open by a path to one of ``authorities``; where the path alone fails, by one of the keys of ``signers``."""
    from rjs.bundle.verify import open_bundle, spki_of

    if authorities:
        try:
            return open_bundle(file, at=at, roots=authorities, crls=lists)
        except RefusedError as refused:
            if refused.code != "path" or not signers:
                raise
    bundle = open_bundle(file, at=at, crls=lists)
    if bundle.signer.spki not in {spki_of(certificate) for certificate in signers}:
        raise RefusedError(
            "untrusted",
            f"no --trust names the key of {bundle.signer.subject} ({bundle.signer.spki}) or a CA that certified it",
        )
    return bundle
