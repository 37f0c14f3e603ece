"""What people say of jobs, and hear."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from rjs import limits
from rjs.attempts import HexDigest, Index
from rjs.identity.names import Role
from rjs.wire.messages.base import PEOPLE, Code, Count, JobPrefix, Message, Name, Seconds, Sentence, Tail


class TaskLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What status says of one task. Seconds are the age of the state at the WS. ``progress``, 0 to 1, and ``said``
    are what its current attempt told."""

    task: Index
    state: Code
    cs: Name = ""
    attempts: Index = 0
    detail: Tail = ""
    seconds: Seconds = 0.0
    progress: Annotated[float, Meta(ge=0, le=1)] | None = None
    said: Annotated[str, Meta(max_length=limits.PROGRESS_TEXT)] = ""


class JobLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What status says of one job; the counts add up to ``tasks``. ``accepted`` is Unix time."""

    job: HexDigest
    name: Name
    user: Name
    state: Code
    tasks: Index
    waiting: Index = 0
    running: Index = 0
    committed: Index = 0
    failed: Index = 0
    cancelled: Index = 0
    accepted: Seconds = 0.0
    reason: Sentence = ""


class JobSubmit(Message, frozen=True, kw_only=True, tag="job.submit"):
    """Offers a bundle; the WS pulls it with ``blob.read`` of kind ``upload`` and this ``sha256`` as key."""

    callers: ClassVar = PEOPLE
    name: Name
    size: Count
    sha256: HexDigest


class JobAccepted(Message, frozen=True, kw_only=True, tag="job.accepted"):
    """The job is durable at the WS."""

    callers: ClassVar = frozenset({Role.WS})
    job: HexDigest
    tasks: Index


class JobList(Message, frozen=True, kw_only=True, tag="job.list"):
    """Asks for the caller's jobs (an admin's: everyone's), newest first."""

    callers: ClassVar = PEOPLE


class JobLines(Message, frozen=True, kw_only=True, tag="job.lines"):
    """The newest jobs; ``more`` says how many older ones were left out."""

    callers: ClassVar = frozenset({Role.WS})
    jobs: Annotated[tuple[JobLine, ...], Meta(max_length=1000)]
    more: Count = 0


class JobShow(Message, frozen=True, kw_only=True, tag="job.show"):
    """Asks for one job by a unique prefix of its id, and its tasks from ``first`` on."""

    callers: ClassVar = PEOPLE
    job: JobPrefix
    first: Index = 0


class JobShown(Message, frozen=True, kw_only=True, tag="job.shown"):
    """One job and up to 1,000 of its tasks."""

    callers: ClassVar = frozenset({Role.WS})
    job: JobLine
    tasks: Annotated[tuple[TaskLine, ...], Meta(max_length=1000)]


class JobCancel(Message, frozen=True, kw_only=True, tag="job.cancel"):
    """Ends every task of a job that has not ended yet."""

    callers: ClassVar = PEOPLE
    job: JobPrefix


MESSAGES: tuple[type[Message], ...] = (
    JobSubmit,
    JobAccepted,
    JobList,
    JobLines,
    JobShow,
    JobShown,
    JobCancel,
)
