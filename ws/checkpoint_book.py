"""Which checkpoint is kept of each task, and which may be: the rules. Pure.

Of a task the newest is kept, by fence and then by sequence, as long as the task has not ended. Its row is in the
journal before anybody hears of it, its file is on the disk before that, and goes only after the row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rjs.attempts import AttemptId
from rjs.checkpoints.limits import JAR
from rjs.ids import BundleId
from rjs.jobs import ENDED
from rjs.wire.messages import CheckpointRef
from ws import limits
from ws.instructions import CheckpointForgotten, CheckpointKept, DropFile, Instruction, Word
from ws.job import JobState, Kept
from ws.placements import Placements
from ws.task_leases import TaskLeases
from ws.verdicts import Verdict

KEPT = Verdict("kept")


class CheckpointBook:
    """The checkpoints of the tasks that have not ended, with what they take of the disk."""

    def __init__(self, jobs: Mapping[BundleId, JobState], leases: TaskLeases, placements: Placements) -> None:
        self._jobs = jobs
        self._leases = leases
        self._placements = placements
        self._of_job: Counter[BundleId] = Counter()
        self._of_account: Counter[str] = Counter()

    def kept(self, job: str, task: int) -> Kept | None:
        """The newest checkpoint of the task."""
        state = self._jobs.get(BundleId(job))
        return None if state is None else state.checkpoints.get(task)

    def all(self) -> list[tuple[BundleId, Kept]]:
        """Every checkpoint, with its job."""
        return [(job, each) for job, state in self._jobs.items() for each in state.checkpoints.values()]

    def judge(self, attempt: AttemptId, cs: str, ref: CheckpointRef) -> Verdict | None:
        """What to reply to an offered checkpoint before anyone reads it; None: it may be kept if it is sound.

        It must be of the newest attempt at a task that has not ended, placed on this CS, and newer than what is kept.
        While a lease waits for its placement nothing is kept: its attempt was told of what is kept now.
        """
        state = self._jobs.get(BundleId(attempt.job))
        if state is None or attempt.task >= len(state.states):
            return Verdict("refused", "unknown-task", "no such task is known here")
        stands = state.state(attempt.task)
        if stands in ENDED:
            return Verdict("refused", f"task-{stands.name.lower()}", "the task has ended")
        placed = self._placements.get(attempt)
        if placed is None or placed.cs != cs:
            return Verdict("refused", "not-placed", "this attempt was not placed there")
        lease = self._leases.of_task(attempt.job, attempt.task)
        if not self._placements.is_newest(attempt):
            return Verdict("refused", "stale-fence", "a later attempt at the task has begun")
        if lease is not None and lease.placed is None:
            return Verdict("retry", "leased", "another attempt at the task is about to begin")
        return self._judge_size(state, ref) if not self._is_kept(state, ref) else KEPT

    def keep(self, entry: CheckpointKept) -> list[Instruction]:
        """A verified checkpoint, whose file is durable, in place of the one before."""
        state = self._jobs[BundleId(entry.job)]
        before = self._leave(state, entry.kept.ref.task)
        self.know(entry)
        return [entry, *before]

    def know(self, entry: CheckpointKept) -> None:
        """Take a new or a journalled entry in."""
        state = self._jobs[BundleId(entry.job)]
        ref = entry.kept.ref
        state.checkpoints[ref.task] = entry.kept
        self._of_job[state.job.id] += ref.size
        self._of_account[state.job.user] += ref.size

    def lose(self, job: str, task: int) -> list[Instruction]:
        """The checkpoint cannot be used: the next attempt begins from zero."""
        left = self._leave(self._jobs[BundleId(job)], task)
        return [CheckpointForgotten(BundleId(job), task), *left] if left else []

    def ended(self, state: JobState, task: int) -> list[Word]:
        """The task ended; its row went with it."""
        return self._leave(state, task) if state.checkpoints else []

    def closed(self, state: JobState) -> list[Word]:
        """The job ended; its rows went with it."""
        return [each for task in tuple(state.checkpoints) for each in self._leave(state, task)]

    def _leave(self, state: JobState, task: int) -> list[Word]:
        gone = state.checkpoints.pop(task, None)
        if gone is None:
            return []
        self._of_job -= Counter({state.job.id: gone.ref.size})
        self._of_account -= Counter({state.job.user: gone.ref.size})
        return [DropFile(gone.file)]

    def _is_kept(self, state: JobState, ref: CheckpointRef) -> bool:
        kept = state.checkpoints.get(ref.task)
        return kept is not None and kept.ref == ref

    def _judge_size(self, state: JobState, ref: CheckpointRef) -> Verdict | None:
        if state.job.brief.sealed:
            return Verdict(
                "refused",
                "checkpoint-sealed",
                "of a job with sealed answers checkpoints stay where they are made",
            )
        if ref.size > JAR:
            return Verdict("refused", "checkpoint-size", f"a checkpoint has at most {JAR} bytes")
        before = 0
        kept = state.checkpoints.get(ref.task)
        if kept is not None:
            before = kept.ref.size
            if (kept.ref.fence, kept.ref.sequence) >= (ref.fence, ref.sequence):
                return Verdict("refused", "older-checkpoint", "a newer checkpoint of the task is kept")
        more = ref.size - before
        if self._of_job[state.job.id] + more > limits.CHECKPOINTS_JOB:
            return Verdict(
                "refused", "checkpoints-full", f"those of one job have at most {limits.CHECKPOINTS_JOB} bytes"
            )
        if self._of_account[state.job.user] + more > limits.CHECKPOINTS_ACCOUNT:
            return Verdict(
                "refused",
                "checkpoints-full",
                f"those of one account have at most {limits.CHECKPOINTS_ACCOUNT} bytes",
            )
        return None
