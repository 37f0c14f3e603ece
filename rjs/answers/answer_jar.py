"""Answers: the signed JAR that one task yields, with its outputs and a receipt that says how they came about.

An answer is read by the same strict verifier as a bundle, but its signer's certificate must be for answers and for
nothing like a job, and it may hold outputs only, or all of them sealed in one file (``sealed_outputs``). Who may
answer (an enrolled key, a placed attempt) is decided by the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import attrs
import msgspec
from cryptography import x509

from rjs import limits as caps
from rjs.attempts import Fence
from rjs.bundle.cms import SigningKey
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import ANSWER_FOLDER, shown
from rjs.bundle.sign import MeasuredFile, measure, sign_measured
from rjs.bundle.verify import OpenedBundle, Signer, open_bundle
from rjs.errors import RefusedError
from rjs.identity.oids import ANSWER_EKU
from rjs.identity.peers import check_answer_chain
from rjs.ids import BundleId, ServerId, SpkiDigest

RECEIPT_NAME: Final = "receipt.json"
STDOUT_NAME: Final = "stdout.txt"
STDERR_NAME: Final = "stderr.txt"
SEALED_NAME: Final = "sealed.cms"
_HEADERS_ALLOWED: Final = frozenset(["manifest-version", "created-by"])

_HEX = msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")
_Digest = Annotated[str, _HEX]
_Amount = Annotated[int, msgspec.Meta(ge=0)] | Annotated[float, msgspec.Meta(ge=0)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_Text = Annotated[str, msgspec.Meta(max_length=200)]


class Exited(msgspec.Struct, frozen=True, tag="exited"):
    """The task ended by itself."""

    status: int


class Signalled(msgspec.Struct, frozen=True, tag="signalled"):
    """The task was ended by a signal, whose number this is."""

    signal: int


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a CS states about one attempt. Times are aware, memory is in bytes.

    ``limits`` maps each limit's name to the value that held (bytes or seconds); ``limit_hit`` names the one that
    ended the task. ``digests`` maps every other file of the answer to its SHA-256 in hex.
    """

    bundle_id: Annotated[BundleId, _HEX]
    task: _Count
    fence: Fence
    signer: Annotated[SpkiDigest, _HEX]
    cs: ServerId
    cs_name: _Text
    mflops: _Amount
    limits: Mapping[_Text, _Amount]
    limit_hit: _Text | None
    exit: Exited | Signalled
    started: _Time
    ended: _Time
    wall_seconds: _Amount
    cpu_seconds: _Amount
    max_memory: _Count
    digests: Mapping[str, _Digest] = msgspec.field(default_factory=dict)


@attrs.frozen
class OpenedAnswer:
    """An answer that was accepted whole: its certificate is for answers, and every digest holds."""

    bundle: OpenedBundle
    receipt: Receipt

    @property
    def signer(self) -> Signer:
        return self.bundle.signer

    @property
    def is_sealed(self) -> bool:
        """Whether the outputs are sealed: then only ``sealed_outputs.open_outputs`` gets at them."""
        return SEALED_NAME in self.bundle.entries


def write_answer(
    out: BinaryIO,
    *,
    receipt: Receipt,
    files: Iterable[tuple[str, Path | bytes]],
    key: SigningKey,
    chain: Sequence[x509.Certificate],
) -> Receipt:
    """Write the answer JAR and return its receipt: ``receipt`` with the digests of ``files`` filled in.

    ``files`` are outputs, or ``sealed.cms`` alone. A file given by path is read twice and must not change meanwhile.
    Raises BundleRefusedError like ``sign_jar``, and ``answer-files``.
    """
    complete, measured = measure_answer(receipt, files)
    if {file.name for file in measured} != {RECEIPT_NAME, SEALED_NAME}:
        check_outputs([file.name for file in measured[1:]])
    sign_measured(out, measured, key=key, chain=chain, attributes={})
    return complete


def measure_answer(
    receipt: Receipt, files: Iterable[tuple[str, Path | bytes]]
) -> tuple[Receipt, list[MeasuredFile]]:
    """Return ``receipt`` with the digests of ``files``, and what to write: it, and then these files."""
    measured = [measure(name, content) for name, content in files]
    digests = {file.name: file.sha256.hex() for file in sorted(measured, key=lambda file: file.name)}
    complete = msgspec.structs.replace(receipt, digests=digests)
    encoded = msgspec.json.format(msgspec.json.encode(complete), indent=1)
    return complete, [measure(RECEIPT_NAME, encoded), *measured]


def open_answer(file: BinaryIO, *, roots: Sequence[x509.Certificate], at: datetime) -> OpenedAnswer:
    """Accept an answer at the aware time ``at`` (its commit time) or raise BundleRefusedError, whatever the bytes.

    1. Everything that ``open_bundle`` checks, with a certificate for answers that leads to one of ``roots``.
    2. No main attributes beyond those that every manifest has: it cannot be run as a program.
    3. Only out/…, stdout.txt, stderr.txt and receipt.json, or sealed.cms alone with receipt.json.
    4. Every file is what was signed.
    5. The receipt is well formed and its digests are those of exactly the other files.
    6. The certificate is that of the compute server that the receipt names.
    """
    bundle = open_bundle(file, at=at, roots=roots, purpose=ANSWER_EKU)  # 1
    if not _HEADERS_ALLOWED.issuperset(bundle.main_headers):  # 2
        unexpected = min(set(bundle.main_headers) - _HEADERS_ALLOWED)
        raise BundleRefusedError(
            "answer-attributes", f"an answer may not have the main attribute {unexpected}"
        )
    if set(bundle.entries) != {RECEIPT_NAME, SEALED_NAME}:  # 3
        check_outputs(bundle.entries.keys() - {RECEIPT_NAME})
    bundle.check_all()  # 4
    encoded = bundle.read(RECEIPT_NAME, caps.MAX_RECEIPT_BYTES)  # 5
    stated = {name: entry.digest.value.hex() for name, entry in bundle.entries.items()}
    receipt = read_receipt(encoded, stated)
    _check_server(bundle.signer, receipt, at)  # 6
    return OpenedAnswer(bundle, receipt)


def check_outputs(names: Collection[str]) -> None:
    """Raise BundleRefusedError ``answer-files`` unless each is the name of an output."""
    for name in names:
        if name not in (STDOUT_NAME, STDERR_NAME) and not name.startswith(f"{ANSWER_FOLDER}/"):
            raise BundleRefusedError(
                "answer-files", f"an answer may not hold {shown(name)}; outputs go to {ANSWER_FOLDER}/"
            )


def read_receipt(encoded: bytes, digests: Mapping[str, str]) -> Receipt:
    """Return the receipt if its digests are those of the files beside it, or raise ``answer-receipt``.

    ``digests`` maps names, perhaps the receipt's own too, to digests in hex.
    """
    try:
        receipt = _DECODER.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleRefusedError("answer-receipt", f"the receipt is malformed: {shown(str(error))}") from None
    if receipt.digests != {name: digest for name, digest in digests.items() if name != RECEIPT_NAME}:
        raise BundleRefusedError(
            "answer-receipt", "the receipt's digests are not those of the answer's files"
        )
    return receipt


def _check_server(signer: Signer, receipt: Receipt, at: datetime) -> None:
    """The operator's enrolment CA certified the invitation of exactly this CS, which certified this key."""
    chain = tuple(x509.load_der_x509_certificate(each) for each in signer.path)
    try:
        server = check_answer_chain(chain, chain[-1], at)
    except RefusedError as error:
        raise BundleRefusedError("answer-receipt", f"no answer key signed it: {error.sentence}") from None
    if server != receipt.cs:
        raise BundleRefusedError(
            "answer-receipt", "the receipt names another compute server than its certificate"
        )


_DECODER: Final = msgspec.json.Decoder(Receipt)
