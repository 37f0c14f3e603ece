"""Seals the answers of a job whose descriptor was made here: ``[answer]`` with the certificates of its readers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.bundle.seal_keys import check_recipients
from rjs.descriptor import DESCRIPTOR_NAME
from rjs.errors import RefusedError
from rjs.packing.job_files import Gathered, JobFiles
from rjs.packing.made import MADE_HERE
from rjs.toml_text import toml_table

_HEADER: Final = "[answer]"


def sealed_for(files: JobFiles, recipients: Sequence[x509.Certificate], path: Path) -> JobFiles:
    """Give the job of ``path`` with answers that only ``recipients`` can read; as it is when there are none.

    Raises RefusedError ``answer`` with the lines to add where the descriptor is a person's own, and SealRefusedError
    for a certificate that nothing can be sealed for.
    """
    if not recipients:
        return files
    check_recipients(recipients)
    pems = [each.public_bytes(Encoding.PEM).decode() for each in recipients]
    lines = toml_table(_HEADER, {"encrypt": True, "recipients": pems})
    by_name = {file.name: file for file in files.files}
    toml = by_name[DESCRIPTOR_NAME]
    if toml.why != MADE_HERE or not isinstance(toml.content, bytes):
        raise RefusedError("answer", f"{path} has a {DESCRIPTOR_NAME} of its own; add to its end:\n{lines}")
    content = toml.content + b"\n" + lines.encode()
    by_name[DESCRIPTOR_NAME] = attrs.evolve(toml, content=content, size=len(content))
    return Gathered(files=by_name, left_out=[*files.left_out], warnings=[*files.warnings]).judged(path)
