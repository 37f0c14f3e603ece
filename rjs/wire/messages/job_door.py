"""What a running job says at the door of its compute server, and what is asked and told on its behalf."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from rjs import limits
from rjs.attempts import AttemptId, Index
from rjs.identity.job_tokens import JobTokenRequest
from rjs.identity.names import Role
from rjs.wire.messages.base import Chunk, Count, HexId, Message

JobFile = Annotated[str, Meta(min_length=1, max_length=limits.MAX_NAME_BYTES)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
ProgressText = Annotated[str, Meta(max_length=limits.PROGRESS_TEXT)]
Length = Annotated[int, Meta(ge=1, le=limits.BLOB_CHUNK)]


class FileLine(Struct, frozen=True, array_like=True):
    """One file of a bundle: its name, and its ``size`` in bytes."""

    name: JobFile
    size: Count


class JobToken(Message, frozen=True, kw_only=True, tag="job.token"):
    """Asks for a certificate for the job of an attempt that runs on a CS, which signed it; a LUS carries it."""

    callers: ClassVar = frozenset({Role.CS, Role.LUS})
    request: JobTokenRequest


class JobTokenIssued(Message, frozen=True, kw_only=True, tag="job.token.issued"):
    """The job token's chain, leaf first, DER."""

    callers: ClassVar = frozenset({Role.WS, Role.LUS})
    chain: Annotated[tuple[bytes, ...], Meta(max_length=4)]


class AttemptProgress(Message, frozen=True, kw_only=True, tag="attempt.progress"):
    """How far the current attempt at a task is. The newest counts; nothing waits for it, and it may get lost."""

    callers: ClassVar = frozenset({Role.CS, Role.LUS})
    attempt: AttemptId
    cs: HexId
    fraction: Fraction
    text: ProgressText = ""


class JobInputList(Message, frozen=True, kw_only=True, tag="job.input.list"):
    """Asks for the files of the job's own bundle, sorted by name, from the one numbered ``first`` on."""

    callers: ClassVar = frozenset({Role.JOB})
    first: Index = 0


class JobInputs(Message, frozen=True, kw_only=True, tag="job.inputs"):
    """Up to 1,000 of the files; ``more`` says how many come after them."""

    callers: ClassVar = frozenset({Role.CS})
    files: Annotated[tuple[FileLine, ...], Meta(max_length=1000)]
    more: Count = 0


class JobInputRead(Message, frozen=True, kw_only=True, tag="job.input.read"):
    """Asks for bytes of a file of the job's own bundle, as it was signed; the reply is ``blob.data``."""

    callers: ClassVar = frozenset({Role.JOB})
    name: JobFile
    offset: Count
    length: Length


class JobOutputWrite(Message, frozen=True, kw_only=True, tag="job.output.write"):
    """A part of a file below the task's ``out/``. Parts come in order; the file is there, whole, after the last."""

    callers: ClassVar = frozenset({Role.JOB})
    name: JobFile
    offset: Count = 0
    data: Chunk = b""
    last: bool = True


class JobCheckpointRead(Message, frozen=True, kw_only=True, tag="job.checkpoint.read"):
    """Asks for bytes of a file in the attempt's checkpoint folder; the reply is ``blob.data``."""

    callers: ClassVar = frozenset({Role.JOB})
    name: JobFile
    offset: Count
    length: Length


class JobCheckpointWrite(Message, frozen=True, kw_only=True, tag="job.checkpoint.write"):
    """A part of a file in the attempt's checkpoint folder, as with outputs."""

    callers: ClassVar = frozenset({Role.JOB})
    name: JobFile
    offset: Count = 0
    data: Chunk = b""
    last: bool = True


class JobProgress(Message, frozen=True, kw_only=True, tag="job.progress"):
    """How far the job is, as through the control channel."""

    callers: ClassVar = frozenset({Role.JOB})
    fraction: Fraction
    text: ProgressText = ""


MESSAGES: tuple[type[Message], ...] = (
    JobToken,
    JobTokenIssued,
    AttemptProgress,
    JobInputList,
    JobInputs,
    JobInputRead,
    JobOutputWrite,
    JobCheckpointRead,
    JobCheckpointWrite,
    JobProgress,
)
