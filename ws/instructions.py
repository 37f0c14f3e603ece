"""What the queue tells the shell: entries to make durable first, then words to say. Frozen values, no behaviour."""

from __future__ import annotations

import attrs

from rjs.attempts import AttemptId
from rjs.ids import BundleId
from rjs.jobs import TaskState
from rjs.wire.messages import CheckpointRef, JobBrief, LeasedTask
from ws.job import Job, Kept

# --- journal entries: one transaction, before anything is said ------------------------------------------


@attrs.frozen
class JobAdded:
    """A job was accepted."""

    job: Job


@attrs.frozen
class JobClosed:
    """Every task of the job that has not ended yet ends in ``state`` (cancelled, or failed by expiry)."""

    job: BundleId
    state: TaskState
    reason: str


@attrs.frozen
class LeaseGranted:
    """A task lease begins."""

    number: int
    job: BundleId
    task: int
    lus: str
    boot: str


@attrs.frozen
class LeaseAdopted:
    """A task lease goes on, or lives again, in another process's hands, with the attempt placed under it."""

    number: int
    job: BundleId
    task: int
    lus: str
    boot: str


@attrs.frozen
class LeaseClosed:
    """A task lease ended, for whatever reason."""

    number: int


@attrs.frozen
class PlacementKnown:
    """The LUS that holds the lease said where it places the task: the CS may answer. ``forgotten``: the oldest
    placement of the task, when there are too many."""

    attempt: AttemptId
    cs: str
    cs_name: str
    forgotten: AttemptId | None = None


@attrs.frozen
class AttemptLogged:
    """An attempt ended without an answer. ``counted``: "failed", "vanished" or "" (returned)."""

    job: BundleId
    task: int
    counted: str
    cs: str
    cs_name: str
    detail: str


@attrs.frozen
class Answer:
    """A verified answer: where its bytes are until ``ans/`` has them. Exactly one of ``data``, ``staged``."""

    attempt: AttemptId
    cs: str
    cs_name: str
    sha256: str
    size: int
    data: bytes = attrs.field(repr=False)
    staged: str


@attrs.frozen
class TaskEnded:
    """A task ended: committed with its answer, or failed with its reason."""

    job: BundleId
    task: int
    state: TaskState
    reason: str = ""
    answer: Answer | None = None


@attrs.frozen
class CheckpointKept:
    """A checkpoint of a task was verified, and is the newest."""

    job: BundleId
    kept: Kept


@attrs.frozen
class CheckpointForgotten:
    """There is no checkpoint of the task any more."""

    job: BundleId
    task: int


Entry = (
    JobAdded
    | JobClosed
    | LeaseGranted
    | LeaseAdopted
    | LeaseClosed
    | PlacementKnown
    | AttemptLogged
    | TaskEnded
    | CheckpointKept
    | CheckpointForgotten
)

# --- words: said once the entries above are durable -----------------------------------------------------


@attrs.frozen
class SendGrant:
    """Tell the LUS of its new leases, all of one job, and of the checkpoints of their tasks."""

    lus: str
    generation: int
    job: JobBrief
    tasks: tuple[LeasedTask, ...]
    checkpoints: tuple[CheckpointRef, ...] = ()


@attrs.frozen
class SendLeaseEnded:
    """Tell the LUS that these tasks need no answer any more."""

    lus: str
    leases: tuple[int, ...]
    code: str
    sentence: str


@attrs.frozen
class JobChanged:
    """The job's status file is out of date."""

    job: BundleId


@attrs.frozen
class AnswerReady:
    """The answer is committed: put it into ``ans/``."""

    job: BundleId
    task: int


@attrs.frozen
class DropFile:
    """The checkpoint in this file is kept no more."""

    file: str


Word = SendGrant | SendLeaseEnded | JobChanged | AnswerReady | DropFile
Instruction = Entry | Word
