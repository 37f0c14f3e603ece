"""One job as the queue keeps it: who owns it, where each of its tasks stands, what went wrong so far.

Pure. A task costs one byte; only tasks that are leased or have a story cost more. Tasks that were never leased
are the range from ``fresh`` on, those that came back wait in ``again``.
"""

from __future__ import annotations

import heapq

import attrs

from rjs.ids import BundleId
from rjs.jobs import TaskEvent, TaskState, after
from rjs.wire.messages import CheckpointRef, JobBrief, JobLine
from ws import limits

EXPIRED = "the bundle expired (its not-after has passed) before every task had an answer; sign again"
"""Why a job's open tasks failed that nobody ended."""

SIGNER_REVOKED = "signer revoked: "
"""How the reason begins of a job that was ended because its signer was revoked."""

_LEASED = int(TaskState.LEASED)  # comparing with the enumeration costs ten times as much, a million times


@attrs.frozen
class Job:
    """An accepted job, as journalled. ``accepted`` and ``not_after`` are Unix times; ``file_name`` is the
    name in ``jobs/`` under which it was uploaded; ``attempts`` at a task may fail before the task is failed."""

    brief: JobBrief
    user: str
    file_name: str
    accepted: float
    not_after: float
    attempts: int

    @property
    def id(self) -> BundleId:
        """The job id, which is the bundle id."""
        return BundleId(self.brief.job)


@attrs.define
class Story:
    """What went wrong with a task so far: the CSs by name, for people, and by id, for placement."""

    failed: list[str] = attrs.field(factory=list)
    vanished: list[str] = attrs.field(factory=list)
    avoid: list[str] = attrs.field(factory=list)
    detail: str = ""

    def note(self, counted: str, cs: str, cs_name: str, detail: str) -> None:
        """An attempt ended without an answer. ``counted``: "failed", "vanished", or empty."""
        if counted == "failed":
            self.failed.append(cs_name or cs)
        elif counted == "vanished":
            self.vanished.append(cs_name or cs)
        if counted and cs not in self.avoid and len(self.avoid) < limits.AVOID:
            self.avoid.append(cs)
        self.detail = detail

    def verdict(self, attempts: int) -> str:
        """Why the task, of which so many attempts may fail, is failed for good; empty while another is due."""
        if attempts == 1 and self.failed:
            return f"failed (on {self.failed[0]}), and the job allows one attempt: {self.detail}"
        if len(self.failed) >= attempts:
            names = ", ".join(self.failed)
            return f"failed {len(self.failed)} times (on {names}); the last time: {self.detail}"
        if len(self.vanished) >= limits.VANISHED:
            names = ", ".join(self.vanished)
            return f"{len(self.vanished)} machines vanished while running it: {names}"
        return ""


@attrs.frozen
class Blocked:
    """Why a LUS gave a job back, and its epoch then: unchanged epoch, unchanged reason."""

    epoch: int
    code: str
    sentence: str


@attrs.frozen
class Kept:
    """A task's newest checkpoint, whose bytes are in the file of this name."""

    ref: CheckpointRef
    file: str


class JobState:
    """The tasks of one job. Every change of a task's state goes through ``move``."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.states = bytearray(job.brief.tasks)
        self.counts = dict.fromkeys(TaskState, 0)
        self.counts[TaskState.OPEN] = job.brief.tasks
        self.fresh = 0
        self.again: list[int] = []
        self.stories: dict[int, Story] = {}
        self.blocked: dict[str, Blocked] = {}
        self.checkpoints: dict[int, Kept] = {}
        self.closed_reason = ""

    def state(self, task: int) -> TaskState:
        """Where ``task`` stands."""
        return TaskState(self.states[task])

    def move(self, task: int, event: TaskEvent) -> TaskState:
        """Apply ``event`` by the transition table. Raises IllegalTransitionError."""
        before = self.state(task)
        now = after(before, event, f"task {task} of job {self.job.id[:16]}")
        self.states[task] = now
        self.counts[before] -= 1
        self.counts[now] += 1
        if event is TaskEvent.REOPEN:
            heapq.heappush(self.again, task)
        return now

    def take(self) -> int | None:
        """The next open task, now leased: first what came back, then what was never tried."""
        while self.again:
            task = heapq.heappop(self.again)
            if self.states[task] == TaskState.OPEN:
                self.move(task, TaskEvent.LEASE)
                return task
        while self.fresh < len(self.states):
            task = self.fresh
            self.fresh += 1
            if self.states[task] == TaskState.OPEN:
                self.move(task, TaskEvent.LEASE)
                return task
        return None

    def restore_lease(self, task: int) -> None:
        """At start: ``task`` was leased when the journal was last written."""
        self.move(task, TaskEvent.LEASE)

    def restore_end(self, task: int, state: TaskState) -> None:
        """At start: ``task`` had ended in ``state``."""
        before = self.state(task)
        self.states[task] = state
        self.counts[before] -= 1
        self.counts[state] += 1

    def note(self, task: int, counted: str, cs: str, cs_name: str, detail: str) -> str:
        """An attempt ended without an answer (see ``Story.note``). Why the task is failed for good, or empty."""
        story = self.stories.setdefault(task, Story())
        story.note(counted, cs, cs_name, detail)
        return story.verdict(self.job.attempts)

    def close(self, event: TaskEvent, reason: str) -> list[int]:
        """End every task that has not ended; the tasks that were leased are returned."""
        self.closed_reason = reason
        leased = [task for task, value in enumerate(self.states) if value == _LEASED]
        table = bytearray(range(256))
        for state in (TaskState.OPEN, TaskState.LEASED):
            end = after(state, event, f"job {self.job.id[:16]}")
            table[state] = end
            self.counts[end] += self.counts[state]
            self.counts[state] = 0
        self.states = self.states.translate(table)
        self.again.clear()
        return leased

    @property
    def open(self) -> int:
        """Tasks waiting for a lease."""
        return self.counts[TaskState.OPEN]

    @property
    def ended(self) -> bool:
        """Whether every task has ended."""
        return not self.open and not self.counts[TaskState.LEASED]

    def first(self, state: TaskState, count: int) -> tuple[int, ...]:
        """The first so many tasks in this state."""
        found: list[int] = []
        while len(found) < count and (task := self.states.find(state, found[-1] + 1 if found else 0)) >= 0:
            found.append(task)
        return tuple(found)

    def summary(self) -> str:
        """The job's own state, made from its tasks': waiting, running, done, failed or cancelled."""
        if not self.ended:
            started = self.counts[TaskState.OPEN] != len(self.states)
            return "running" if started else "waiting"
        if self.counts[TaskState.CANCELLED]:
            return "cancelled"
        return "failed" if self.counts[TaskState.FAILED] else "done"

    def line(self, waits: str = "") -> JobLine:
        """What status says. ``waits``: why open tasks wait (``ws.why``)."""
        return JobLine(
            job=self.job.id,
            name=self.job.brief.name,
            user=self.job.user,
            state=self.summary(),
            tasks=len(self.states),
            waiting=self.open,
            running=self.counts[TaskState.LEASED],
            committed=self.counts[TaskState.COMMITTED],
            failed=self.counts[TaskState.FAILED],
            cancelled=self.counts[TaskState.CANCELLED],
            accepted=self.job.accepted,
            reason=(waits if self.open else self.closed_reason)[:1024],
        )
