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

from rjs.attempts import AttemptId
from rjs.errors import RefusedError
from rjs.ids import BundleId
from rjs.jobs import TaskEvent, TaskState
from rjs.wire.messages import TaskAdopted
from ws import limits
from ws.adoption import Adoption
from ws.checkpoint_book import CheckpointBook
from ws.dispatch import Dispatch
from ws.instructions import (
    Answer,
    AnswerReady,
    AttemptLogged,
    Instruction,
    JobAdded,
    JobChanged,
    JobClosed,
    LeaseGranted,
    PlacementKnown,
    SendLeaseEnded,
    TaskEnded,
    Word,
)
from ws.job import EXPIRED, Blocked, Job, JobState
from ws.placements import Placed, Placements
from ws.task_leases import TaskLease, TaskLeases
from ws.verdicts import COMMITTED, Verdict, Verdicts


class Queue:
    """Jobs, their tasks, and who holds them."""

    def __init__(self, generation: int, next_lease: int = 1) -> None:
        self.generation = generation
        self.jobs: dict[BundleId, JobState] = {}
        self.leases = TaskLeases(next_lease)
        self._live: dict[str, int] = {}
        self.dispatch = Dispatch(generation, self.jobs, self.leases)
        self._lus = self.dispatch.luses
        self._placements = Placements()
        self._adoption = Adoption(self.jobs, self._lus, self.leases, self._placements)
        self._verdicts = Verdicts(self.jobs, self._placements)
        self.checkpoints = CheckpointBook(self.jobs, self.leases, self._placements)
        self._not_after: list[tuple[float, BundleId]] = []
        self._unserved_told = self.why_unserved()
        self._unserved_due = 0.0

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
        self.jobs[entry.job].restore_lease(entry.task)
        self.leases.hold(entry, now)
        if entry.lus not in self._lus:
            self.dispatch.meet(entry.lus, entry.boot)

    def restore_placement(self, entry: PlacementKnown, now: float) -> None:
        """A journalled placement: its CS may still answer."""
        self._place(entry, now)

    def restore_attempt(self, entry: AttemptLogged) -> None:
        """A journalled end of an attempt."""
        self.jobs[entry.job].note(entry.task, entry.counted, entry.cs, entry.cs_name, entry.detail)

    def restore_answer(self, job: BundleId, task: int, sha256: str) -> None:
        """A journalled answer's digest: the same bytes offered again are the same answer."""
        self._verdicts.committed(job, task, sha256)

    # --- jobs ---------------------------------------------------------------------------------------

    def admit(self, user: str) -> None:
        """Raises RefusedError when the queue has no room for another job of this user."""
        if sum(self._live.values()) >= limits.JOBS:
            raise RefusedError(
                "queue-full", f"{limits.JOBS} jobs wait already; try again when some have ended"
            )
        mine = self._live.get(user, 0)
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
        return [JobAdded(job), JobChanged(job.id), *self.dispatch.grant(now)]

    def cancel(self, job: BundleId, reason: str, now: float) -> list[Instruction]:
        """End what has not ended. Raises RefusedError when everything has."""
        state = self.jobs[job]
        if state.ended:
            raise RefusedError("already-ended", f"job {job[:16]} is {state.summary()} already")
        return [*self._close(state, TaskState.CANCELLED, reason), *self.dispatch.grant(now)]

    def fail(self, job: BundleId, reason: str, now: float) -> list[Instruction]:
        """End what has not ended, for a reason that is nobody's wish; nothing when everything has."""
        state = self.jobs[job]
        if state.ended:
            return []
        return [*self._close(state, TaskState.FAILED, reason), *self.dispatch.grant(now)]

    def _close(self, state: JobState, end: TaskState, reason: str) -> list[Instruction]:
        job = state.job.id
        event = TaskEvent.CANCEL if end is TaskState.CANCELLED else TaskEvent.FAIL
        leases = [lease for task in state.close(event, reason) if (lease := self.leases.of_task(job, task))]
        told = _tell_ended(leases, self._placements.strays(job), end.name.lower(), reason)
        entries: list[Instruction] = [JobClosed(job, end, reason)]
        entries += [self.leases.end(lease.number) for lease in leases]
        return [*entries, *told, *self._forget(state), JobChanged(job)]

    # --- LUSs ---------------------------------------------------------------------------------------

    def lus_opened(self, lus: str, boot: str, now: float) -> list[Instruction]:
        """A LUS connected. A new boot id proves its old process dead: what that held and placed nowhere is open
        again; what it placed may run on and be adopted, until its lease lapses."""
        known = self._lus.get(lus)
        instructions: list[Instruction] = []
        if known is None or known.boot != boot:
            known = self.dispatch.meet(lus, boot)
        for lease in self.leases.left_by(lus, boot):
            if lease.placed is None:
                instructions += self._reopen(lease)
        known.connected, known.want, known.since = True, 0, self.leases.next_number
        return [*instructions, *self.dispatch.grant(now)]

    def lus_closed(self, lus: str, boot: str) -> list[Instruction]:
        """The connection ended; that alone ends no lease."""
        known = self._lus.get(lus)
        if known is not None and known.boot == boot:
            known.connected = False
        return []

    def luses(self) -> tuple[str, ...]:
        """The LUSs that hold leases, or may."""
        return tuple(self._lus)

    def lus_revoked(self, lus: str, now: float) -> list[Instruction]:
        """This LUS may hold nothing any more: its leases end at once, and their tasks go elsewhere. What it placed
        before may still answer by way of another."""
        del self._lus[lus]
        instructions: list[Instruction] = []
        for lease in self.leases.left_by(lus):
            instructions += self._reopen(lease, lapsed=True)
        return [*instructions, *self.dispatch.grant(now)]

    def want(self, lus: str, outstanding: int, epoch: int, now: float) -> list[Instruction]:
        """How many leases this LUS can use, all in all."""
        known = self._lus[lus]
        known.want = min(outstanding, limits.OUTSTANDING)
        known.now_at(epoch)
        return self.dispatch.grant(now)

    def renew(
        self, lus: str, leases: Iterable[int], upto: int, now: float
    ) -> tuple[list[int], list[Instruction]]:
        """The LUS lists what it holds. Returns which of that has ended, and instructions.

        What it was granted and does not list is given back by that: numbers up to ``upto``, the highest that ever
        reached it, and those granted before its present session, which were lost with the one before.
        """
        known, listed = self._lus[lus], set(leases)
        self.leases.renew(lus, known.boot, now)
        instructions: list[Instruction] = []
        for lease in self.leases.held(lus, known.boot):
            number = lease.number
            given_back = number not in listed and (number <= upto or number < known.since)
            if given_back or now >= lease.until:
                instructions += self._reopen(lease)
            else:
                listed.discard(number)
        return sorted(listed), [*instructions, *self.dispatch.grant(now)]

    def returned(
        self, lus: str, job: BundleId, leases: Iterable[int], why: Blocked, now: float
    ) -> list[Instruction]:
        """No CS of this LUS takes the job now; it is offered again when the LUS's epoch has changed."""
        instructions: list[Instruction] = []
        for number in leases:
            lease = self._held(lus, number)
            if lease is not None and lease.job == job:
                instructions += self._reopen(lease)
        if instructions:
            blocked = self.jobs[job].blocked
            blocked.pop(lus, None)
            blocked[lus] = why
            self._lus[lus].set_aside(job, why.epoch)
            instructions.append(JobChanged(job))
        return [*instructions, *self.dispatch.grant(now)]

    def placed(self, lus: str, attempt: AttemptId, cs: str, cs_name: str, now: float) -> list[Instruction]:
        """The LUS is about to start the attempt on that CS. Raises RefusedError when the lease is not its."""
        number = attempt.fence.lease
        if self._placements.get(attempt) is not None:
            return []
        lease = self._held(lus, number)
        if lease is None or (lease.job, lease.task) != (attempt.job, attempt.task):
            raise RefusedError("no-lease", f"lease {number} of task {attempt.task} is not held by this LUS")
        if attempt.fence.generation != self.generation:
            raise RefusedError(
                "stale-fence", f"generation {attempt.fence.generation} is not {self.generation}"
            )
        entry = self._placements.entry(attempt, cs, cs_name)
        self._place(entry, now)
        if not self._lus[lus].stands_aside(lease.job):
            self.jobs[lease.job].blocked.pop(lus, None)
        return [entry, JobChanged(lease.job)]

    def adopt(
        self, lus: str, cs: str, attempts: tuple[AttemptId, ...], whole: bool, now: float
    ) -> tuple[TaskAdopted, list[Instruction]]:
        """A CS came to this LUS and told of attempts that the LUS does not know; ``whole``: of all that it has. What
        a dead process placed there and it has not was not started, or ended without a word: that is open again."""
        reply, instructions = self._adoption.adopt(lus, cs, attempts, now)
        for lease in self._adoption.orphans(cs) if whole else ():
            if lease.placed not in attempts:
                instructions += self._reopen(lease)
        return reply, [*instructions, *self.dispatch.grant(now)]

    def _place(self, entry: PlacementKnown, now: float) -> None:
        until = now + self.jobs[BundleId(entry.attempt.job)].job.brief.needs.wall_time + limits.ATTEMPT_GRACE
        placed = self._placements.know(entry, until)
        lease = self.leases.get(entry.attempt.fence.lease)
        if lease is not None and (lease.placed is None or lease.placed < entry.attempt):
            lease.place(placed)

    # --- attempts -----------------------------------------------------------------------------------

    def attempt_ended(
        self, lus: str, attempt: AttemptId, cs: str, kind: str, detail: str, now: float
    ) -> list[Instruction]:
        """An attempt ended without an answer. Needs the current fence: raises RefusedError if it is stale."""
        lease = self._held(lus, attempt.fence.lease)
        if lease is None or lease.placed != attempt:
            raise RefusedError("stale-fence", "this attempt is not the current one; its end changes nothing")
        placement = self._placements.get(attempt)
        if placement is None or placement.cs != cs:
            raise RefusedError("wrong-cs", "this attempt was placed on another CS")
        counted = kind if kind in ("failed", "vanished") else ""
        entry = AttemptLogged(lease.job, lease.task, counted, cs, lease.cs_name, detail)
        state = self.jobs[lease.job]
        verdict = state.note(lease.task, counted, cs, lease.cs_name, detail)
        if verdict:
            state.move(lease.task, TaskEvent.FAIL)
            ended = TaskEnded(lease.job, lease.task, TaskState.FAILED, verdict)
            closed = self.leases.end(lease.number)
            told = _tell_ended([], self._placements.strays(lease.job, lease.task), "failed", verdict)
            told += self._forget_task(state, lease.task)
            return [entry, ended, closed, *told, JobChanged(lease.job), *self.dispatch.grant(now)]
        return [entry, *self._reopen(lease, lapsed=kind == "vanished"), *self.dispatch.grant(now)]

    def judge(self, attempt: AttemptId, cs: str, sha256: str) -> Verdict | None:
        """What to reply to an offered answer before anyone reads it; None: it may be committed if it is sound."""
        return self._verdicts.judge(attempt, cs, sha256)

    def commit(self, answer: Answer, now: float) -> tuple[Verdict, list[Instruction]]:
        """A verified answer: the first one wins."""
        verdict = self.judge(answer.attempt, answer.cs, answer.sha256)
        if verdict is not None:
            return verdict, []
        job, task = BundleId(answer.attempt.job), answer.attempt.task
        self.jobs[job].move(task, TaskEvent.COMMIT)
        self._verdicts.committed(job, task, answer.sha256)
        instructions: list[Instruction] = [TaskEnded(job, task, TaskState.COMMITTED, answer=answer)]
        lease = self.leases.of_task(job, task)
        others = [] if lease is None or lease.placed == answer.attempt else [lease]
        if lease is not None:
            instructions.append(self.leases.end(lease.number))
        strays = [each for each in self._placements.strays(job, task) if each.attempt != answer.attempt]
        instructions += _tell_ended(others, strays, "answered", "another attempt's answer was committed")
        instructions += self._forget_task(self.jobs[job], task)
        return COMMITTED, [*instructions, AnswerReady(job, task), JobChanged(job), *self.dispatch.grant(now)]

    # --- time ---------------------------------------------------------------------------------------

    def tick(self, now: float, wall: float) -> list[Instruction]:
        """Ends what time has ended: leases not renewed, bundles past their not-after."""
        instructions: list[Instruction] = []
        for lease in self.leases.lapsed(now):
            instructions += self._reopen(lease, lapsed=True)
        while self._not_after and self._not_after[0][0] <= wall:
            _, job = heapq.heappop(self._not_after)
            state = self.jobs[job]
            if not state.ended:
                instructions += self._close(state, TaskState.FAILED, EXPIRED)
        return [*instructions, *self.dispatch.grant(now), *self._tell_unserved(now)]

    def _tell_unserved(self, now: float) -> list[JobChanged]:
        """What keeps every open task waiting has changed: their jobs' status says so, now and then."""
        why = self.why_unserved()
        if why == self._unserved_told or now < self._unserved_due:
            return []
        self._unserved_told, self._unserved_due = why, now + limits.UNSERVED_TOLD
        return [JobChanged(job) for job, state in self.jobs.items() if state.open]

    # --- reading ------------------------------------------------------------------------------------

    def lease_of(self, job: BundleId, task: int) -> TaskLease | None:
        """The current lease of a task."""
        return self.leases.of_task(job, task)

    def cs_name(self, attempt: AttemptId) -> str:
        """The name of the CS on which the attempt was placed; empty when its task has ended."""
        placement = self._placements.get(attempt)
        return placement.cs_name if placement is not None else ""

    def loose(self, job: BundleId, task: int | None = None) -> list[Placed]:
        """The attempts at a task, or at all of the job, that may run though nobody has a lease for them."""
        return self._placements.loose(job, task)

    def why_unserved(self) -> str:
        """What keeps every open task waiting, whatever it needs; empty when nothing does."""
        return self.dispatch.why_unserved()

    # --- inner --------------------------------------------------------------------------------------

    def _know(self, state: JobState) -> None:
        job = state.job.id
        self.jobs[job] = state
        if not state.ended:
            self._live[state.job.user] = self._live.get(state.job.user, 0) + 1
            heapq.heappush(self._not_after, (state.job.not_after, job))
        if state.open:
            self.dispatch.offer(job)

    def _forget_task(self, state: JobState, task: int) -> list[Word]:
        """A task ended: nobody may answer it any more."""
        self._placements.forget_task(state.job.id, task)
        return [*self.checkpoints.ended(state, task), *(self._forget(state) if state.ended else [])]

    def _forget(self, state: JobState) -> list[Word]:
        """A job ended, just now."""
        self._placements.forget(state.job.id)
        state.blocked.clear()
        self.dispatch.forget(state.job.id)
        left = self._live[state.job.user] - 1
        if left:
            self._live[state.job.user] = left
        else:
            del self._live[state.job.user]
        return self.checkpoints.closed(state)

    def _held(self, lus: str, number: int) -> TaskLease | None:
        """The lease, if this LUS's present process holds it."""
        known = self._lus.get(lus)
        if known is None or not self.leases.holds(lus, known.boot, number):
            return None
        return self.leases.get(number)

    def _reopen(self, lease: TaskLease, *, lapsed: bool = False) -> list[Instruction]:
        """The lease ends, its task is open. ``lapsed``: for silence alone, so that the attempt may well run on."""
        if lapsed and lease.placed is not None and (placed := self._placements.get(lease.placed)):
            placed.lapsed = True
        self.jobs[lease.job].move(lease.task, TaskEvent.REOPEN)
        self.dispatch.offer(lease.job)
        return [self.leases.end(lease.number), JobChanged(lease.job)]


def _tell_ended(
    leases: Iterable[TaskLease], strays: Iterable[Placed], code: str, sentence: str
) -> list[Word]:
    """To whoever holds these leases, and through whom attempts run on without one."""
    by_lus: dict[str, dict[int, None]] = {}
    for lease in leases:
        by_lus.setdefault(lease.lus, {})[lease.number] = None
    for stray in strays:
        by_lus.setdefault(stray.stray, {})[stray.attempt.fence.lease] = None
    return [SendLeaseEnded(lus, tuple(of_lus), code, sentence) for lus, of_lus in by_lus.items()]
