"""Checkpoints: the signed JAR of what a task left in its checkpoint folder, for the next attempt at it.

It is read by the same strict verifier as an answer, and signed with the same key, but no answer ever passes for one,
nor the other way round: it holds ``checkpoint.json``, which says so and of which attempt it is, the files below
``checkpoint/``, and nothing else. Whether the signer may be believed (its key is enrolled and not revoked, its
attempt an earlier one) is the caller's to decide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal

import attrs
import msgspec
from cryptography import x509

from rjs.attempts import AttemptId, Fence
from rjs.bundle.cms import SigningKey
from rjs.bundle.names import shown
from rjs.bundle.sign import measure, sign_measured
from rjs.bundle.verify import OpenedBundle, Signer, open_bundle
from rjs.checkpoints import limits
from rjs.checkpoints.errors import CheckpointRefusedError
from rjs.errors import RefusedError
from rjs.identity.oids import ANSWER_EKU
from rjs.identity.peers import check_answer_chain
from rjs.ids import BundleId, ServerId
from rjs.limits import MAX_RECEIPT_BYTES

STATEMENT_NAME: Final = "checkpoint.json"
FOLDER: Final = "checkpoint"
_HEADERS_ALLOWED: Final = frozenset(["manifest-version", "created-by"])

_HEX = msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a CS states of a checkpoint: of which attempt it is, and which one of that attempt's, counted from 1.

    ``digests`` maps the name of every other file of the JAR to its SHA-256 in hex.
    """

    kind: Literal["rjs-checkpoint-1"] = "rjs-checkpoint-1"
    bundle_id: Annotated[BundleId, _HEX]
    task: Annotated[int, msgspec.Meta(ge=0)]
    fence: Fence
    sequence: Annotated[int, msgspec.Meta(ge=1)]
    cs: ServerId
    digests: Mapping[str, Annotated[str, _HEX]] = msgspec.field(default_factory=dict)

    @property
    def attempt(self) -> AttemptId:
        """The attempt that left it."""
        return AttemptId(self.bundle_id, self.task, self.fence)


_DECODER: Final = msgspec.json.Decoder(Statement)


@attrs.frozen
class OpenedCheckpoint:
    """A checkpoint whose signer and statement were judged. Its files are checked as they are read."""

    bundle: OpenedBundle
    statement: Statement

    @property
    def signer(self) -> Signer:
        return self.bundle.signer

    def files(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Each file's name in the folder, with its content in pieces, of which nothing may be used before the
        iterator has ended without BundleRefusedError."""
        for name in self.statement.digests:
            yield name.removeprefix(f"{FOLDER}/"), self.bundle.chunks(name)

    def close(self) -> None:
        """Read no more."""
        self.bundle.close()


def write_checkpoint(
    out: BinaryIO,
    *,
    statement: Statement,
    files: Sequence[tuple[str, Path | bytes]],
    key: SigningKey,
    chain: Sequence[x509.Certificate],
) -> None:
    """Write the checkpoint JAR of ``files``, by their names in the folder; the statement's digests are filled in.

    A file given by path is read twice and must not change meanwhile. Raises BundleRefusedError like ``sign_jar``, and
    CheckpointRefusedError for its files like ``open_checkpoint``.
    """
    measured = [measure(f"{FOLDER}/{name}", content) for name, content in files]
    _check_files({file.name: file.archived.size for file in measured})
    digests = {file.name: file.sha256.hex() for file in measured}
    encoded = msgspec.json.encode(msgspec.structs.replace(statement, digests=digests))
    if len(encoded) > MAX_RECEIPT_BYTES:
        raise CheckpointRefusedError("checkpoint-files", "the names of the files are too long together")
    sign_measured(out, [measure(STATEMENT_NAME, encoded), *measured], key=key, chain=chain, attributes={})


def open_checkpoint(file: BinaryIO, *, roots: Sequence[x509.Certificate], at: datetime) -> OpenedCheckpoint:
    """Accept a checkpoint at the aware time ``at``, or raise BundleRefusedError or CheckpointRefusedError, whatever
    the bytes.

    1. Everything that ``open_bundle`` checks, with a certificate for answers that leads to one of ``roots``.
    2. No main attributes beyond those that every manifest has.
    3. ``checkpoint.json`` is there and well formed, and says that this is a checkpoint.
    4. Everything else is a file in ``checkpoint/``, one level deep; not too many, and not too much, unpacked.
    5. The statement's digests are those of exactly these files.
    6. The certificate is that of the compute server that the statement names.
    """
    bundle = open_bundle(file, at=at, roots=roots, purpose=ANSWER_EKU)  # 1
    if not _HEADERS_ALLOWED.issuperset(bundle.main_headers):  # 2
        unexpected = min(set(bundle.main_headers) - _HEADERS_ALLOWED)
        raise CheckpointRefusedError(
            "checkpoint-attributes", f"a checkpoint may not have the main attribute {unexpected}"
        )
    statement = _statement_of(bundle)  # 3
    entries = {name: entry for name, entry in bundle.entries.items() if name != STATEMENT_NAME}
    _check_files({name: entry.size for name, entry in entries.items()})  # 4
    if statement.digests != {name: entry.digest.value.hex() for name, entry in entries.items()}:  # 5
        raise CheckpointRefusedError(
            "checkpoint-statement", "the statement's digests are not those of the checkpoint's files"
        )
    _check_server(bundle.signer, statement, at)  # 6
    return OpenedCheckpoint(bundle, statement)


def check_count(files: int, size: int) -> None:
    """Raise CheckpointRefusedError ``checkpoint-size`` where so many files, or bytes together, are too much."""
    if files > limits.FILES or size > limits.BYTES:
        raise CheckpointRefusedError(
            "checkpoint-size",
            f"a checkpoint has at most {limits.FILES} files and {limits.BYTES} bytes; keep less in the folder",
        )


def _statement_of(bundle: OpenedBundle) -> Statement:
    if STATEMENT_NAME not in bundle.entries:
        raise CheckpointRefusedError(
            "checkpoint-statement", f"this is no checkpoint: it has no {STATEMENT_NAME}"
        )
    encoded = bundle.read(STATEMENT_NAME, MAX_RECEIPT_BYTES)
    try:
        return _DECODER.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CheckpointRefusedError(
            "checkpoint-statement", f"the statement is malformed: {shown(str(error))}"
        ) from None


def _check_files(sizes: Mapping[str, int]) -> None:
    check_count(len(sizes), sum(sizes.values()))
    _check_names(sizes)


def _check_names(names: Collection[str]) -> None:
    for name in names:
        folder, _, file = name.partition("/")
        if folder != FOLDER or not file or "/" in file:
            raise CheckpointRefusedError(
                "checkpoint-files", f"a checkpoint may not hold {shown(name)}; its files have no folders"
            )


def _check_server(signer: Signer, statement: Statement, at: datetime) -> None:
    """The operator's enrolment CA certified the invitation of exactly this CS, which certified this key."""
    chain = tuple(x509.load_der_x509_certificate(each) for each in signer.path)
    try:
        server = check_answer_chain(chain, chain[-1], at)
    except RefusedError as error:
        raise CheckpointRefusedError(
            "checkpoint-statement", f"no answer key signed it: {error.sentence}"
        ) from None
    if server != statement.cs:
        raise CheckpointRefusedError(
            "checkpoint-statement", "the statement names another compute server than its certificate"
        )
