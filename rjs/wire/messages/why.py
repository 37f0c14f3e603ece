"""Why a job stands as it does: what people ask the WS, and the WS a LUS."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from rjs import limits
from rjs.attempts import HexDigest, Index
from rjs.identity.names import Role
from rjs.needs import Needs
from rjs.wire.messages.base import (
    PEOPLE,
    Code,
    Count,
    FileName,
    HexId,
    JobPrefix,
    Message,
    Name,
    Seconds,
    Sentence,
)
from rjs.wire.messages.jobs import JobLine

Words = Annotated[str, Meta(max_length=limits.WHY_WORDS)]
Names = Annotated[tuple[Name, ...], Meta(max_length=limits.WHY_NAMES)]


class CsReason(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How ``count`` compute servers stand to a job, for one and the same reason; ``names`` are of the first few."""

    code: Code
    sentence: Words
    count: Count = 1
    names: Names = ()


CsReasons = Annotated[tuple[CsReason, ...], Meta(max_length=limits.WHY_KINDS)]


class Whereabouts(Struct, frozen=True, array_like=True):
    """Where a LUS has an attempt at a task: on ``cs``, which is ``starting`` or ``running`` it, and was heard
    ``silent`` seconds ago."""

    task: Index
    stage: Code
    cs: Name
    silent: Seconds


class Reason(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why tasks stand as they do. ``tasks``: how many of them, 0 when it is said of the job; ``first``: the first
    few. ``change``: what would change it, one thing each."""

    code: Code
    sentence: Sentence
    tasks: Count = 0
    first: Annotated[tuple[Index, ...], Meta(max_length=limits.WHY_NAMES)] = ()
    servers: CsReasons = ()
    change: Annotated[tuple[Sentence, ...], Meta(max_length=limits.WHY_CHANGES)] = ()


class JobWhy(Message, frozen=True, kw_only=True, tag="job.why"):
    """Asks why a job, or one ``task`` of it, stands as it does: by a unique prefix of its id, or by the name of its
    ``file`` in ``jobs/``, which may be no job yet."""

    callers: ClassVar = PEOPLE
    job: JobPrefix = ""
    file: FileName = ""
    task: Index | None = None


class JobReasons(Message, frozen=True, kw_only=True, tag="job.reasons"):
    """The reasons, the most decisive first. ``job`` is absent when the file in ``jobs/`` is no job."""

    callers: ClassVar = frozenset({Role.WS})
    job: JobLine | None = None
    reasons: Annotated[tuple[Reason, ...], Meta(max_length=limits.WHY_REASONS)]


class LusJobWhy(Message, frozen=True, kw_only=True, tag="lus.job.why"):
    """Asks a LUS how its compute servers stand to a job that needs this, and where its attempts are: all, or those at
    ``task``, which failed on the compute servers ``avoid``."""

    callers: ClassVar = frozenset({Role.WS})
    job: HexDigest
    needs: Needs
    task: Index | None = None
    avoid: Annotated[tuple[HexId, ...], Meta(max_length=16)] = ()


class LusJobReasons(Message, frozen=True, kw_only=True, tag="lus.job.reasons"):
    """How the compute servers stand to the job, ``more`` of them for other reasons. ``paused``: this LUS starts
    nothing, for it does not know whether its leases still hold."""

    callers: ClassVar = frozenset({Role.LUS})
    servers: CsReasons = ()
    more: Count = 0
    attempts: Annotated[tuple[Whereabouts, ...], Meta(max_length=limits.WHY_ATTEMPTS)] = ()
    paused: bool = False


MESSAGES: tuple[type[Message], ...] = (JobWhy, JobReasons, LusJobWhy, LusJobReasons)
