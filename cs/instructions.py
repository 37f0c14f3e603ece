"""What the task machine tells the shell to do. Frozen values, no behaviour."""

from __future__ import annotations

import attrs

from rjs.attempts import AttemptId
from rjs.wire.messages import CheckpointRef, JobBrief


@attrs.frozen
class Prepare:
    """Fetch, verify, ask trust, write the ledger, unpack, with the checkpoint if there is one. Answer with
    ``prepared`` or ``not_prepared``."""

    attempt: AttemptId
    job: JobBrief
    checkpoint: CheckpointRef | None = None


@attrs.frozen
class Spawn:
    """Start the process through the spawner. Answer with ``spawned``, then ``process_ended``."""

    attempt: AttemptId


@attrs.frozen
class Kill:
    """End every process of the attempt. ``process_ended`` follows."""

    attempt: AttemptId


@attrs.frozen
class Vacate:
    """Ask the attempt's processes to end, and kill them after the owner's grace. ``process_ended`` follows."""

    attempt: AttemptId


@attrs.frozen
class Save:
    """Take what is in the checkpoint folder, if anything is. Answer with ``saved``."""

    attempt: AttemptId


@attrs.frozen
class Collect:
    """Sign outputs and receipt into the spool. Answer with ``collected`` or ``not_collected``."""

    attempt: AttemptId


@attrs.frozen
class CleanUp:
    """Remove every file of the attempt but its spooled answer."""

    attempt: AttemptId


@attrs.frozen
class ReplyStarted:
    """The LUS's start is done."""

    attempt: AttemptId


@attrs.frozen
class ReplyRefused:
    """The LUS's start is refused; nothing of the job ran."""

    attempt: AttemptId
    code: str
    sentence: str


@attrs.frozen
class Offer:
    """Offer the spooled answer to the LUS; ``verdict`` follows."""

    attempt: AttemptId


@attrs.frozen
class OfferLater:
    """Offer the spooled answer again after ``limits.OFFER_AGAIN``: nobody could say yet what becomes of it."""

    attempt: AttemptId


@attrs.frozen
class Forget:
    """The verdict on the spooled answer is final: remove it."""

    attempt: AttemptId


@attrs.frozen
class OfferCheckpoint:
    """Offer this checkpoint of the attempt to the LUS, now or, with ``later``, after ``limits.OFFER_AGAIN``;
    ``checkpoint_settled`` follows."""

    attempt: AttemptId
    sequence: int
    later: bool = False


@attrs.frozen
class AwaitCheckpoint:
    """How the attempt ended is told when its checkpoint is settled. Answer with ``checkpoint_overdue`` after
    ``limits.CHECKPOINT_PATIENCE``."""

    attempt: AttemptId


@attrs.frozen
class ForgetCheckpoint:
    """Nobody needs this checkpoint, or an earlier one of the attempt, from us any more."""

    attempt: AttemptId
    sequence: int


@attrs.frozen
class Report:
    """Tell the LUS, until it has replied, that the attempt ended without an answer."""

    attempt: AttemptId
    kind: str
    detail: str
    tail: str


@attrs.frozen
class Describe:
    """Tell the LUS our state: something changed that it cannot infer."""


Instruction = (
    Prepare
    | Spawn
    | Kill
    | Vacate
    | Save
    | Collect
    | CleanUp
    | ReplyStarted
    | ReplyRefused
    | Offer
    | OfferLater
    | Forget
    | OfferCheckpoint
    | AwaitCheckpoint
    | ForgetCheckpoint
    | Report
    | Describe
)
