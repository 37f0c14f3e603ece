"""What the board tells the shell to do. Frozen values, no behaviour."""

from __future__ import annotations

import attrs

from rjs.attempts import AttemptId
from rjs.wire.messages import CheckpointRef, JobBrief


@attrs.frozen
class TellWant:
    """Tell the WS how many leases this LUS can use, and at which epoch."""

    outstanding: int
    epoch: int


@attrs.frozen
class Start:
    """Tell the WS ``placed``, then the CS ``start``: in this order, without waiting in between."""

    cs: str
    cs_name: str
    job: JobBrief
    attempt: AttemptId
    checkpoint: CheckpointRef | None = None


@attrs.frozen
class Stop:
    """Tell the CS that the attempt is not wanted any more."""

    cs: str
    attempt: AttemptId
    sentence: str


@attrs.frozen
class Return:
    """Give leases of one job back to the WS with the reason."""

    job: str
    leases: tuple[int, ...]
    epoch: int
    code: str
    sentence: str


@attrs.frozen
class Adopt:
    """Ask the WS for attempts that this CS told of; ``whole``: it has nothing else that is unknown here. Without a
    session with the WS it is asked on the next one."""

    cs: str
    attempts: tuple[AttemptId, ...]
    whole: bool


@attrs.frozen
class ReportEnded:
    """Tell the WS, until it has replied, that this attempt ended without a word of its CS: the machine ``vanished``,
    or the attempt is ``returned``, for the CS has nothing of it."""

    attempt: AttemptId
    cs: str
    kind: str
    detail: str


@attrs.frozen
class DropServer:
    """The CS's lease ended: close what is left of its session."""

    cs: str
    sentence: str


Instruction = TellWant | Start | Stop | Return | Adopt | ReportEnded | DropServer
