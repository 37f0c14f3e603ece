"""The durable job queue's rules: events in, instructions out. No clock, socket, file or randomness.

Each public method is an event; it changes the state here and returns what the shell must make durable
(entries) and then say (words), in that order. ``now`` is a steady clock's seconds, ``wall`` Unix time. What
was journalled is given back at start through the ``restore_*`` methods.

The safety rule is one: a task moves from open or leased to an end exactly once (``rjs.jobs``). Leases only
decide who tries meanwhile. See DESIGN section 3, `docs/leases.md`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import attrs

from rjs.errors import RefusedError
from rjs.ids import BundleId
from rjs.jobs import ENDED, TaskEvent, TaskState
from rjs.leases import LeaseTable
from rjs.limits import LUS_LEASE
from rjs.wire.messages import AttemptId, LeasedTask
from ws import limits
from ws.instructions import (
    Answer,
    AnswerReady,
    AttemptLogged,
    Instruction,
    JobAdded,
    JobChanged,
    JobClosed,
    LeaseClosed,
    LeaseGranted,
    PlacementKnown,
    SendGrant,
    SendLeaseEnded,
    TaskEnded,
)
from ws.job import Blocked, Job, JobState, Story


@attrs.define
class TaskLease:
    """A task lease as the WS keeps it; ``placed`` is the newest attempt that the LUS told of."""

    number: int
    job: BundleId
    task: int
    lus: str
    boot: str
    placed: AttemptId | None = None
    cs_name: str = ""


@attrs.define
class Lus:
    """What the queue knows of a LUS."""

    boot: str
    connected: bool = False
    want: int = 0
    epoch: int = 0


@attrs.frozen
class Verdict:
    """The reply to an offered answer (DESIGN section 3)."""

    verdict: str
    code: str = ""
    sentence: str = ""


COMMITTED = Verdict("committed")
DUPLICATE = Verdict("duplicate")


class Queue:
    """Jobs, their tasks, and who holds them."""

    def __init__(self, generation: int, next_lease: int = 1) -> None:
        self.generation = generation
        self.jobs: dict[BundleId, JobState] = {}
        self._next_lease = next_lease
        self._ready: dict[BundleId, None] = {}
        self._lus: dict[str, Lus] = {}
        self._lease: dict[int, TaskLease] = {}
        self._by_task: dict[tuple[BundleId, int], int] = {}
        self._clock: LeaseTable[int, tuple[str, str]] = LeaseTable(LUS_LEASE)
        self._placed: dict[tuple[BundleId, int], dict[AttemptId, PlacementKnown]] = {}
        self._committed: dict[tuple[BundleId, int], str] = {}
        self._not_after: list[tuple[float, BundleId]] = []

    # --- at start -----------------------------------------------------------------------------------

    def restore_job(self, job: Job, ended: Iterable[tuple[int, TaskState]], closed: JobClosed | None) -> None:
        """A journalled job with the tasks that had ended."""
        state = JobState(job)
        for task, end in ended:
            state.restore_end(task, end)
        if closed is not None:
            state.close(
                TaskEvent.CANCEL if closed.state is TaskState.CANCELLED else TaskEvent.FAIL, closed.reason
            )
        self._know(state)

    def restore_lease(self, entry: LeaseGranted, now: float) -> None:
        """A journalled lease: it lives for one full lease from now, whatever its age."""
        state = self.jobs[entry.job]
        if state.state(entry.task) is not TaskState.OPEN:
            return
        state.restore_lease(entry.task)
        self._hold(TaskLease(entry.number, entry.job, entry.task, entry.lus, entry.boot), now)
        self._lus.setdefault(entry.lus, Lus(entry.boot))

    def restore_placement(self, entry: PlacementKnown) -> None:
        """A journalled placement: its CS may still answer."""
        self._placed.setdefault((BundleId(entry.attempt.job), entry.attempt.task), {})[entry.attempt] = entry
        lease = self._lease.get(entry.attempt.fence.lease)
        if lease is not None and (lease.placed is None or lease.placed < entry.attempt):
            lease.placed, lease.cs_name = entry.attempt, entry.cs_name

    def restore_attempt(self, entry: AttemptLogged) -> None:
        """A journalled end of an attempt."""
        self._remember(self.jobs[entry.job], entry)

    def restore_answer(self, job: BundleId, task: int, sha256: str) -> None:
        """A journalled answer's digest: the same bytes offered again are the same answer."""
        self._committed[job, task] = sha256

    # --- jobs ---------------------------------------------------------------------------------------

    def admit(self, user: str) -> None:
        """Raises RefusedError when the queue has no room for another job of this user."""
        live = [state for state in self.jobs.values() if not state.ended]
        if len(live) >= limits.JOBS:
            raise RefusedError(
                "queue-full", f"{limits.JOBS} jobs wait already; try again when some have ended"
            )
        mine = sum(state.job.user == user for state in live)
        if mine >= limits.USER_JOBS:
            raise RefusedError(
                "too-many-jobs", f"you have {mine} jobs that have not ended; wait or cancel some"
            )

    def add_job(self, job: Job, now: float) -> list[Instruction]:
        """A verified, admitted bundle. Raises RefusedError when it is here already."""
        if job.id in self.jobs:
            known = self.jobs[job.id].job
            raise RefusedError(
                "already-accepted",
                f"already accepted as job {job.id[:16]} ({known.file_name}); sign again to run again",
            )
        self._know(JobState(job))
        return [JobAdded(job), JobChanged(job.id), *self._grant(now)]

    def cancel(self, job: BundleId, reason: str) -> list[Instruction]:
        """End what has not ended. Raises RefusedError when everything has."""
        state = self.jobs[job]
        if state.ended:
            raise RefusedError("already-ended", f"job {job[:16]} is {state.summary()} already")
        return self._close(state, TaskState.CANCELLED, reason)

    def _close(self, state: JobState, end: TaskState, reason: str) -> list[Instruction]:
        job = state.job.id
        event = TaskEvent.CANCEL if end is TaskState.CANCELLED else TaskEvent.FAIL
        tasks = state.close(event, reason)
        self._ready.pop(job, None)
        for key in [key for key in self._placed if key[0] == job]:
            del self._placed[key]
        numbers = [self._by_task[job, task] for task in tasks]
        told = self._tell_ended(numbers, end.name.lower(), reason)
        entries: list[Instruction] = [JobClosed(job, end, reason)]
        entries += [self._end_lease(number) for number in numbers]
        return [*entries, *told, JobChanged(job)]

    # --- LUSs ---------------------------------------------------------------------------------------

    def lus_opened(self, lus: str, boot: str, now: float) -> list[Instruction]:
        """A LUS connected. A new boot id proves its old process dead: what that held is open again."""
        known = self._lus.setdefault(lus, Lus(boot))
        instructions: list[Instruction] = []
        if known.boot != boot:
            for number in sorted(self._clock.held((lus, known.boot))):
                instructions += self._reopen(number)
            self._lus[lus] = known = Lus(boot)
        known.connected, known.want = True, 0
        return [*instructions, *self._grant(now)]

    def lus_closed(self, lus: str, boot: str) -> list[Instruction]:
        """The connection ended; that alone ends no lease."""
        known = self._lus.get(lus)
        if known is not None and known.boot == boot:
            known.connected = False
        return []

    def want(self, lus: str, outstanding: int, epoch: int, now: float) -> list[Instruction]:
        """How many leases this LUS can use, all in all."""
        known = self._lus[lus]
        known.want, known.epoch = min(outstanding, limits.OUTSTANDING), epoch
        return self._grant(now)

    def renew(
        self, lus: str, leases: Iterable[int], upto: int, now: float
    ) -> tuple[list[int], list[Instruction]]:
        """The LUS lists what it holds. Returns which of that has ended, and instructions: a lease it was
        granted and does not list is given back by that."""
        holder = (lus, self._lus[lus].boot)
        listed = set(leases)
        held = self._clock.held(holder)
        self._clock.renew(holder, now)
        instructions: list[Instruction] = []
        for number in sorted(held - listed):
            if number <= upto:
                instructions += self._reopen(number)
        return sorted(listed - held), [*instructions, *self._grant(now)]

    def returned(
        self, lus: str, job: BundleId, leases: Iterable[int], why: Blocked, now: float
    ) -> list[Instruction]:
        """No CS of this LUS takes the job now; it is offered again when the LUS's epoch has changed."""
        instructions: list[Instruction] = []
        for number in leases:
            if self._holds(lus, number) and self._lease[number].job == job:
                instructions += self._reopen(number)
        state = self.jobs.get(job)
        if state is not None and instructions:
            state.blocked.pop(lus, None)
            state.blocked[lus] = why
            instructions.append(JobChanged(job))
        return [*instructions, *self._grant(now)]

    def placed(self, lus: str, attempt: AttemptId, cs: str, cs_name: str) -> list[Instruction]:
        """The LUS is about to start the attempt on that CS. Raises RefusedError when the lease is not its."""
        number = attempt.fence.lease
        lease = self._lease.get(number)
        known = self._placed.get((BundleId(attempt.job), attempt.task), {})
        if attempt in known:
            return []
        if (
            lease is None
            or not self._holds(lus, number)
            or (lease.job, lease.task) != (attempt.job, attempt.task)
        ):
            raise RefusedError("no-lease", f"lease {number} of task {attempt.task} is not held by this LUS")
        if attempt.fence.generation != self.generation:
            raise RefusedError(
                "stale-fence", f"generation {attempt.fence.generation} is not {self.generation}"
            )
        entry = PlacementKnown(attempt, cs, cs_name)
        self._placed.setdefault((lease.job, lease.task), {})[attempt] = entry
        if lease.placed is None or lease.placed < attempt:
            lease.placed, lease.cs_name = attempt, cs_name
        return [entry, JobChanged(lease.job)]

    # --- attempts -----------------------------------------------------------------------------------

    def attempt_ended(
        self, lus: str, attempt: AttemptId, cs: str, kind: str, detail: str, now: float
    ) -> list[Instruction]:
        """An attempt ended without an answer. Needs the current fence: raises RefusedError if it is stale."""
        lease = self._lease.get(attempt.fence.lease)
        if lease is None or not self._holds(lus, lease.number) or lease.placed != attempt:
            raise RefusedError("stale-fence", "this attempt is not the current one; its end changes nothing")
        if self._placed[lease.job, lease.task][attempt].cs != cs:
            raise RefusedError("wrong-cs", "this attempt was placed on another CS")
        counted = kind if kind in ("failed", "vanished") else ""
        entry = AttemptLogged(lease.job, lease.task, counted, cs, lease.cs_name, detail)
        state = self.jobs[lease.job]
        story = self._remember(state, entry)
        verdict = _hopeless(story)
        if verdict:
            state.move(lease.task, TaskEvent.FAIL)
            self._placed.pop((lease.job, lease.task), None)
            ended = TaskEnded(lease.job, lease.task, TaskState.FAILED, verdict)
            return [entry, ended, self._end_lease(lease.number), JobChanged(lease.job), *self._grant(now)]
        return [entry, *self._reopen(lease.number), *self._grant(now)]

    def judge(self, attempt: AttemptId, cs: str, sha256: str) -> Verdict | None:
        """What to reply to an offered answer before anyone reads it; None: it may be committed if it is sound."""
        job = BundleId(attempt.job)
        state = self.jobs.get(job)
        if state is None or attempt.task >= len(state.states):
            return Verdict("refused", "unknown-task", "no such task is known here")
        stands = state.state(attempt.task)
        if stands is TaskState.COMMITTED:
            return COMMITTED if self._committed.get((job, attempt.task)) == sha256 else DUPLICATE
        if stands in ENDED:
            return Verdict(
                "refused", f"task-{stands.name.lower()}", f"the task is {stands.name.lower()} already"
            )
        return None

    def commit(self, answer: Answer, now: float) -> tuple[Verdict, list[Instruction]]:
        """A verified answer: the first one wins."""
        verdict = self.judge(answer.attempt, answer.cs, answer.sha256)
        if verdict is not None:
            return verdict, []
        job, task = BundleId(answer.attempt.job), answer.attempt.task
        self.jobs[job].move(task, TaskEvent.COMMIT)
        self._committed[job, task] = answer.sha256
        self._placed.pop((job, task), None)
        instructions: list[Instruction] = [TaskEnded(job, task, TaskState.COMMITTED, answer=answer)]
        number = self._by_task.get((job, task))
        if number is not None:
            if number != answer.attempt.fence.lease or self._lease[number].placed != answer.attempt:
                told = self._tell_ended([number], "answered", "another attempt's answer was committed")
            else:
                told = []
            instructions += [self._end_lease(number), *told]
        return COMMITTED, [*instructions, AnswerReady(job, task), JobChanged(job), *self._grant(now)]

    # --- time ---------------------------------------------------------------------------------------

    def tick(self, now: float, wall: float) -> list[Instruction]:
        """Ends what time has ended: leases not renewed, bundles past their not-after."""
        instructions: list[Instruction] = []
        for numbers in self._clock.expire(now).values():
            for number in sorted(numbers):
                instructions += self._reopen(number)
        while self._not_after and self._not_after[0][0] <= wall:
            _, job = heapq.heappop(self._not_after)
            state = self.jobs[job]
            if not state.ended:
                reason = "the bundle expired (its not-after has passed) before every task had an answer; sign again"
                instructions += self._close(state, TaskState.FAILED, reason)
        return [*instructions, *self._grant(now)]

    # --- reading ------------------------------------------------------------------------------------

    def lease_of(self, job: BundleId, task: int) -> TaskLease | None:
        """The current lease of a task."""
        number = self._by_task.get((job, task))
        return None if number is None else self._lease[number]

    def cs_name(self, attempt: AttemptId) -> str:
        """The name of the CS on which the attempt was placed; empty when its task has ended."""
        placement = self._placed.get((BundleId(attempt.job), attempt.task), {}).get(attempt)
        return placement.cs_name if placement is not None else ""

    def connected(self) -> int:
        """How many LUSs are connected."""
        return sum(lus.connected for lus in self._lus.values())

    # --- inner --------------------------------------------------------------------------------------

    def _know(self, state: JobState) -> None:
        job = state.job.id
        self.jobs[job] = state
        if not state.ended:
            heapq.heappush(self._not_after, (state.job.not_after, job))
        if state.open:
            self._ready[job] = None

    def _holds(self, lus: str, number: int) -> bool:
        known = self._lus.get(lus)
        return known is not None and self._clock.holder(number) == (lus, known.boot)

    def _hold(self, lease: TaskLease, now: float) -> None:
        self._lease[lease.number] = lease
        self._by_task[lease.job, lease.task] = lease.number
        self._clock.grant(lease.number, (lease.lus, lease.boot), now)

    def _end_lease(self, number: int) -> LeaseClosed:
        lease = self._lease.pop(number)
        del self._by_task[lease.job, lease.task]
        self._clock.end(number)
        return LeaseClosed(number)

    def _reopen(self, number: int) -> list[Instruction]:
        lease = self._lease[number]
        self.jobs[lease.job].move(lease.task, TaskEvent.REOPEN)
        self._ready[lease.job] = None
        return [self._end_lease(number), JobChanged(lease.job)]

    def _tell_ended(self, numbers: Iterable[int], code: str, sentence: str) -> list[SendLeaseEnded]:
        by_lus: dict[str, list[int]] = {}
        for number in numbers:
            by_lus.setdefault(self._lease[number].lus, []).append(number)
        return [SendLeaseEnded(lus, tuple(of_lus), code, sentence) for lus, of_lus in by_lus.items()]

    def _remember(self, state: JobState, entry: AttemptLogged) -> Story:
        story = state.stories.setdefault(entry.task, Story())
        name = entry.cs_name or entry.cs
        if entry.counted == "failed":
            story.failed.append(name)
        elif entry.counted == "vanished":
            story.vanished.append(name)
        if entry.counted and entry.cs not in story.avoid and len(story.avoid) < limits.AVOID:
            story.avoid.append(entry.cs)
        story.detail = entry.detail
        return story

    def _grant(self, now: float) -> list[Instruction]:
        """Gives open tasks to the LUSs that want some: LUSs in turn, jobs in turn."""
        instructions: list[Instruction] = []
        for lus_id, lus in self._lus.items():
            if lus.connected and self._ready:
                room = lus.want - len(self._clock.held((lus_id, lus.boot)))
                if room > 0:
                    instructions += self._grant_to(lus_id, lus, min(room, limits.GRANT), now)
        return instructions

    def _grant_to(self, lus_id: str, lus: Lus, room: int, now: float) -> list[Instruction]:
        granted: dict[BundleId, list[LeasedTask]] = {}
        entries: list[Instruction] = []
        for job in list(self._ready):
            state = self.jobs[job]
            blocked = state.blocked.get(lus_id)
            if blocked is not None and blocked.epoch == lus.epoch:
                continue
            share = max(1, room // max(1, len(self._ready)))
            while room and share and (task := state.take()) is not None:
                number, self._next_lease = self._next_lease, self._next_lease + 1
                self._hold(TaskLease(number, job, task, lus_id, lus.boot), now)
                entries.append(LeaseGranted(number, job, task, lus_id, lus.boot))
                avoid = tuple(state.stories[task].avoid) if task in state.stories else ()
                granted.setdefault(job, []).append(LeasedTask(number, task, avoid))
                room, share = room - 1, share - 1
            del self._ready[job]
            if state.open:
                self._ready[job] = None
            if not room:
                break
        words = [
            SendGrant(lus_id, self.generation, self.jobs[job].job.brief, tuple(tasks))
            for job, tasks in granted.items()
        ]
        return [*entries, *words]


def _hopeless(story: Story) -> str:
    """Why a task is failed for good; empty while another attempt is due."""
    if len(story.failed) >= limits.ATTEMPTS:
        names = ", ".join(story.failed)
        return f"failed {len(story.failed)} times (on {names}); the last time: {story.detail}"
    if len(story.vanished) >= limits.VANISHED:
        names = ", ".join(story.vanished)
        return f"{len(story.vanished)} machines vanished while running it: {names}"
    return ""
