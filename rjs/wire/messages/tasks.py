"""Tasks on their way: leased by the WS to a LUS, by a LUS to a CS, and what becomes of their attempts."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from rjs import limits
from rjs.attempts import AttemptId, Fence, HexDigest, Index, Number
from rjs.identity.names import Role
from rjs.needs import Needs, Offer
from rjs.wire.messages.base import Code, Count, FileName, HexId, Inline, Message, Name, Sentence, Tail
from rjs.wire.messages.checkpoints import CheckpointRef


class JarPart(Struct, frozen=True, array_like=True):
    """A further JAR of a job, as a part of its file: the JAR's name, and its ``size`` in bytes."""

    name: FileName
    size: Count


class JobBrief(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a LUS and a CS need to know of a job before they hold its bundle.

    The job's file is the bundle, then the bytes of each of ``jars`` in their order; ``size`` in bytes and ``sha256``
    are of all of it. ``sealed``: its answers can be read by its recipients alone.
    """

    job: HexDigest
    name: Name
    signer: HexDigest
    tasks: Index
    size: Count
    sha256: HexDigest
    needs: Needs
    sealed: bool = False
    jars: Annotated[tuple[JarPart, ...], Meta(max_length=limits.MAX_JARS)] = ()


class LeasedTask(Struct, frozen=True, array_like=True):
    """One task lease of a grant. ``avoid`` are the CSs where an earlier attempt failed."""

    lease: Number
    task: Index
    avoid: Annotated[tuple[HexId, ...], Meta(max_length=16)] = ()


class TaskWant(Message, frozen=True, kw_only=True, tag="lus.task.want"):
    """The WS may let this LUS hold up to ``outstanding`` task leases. ``epoch`` rises whenever a CS came or
    changed, so that what was returned as unplaceable is worth offering again."""

    callers: ClassVar = frozenset({Role.LUS})
    outstanding: Annotated[int, Meta(ge=0, le=100_000)]
    epoch: Number


class TaskGrant(Message, frozen=True, kw_only=True, tag="ws.task.grant"):
    """Task leases of one job, and the ``checkpoints`` that there are of these tasks."""

    callers: ClassVar = frozenset({Role.WS})
    generation: Number
    job: JobBrief
    tasks: Annotated[tuple[LeasedTask, ...], Meta(max_length=1000)]
    checkpoints: Annotated[tuple[CheckpointRef, ...], Meta(max_length=1000)] = ()


class LeaseRenew(Message, frozen=True, kw_only=True, tag="lus.lease.renew"):
    """Renews the leases listed; one not listed and not above ``upto`` is given back by that."""

    callers: ClassVar = frozenset({Role.LUS})
    leases: Annotated[tuple[Number, ...], Meta(max_length=100_000)]
    upto: Number


class LeaseRenewed(Message, frozen=True, kw_only=True, tag="ws.lease.renewed"):
    """Of the leases listed in the request, those that have ended."""

    callers: ClassVar = frozenset({Role.WS})
    ended: Annotated[tuple[Number, ...], Meta(max_length=100_000)] = ()


MOVED = "moved"
"""The code of leases that went to another LUS with their attempts."""


class LeaseEnded(Message, frozen=True, kw_only=True, tag="ws.lease.ended"):
    """The task ended otherwise (cancelled, answered elsewhere): stop its attempts. Code ``moved``: the CS serves
    another LUS, which adopted the attempt; nothing is to be stopped."""

    callers: ClassVar = frozenset({Role.WS})
    leases: Annotated[tuple[Number, ...], Meta(max_length=10_000)]
    code: Code
    sentence: Sentence


class TaskReturn(Message, frozen=True, kw_only=True, tag="lus.task.return"):
    """Gives leases of one job back unstarted, with the reason that no CS takes them now."""

    callers: ClassVar = frozenset({Role.LUS})
    job: HexDigest
    leases: Annotated[tuple[Number, ...], Meta(max_length=10_000)]
    epoch: Number
    code: Code
    sentence: Sentence


class TaskPlaced(Message, frozen=True, kw_only=True, tag="lus.task.placed"):
    """Told before ``cs.task.start`` and repeated on a new session: only what was placed may answer."""

    callers: ClassVar = frozenset({Role.LUS})
    attempt: AttemptId
    cs: HexId
    cs_name: Name


class TaskAdopt(Message, frozen=True, kw_only=True, tag="lus.task.adopt"):
    """A CS came that runs these attempts, or has to tell of them, and this LUS does not know them. ``whole``: the CS
    runs, and has to tell of, nothing else."""

    callers: ClassVar = frozenset({Role.LUS})
    cs: HexId
    attempts: Annotated[tuple[AttemptId, ...], Meta(max_length=limits.ADOPTED)]
    whole: bool = False


class TaskAdopted(Message, frozen=True, kw_only=True, tag="ws.task.adopted"):
    """Of the attempts in the request: those whose leases this LUS holds now, with the ``jobs`` that they are of, and
    those that are to be stopped. All others may run on: their answers count, but the task is another's now."""

    callers: ClassVar = frozenset({Role.WS})
    leased: Annotated[tuple[AttemptId, ...], Meta(max_length=limits.ADOPTED)] = ()
    jobs: Annotated[tuple[JobBrief, ...], Meta(max_length=limits.ADOPTED)] = ()
    ended: Annotated[tuple[AttemptId, ...], Meta(max_length=limits.ADOPTED)] = ()


class AttemptEnded(Message, frozen=True, kw_only=True, tag="attempt.ended"):
    """An attempt ended without an answer. ``kind``: ``failed`` (counts as an attempt) | ``vanished`` (the
    machine went) | ``returned`` (the CS gave it back; counts for nothing)."""

    callers: ClassVar = frozenset({Role.CS, Role.LUS})
    attempt: AttemptId
    cs: HexId
    kind: Code
    detail: Sentence
    tail: Tail = ""


class AnswerOffer(Message, frozen=True, kw_only=True, tag="answer.offer"):
    """A signed answer waits at the CS; a small one travels along in ``data``."""

    callers: ClassVar = frozenset({Role.CS, Role.LUS})
    attempt: AttemptId
    cs: HexId
    size: Count
    sha256: HexDigest
    data: Inline = b""


class AnswerVerdict(Message, frozen=True, kw_only=True, tag="answer.verdict"):
    """``committed`` | ``duplicate`` | ``refused`` are final, and the CS may forget; ``retry`` is not."""

    callers: ClassVar = frozenset({Role.WS, Role.LUS})
    verdict: Code
    code: Code = ""
    sentence: Sentence = ""


class CsState(Message, frozen=True, kw_only=True, tag="lus.cs.state"):
    """Registers a CS and keeps the registration true: sent whole at session start and at each change. ``offer`` is
    what one task gets there."""

    callers: ClassVar = frozenset({Role.CS})
    name: Name
    mflops: Annotated[float, Meta(ge=0, le=1e12)]
    offer: Offer
    trust_epoch: Number
    busy: bool
    running: Annotated[tuple[AttemptId, ...], Meta(max_length=64)] = ()
    holding: Annotated[tuple[AttemptId, ...], Meta(max_length=10_000)] = ()


class TaskStart(Message, frozen=True, kw_only=True, tag="cs.task.start"):
    """Leases a task to a CS. The reply comes once the bundle is verified, trusted and its process started.
    ``checkpoint``: what an earlier attempt left, to be fetched, verified, and continued from."""

    callers: ClassVar = frozenset({Role.LUS})
    job: JobBrief
    task: Index
    fence: Fence
    checkpoint: CheckpointRef | None = None


class TaskStop(Message, frozen=True, kw_only=True, tag="cs.task.stop"):
    """The attempt is no longer wanted; its process ends and no answer is kept."""

    callers: ClassVar = frozenset({Role.LUS})
    attempt: AttemptId
    sentence: Sentence


MESSAGES: tuple[type[Message], ...] = (
    TaskWant,
    TaskGrant,
    LeaseRenew,
    LeaseRenewed,
    LeaseEnded,
    TaskReturn,
    TaskPlaced,
    TaskAdopt,
    TaskAdopted,
    AttemptEnded,
    AnswerOffer,
    AnswerVerdict,
    CsState,
    TaskStart,
    TaskStop,
)
