"""``rjs inspect``: what a bundle or an answer holds, for somebody who has to decide about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from rjs.cli.console import json_option, print_json, print_table, say
from rjs.cli.options import at_option
from rjs.errors import RefusedError

if TYPE_CHECKING:
    from rjs.bundle.verify import OpenedBundle


@click.command("inspect")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@at_option
@json_option
def command(bundle: Path, at: datetime | None, as_json: bool) -> None:
    """Show what a bundle or an answer holds.

    Signature, dates and every file are checked first, and a file that fails is refused. Whether you trust the
    signer is another question: see rjs verify.

    \b
    Example:
      rjs inspect mandelbrot.jar
    """
    with bundle.open("rb") as file:
        found = _described(file, at or datetime.now(UTC))
    if as_json:
        print_json(found)
        return
    files = found.pop("files")
    for heading, facts in found.items():
        print_table([heading, ""], list(_rows(facts)))
        click.echo()
    print_table(["file", "bytes", ""], [_file_row(entry) for entry in files])
    say("The signature holds. It does not say whether to trust the signer: rjs verify and rjs trust do.")


def _described(file: BinaryIO, at: datetime) -> dict[str, Any]:
    """Everything worth knowing, by heading; raises RefusedError for what is not in order."""
    from rjs.bundle.verify import open_bundle

    try:
        bundle = open_bundle(file, at=at)
    except RefusedError as refused:
        if refused.code != "certificate":  # not for code signing: an answer, perhaps
            raise
        return _described_answer(file, at, refused)
    bundle.check_all()
    return {
        "bundle": {"id": bundle.bundle_id, "kind": "job", **_stated(bundle)},
        "signer": _signer(bundle),
        "job": _job(bundle),
        "permissions": {"network": "none"},  # this release knows no field that asks for more
        "files": _files(bundle),
    }


def _described_answer(file: BinaryIO, at: datetime, otherwise: RefusedError) -> dict[str, Any]:
    """Describe an answer, judged under the root that it brings itself; what is none is refused as ``otherwise``."""
    import msgspec
    from cryptography import x509

    from rjs.bundle.answer import open_answer
    from rjs.bundle.verify import open_bundle
    from rjs.identity.oids import ANSWER_EKU

    try:
        path = open_bundle(file, at=at, purpose=ANSWER_EKU).signer.path
    except RefusedError as refused:
        raise otherwise if refused.code == "certificate" else refused from None
    answer = open_answer(file, roots=[x509.load_der_x509_certificate(path[-1])], at=at)
    receipt = msgspec.to_builtins(answer.receipt)
    del receipt["digests"]  # the same as those of the files
    return {
        "bundle": {"id": answer.bundle.bundle_id, "kind": "answer"},
        "signer": _signer(answer.bundle),
        "receipt": receipt,
        "files": _files(answer.bundle),
    }


def _stated(bundle: OpenedBundle) -> dict[str, Any]:
    stated = bundle.attributes
    return {
        "name": stated.name,
        "not_before": stated.not_before,
        "not_after": stated.not_after,
        "cluster": stated.cluster,
    }


def _signer(bundle: OpenedBundle) -> dict[str, Any]:
    from cryptography import x509

    from rjs.bundle.path import subject_of

    signer = bundle.signer
    certified_by = [subject_of(x509.load_der_x509_certificate(der)) for der in signer.path[1:]]
    return {
        "subject": signer.subject,
        "key": signer.spki,
        "certified_by": certified_by,
        "not_after": signer.not_after,
    }


def _job(bundle: OpenedBundle) -> Any:
    import msgspec

    from rjs.descriptor import read_descriptor

    return msgspec.to_builtins(read_descriptor(bundle))


def _files(bundle: OpenedBundle) -> list[dict[str, Any]]:
    return [
        {
            "name": entry.name,
            "size": entry.size,
            "executable": entry.executable,
            entry.digest.algorithm: entry.digest.value.hex(),
        }
        for entry in bundle.entries.values()
    ]


def _rows(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Flatten nested facts into name and text, as ``needs.memory``."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield prefix + name, ", ".join(map(str, value)) or "-"
        else:
            yield prefix + name, "-" if value is None else str(value)


def _file_row(entry: Mapping[str, Any]) -> tuple[str, int, str]:
    return entry["name"], entry["size"], "executable" if entry["executable"] else ""
