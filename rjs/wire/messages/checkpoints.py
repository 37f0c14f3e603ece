"""Checkpoints on their way: from the CS that made one to the WS that keeps it, and what becomes of it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from rjs.attempts import AttemptId, Fence, HexDigest, Index
from rjs.identity.names import Role
from rjs.wire.messages.base import Code, Count, HexId, Inline, Message, Sentence

Sequence = Annotated[int, Meta(ge=1, lt=2**31)]


class CheckpointRef(Struct, frozen=True, array_like=True):
    """A checkpoint that the WS keeps for ``task``: the fence of the attempt that made it, which one of that
    attempt's it is, and its bytes' ``size`` and ``sha256``."""

    task: Index
    fence: Fence
    sequence: Sequence
    size: Count
    sha256: HexDigest


class CheckpointOffer(Message, frozen=True, kw_only=True, tag="checkpoint.offer"):
    """A signed checkpoint of the attempt waits at the CS; a small one travels along in ``data``."""

    callers: ClassVar = frozenset({Role.CS, Role.LUS})
    attempt: AttemptId
    cs: HexId
    sequence: Sequence
    size: Count
    sha256: HexDigest
    data: Inline = b""


class CheckpointVerdict(Message, frozen=True, kw_only=True, tag="checkpoint.verdict"):
    """``kept`` | ``refused`` are final, and the CS may forget; ``retry`` is not."""

    callers: ClassVar = frozenset({Role.WS, Role.LUS})
    verdict: Code
    code: Code = ""
    sentence: Sentence = ""


class CheckpointRejected(Message, frozen=True, kw_only=True, tag="checkpoint.rejected"):
    """The checkpoint that this attempt was started with is not what it should be: the task began from zero. The WS
    forgets it."""

    callers: ClassVar = frozenset({Role.CS, Role.LUS})
    attempt: AttemptId
    cs: HexId
    sha256: HexDigest
    code: Code
    sentence: Sentence


MESSAGES: tuple[type[Message], ...] = (CheckpointOffer, CheckpointVerdict, CheckpointRejected)
