"""A task lease as a LUS holds it. Pure."""

from __future__ import annotations

import enum

import attrs

from rjs.attempts import AttemptId
from rjs.wire.messages import CheckpointRef, JobBrief


class Stage(enum.Enum):
    """Where a lease stands here."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"


@attrs.define
class Held:
    """A task lease that this LUS holds. ``since``: when it came or last began to wait. ``spent``: nothing more is
    started under it. It came with its attempt from another process, which may have used any fence of it; or the WS
    called it ended, and was asked for its attempt. ``checkpoint``: what its next attempt may continue from.
    ``began``: when its attempt was given to its CS, of one that began here, and with the task's beginning."""

    lease: int
    generation: int
    job: JobBrief
    task: int
    avoid: frozenset[str]
    since: float
    stage: Stage = Stage.WAITING
    attempt: AttemptId | None = None
    cs: str = ""
    spent: bool = False
    checkpoint: CheckpointRef | None = None
    began: float | None = None
