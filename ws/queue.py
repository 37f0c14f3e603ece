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

from rjs.attempts import AttemptId
from rjs.errors import RefusedError
from rjs.ids import BundleId
from rjs.jobs import ENDED, TaskEvent, TaskState
from rjs.leases import LeaseTable
from rjs.limits import LUS_LEASE
from rjs.wire.messages import LeasedTask
from ws import limits
from ws.dispatch import Lus
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
from ws.placements import Placements


@attrs.define
class TaskLease:
    """A task lease as the WS keeps it. ``until``: its hard end, beyond which no renewal counts. ``placed``: the
    newest attempt that the LUS told of."""

    number: int
    job: BundleId
    task: int
    lus: str
    boot: str
    until: float
    placed: AttemptId | None = None
    cs_name: str = ""


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
        self._live: dict[str, int] = {}
        self._lus: dict[str, Lus] = {}
        self._lease: dict[int, TaskLease] = {}
        self._by_task: dict[tuple[BundleId, int], int] = {}
        self._clock: LeaseTable[int, tuple[str, str]] = LeaseTable(LUS_LEASE)
        self._placements = Placements()
        self._committed: dict[tuple[BundleId, int], str] = {}
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
        self._hold(entry, now)
        if entry.lus not in self._lus:
            self._meet(entry.lus, entry.boot)

    def restore_placement(self, entry: PlacementKnown, now: float) -> None:
        """A journalled placement: its CS may still answer."""
        self._place(entry, now)

    def restore_attempt(self, entry: AttemptLogged) -> None:
        """A journalled end of an attempt."""
        self._remember(self.jobs[entry.job], entry)

    def restore_answer(self, job: BundleId, task: int, sha256: str) -> None:
        """A journalled answer's digest: the same bytes offered again are the same answer."""
        self._committed[job, task] = sha256

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
        return [JobAdded(job), JobChanged(job.id), *self._grant(now)]

    def cancel(self, job: BundleId, reason: str, now: float) -> list[Instruction]:
        """End what has not ended. Raises RefusedError when everything has."""
        state = self.jobs[job]
        if state.ended:
            raise RefusedError("already-ended", f"job {job[:16]} is {state.summary()} already")
        return [*self._close(state, TaskState.CANCELLED, reason), *self._grant(now)]

    def fail(self, job: BundleId, reason: str, now: float) -> list[Instruction]:
        """End what has not ended, for a reason that is nobody's wish; nothing when everything has."""
        state = self.jobs[job]
        if state.ended:
            return []
        return [*self._close(state, TaskState.FAILED, reason), *self._grant(now)]

    def _close(self, state: JobState, end: TaskState, reason: str) -> list[Instruction]:
        job = state.job.id
        event = TaskEvent.CANCEL if end is TaskState.CANCELLED else TaskEvent.FAIL
        numbers = [self._by_task[job, task] for task in state.close(event, reason)]
        told = self._tell_ended(numbers, end.name.lower(), reason)
        entries: list[Instruction] = [JobClosed(job, end, reason)]
        entries += [self._end_lease(number) for number in numbers]
        self._forget(state)
        return [*entries, *told, JobChanged(job)]

    # --- LUSs ---------------------------------------------------------------------------------------

    def lus_opened(self, lus: str, boot: str, now: float) -> list[Instruction]:
        """A LUS connected. A new boot id proves its old process dead: what that held is open again."""
        known = self._lus.get(lus)
        instructions: list[Instruction] = []
        if known is None or known.boot != boot:
            dead = self._clock.held((lus, known.boot)) if known is not None else ()
            for number in sorted(dead):
                instructions += self._reopen(number)
            known = self._meet(lus, boot)
        known.connected, known.want, known.since = True, 0, self._next_lease
        return [*instructions, *self._grant(now)]

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
        known = self._lus.pop(lus)
        instructions: list[Instruction] = []
        for number in sorted(self._clock.held((lus, known.boot))):
            instructions += self._reopen(number)
        return [*instructions, *self._grant(now)]

    def want(self, lus: str, outstanding: int, epoch: int, now: float) -> list[Instruction]:
        """How many leases this LUS can use, all in all."""
        known = self._lus[lus]
        known.want = min(outstanding, limits.OUTSTANDING)
        known.now_at(epoch)
        return self._grant(now)

    def renew(
        self, lus: str, leases: Iterable[int], upto: int, now: float
    ) -> tuple[list[int], list[Instruction]]:
        """The LUS lists what it holds. Returns which of that has ended, and instructions.

        What it was granted and does not list is given back by that: numbers up to ``upto``, the highest that ever
        reached it, and those granted before its present session, which were lost with the one before.
        """
        known = self._lus[lus]
        holder, listed = (lus, known.boot), set(leases)
        self._clock.renew(holder, now)
        instructions: list[Instruction] = []
        for number in sorted(self._clock.held(holder)):
            given_back = number not in listed and (number <= upto or number < known.since)
            if given_back or now >= self._lease[number].until:
                instructions += self._reopen(number)
        return sorted(listed - self._clock.held(holder)), [*instructions, *self._grant(now)]

    def returned(
        self, lus: str, job: BundleId, leases: Iterable[int], why: Blocked, now: float
    ) -> list[Instruction]:
        """No CS of this LUS takes the job now; it is offered again when the LUS's epoch has changed."""
        instructions: list[Instruction] = []
        for number in leases:
            if self._holds(lus, number) and self._lease[number].job == job:
                instructions += self._reopen(number)
        if instructions:
            blocked = self.jobs[job].blocked
            blocked.pop(lus, None)
            blocked[lus] = why
            self._lus[lus].set_aside(job, why.epoch)
            instructions.append(JobChanged(job))
        return [*instructions, *self._grant(now)]

    def placed(self, lus: str, attempt: AttemptId, cs: str, cs_name: str, now: float) -> list[Instruction]:
        """The LUS is about to start the attempt on that CS. Raises RefusedError when the lease is not its."""
        number = attempt.fence.lease
        if self._placements.get(attempt) is not None:
            return []
        lease = self._lease.get(number)
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
        entry = self._placements.entry(attempt, cs, cs_name)
        self._place(entry, now)
        self.jobs[lease.job].blocked.pop(lus, None)
        return [entry, JobChanged(lease.job)]

    def _place(self, entry: PlacementKnown, now: float) -> None:
        self._placements.know(entry)
        lease = self._lease.get(entry.attempt.fence.lease)
        if lease is not None and (lease.placed is None or lease.placed < entry.attempt):
            lease.placed, lease.cs_name = entry.attempt, entry.cs_name
            lease.until = now + self.jobs[lease.job].job.brief.needs.wall_time + limits.ATTEMPT_GRACE

    # --- attempts -----------------------------------------------------------------------------------

    def attempt_ended(
        self, lus: str, attempt: AttemptId, cs: str, kind: str, detail: str, now: float
    ) -> list[Instruction]:
        """An attempt ended without an answer. Needs the current fence: raises RefusedError if it is stale."""
        lease = self._lease.get(attempt.fence.lease)
        if lease is None or not self._holds(lus, lease.number) or lease.placed != attempt:
            raise RefusedError("stale-fence", "this attempt is not the current one; its end changes nothing")
        placement = self._placements.get(attempt)
        if placement is None or placement.cs != cs:
            raise RefusedError("wrong-cs", "this attempt was placed on another CS")
        counted = kind if kind in ("failed", "vanished") else ""
        entry = AttemptLogged(lease.job, lease.task, counted, cs, lease.cs_name, detail)
        state = self.jobs[lease.job]
        story = self._remember(state, entry)
        verdict = story.verdict(state.job.attempts)
        if verdict:
            state.move(lease.task, TaskEvent.FAIL)
            ended = TaskEnded(lease.job, lease.task, TaskState.FAILED, verdict)
            closed = self._end_lease(lease.number)
            self._forget_task(state, lease.task)
            return [entry, ended, closed, JobChanged(lease.job), *self._grant(now)]
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
        placement = self._placements.get(attempt)
        if placement is None or placement.cs != cs:
            return Verdict(
                "refused", "not-placed", "no LUS that held the lease said that it places this attempt there"
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
        instructions: list[Instruction] = [TaskEnded(job, task, TaskState.COMMITTED, answer=answer)]
        number = self._by_task.get((job, task))
        if number is not None:
            if number != answer.attempt.fence.lease or self._lease[number].placed != answer.attempt:
                told = self._tell_ended([number], "answered", "another attempt's answer was committed")
            else:
                told = []
            instructions += [self._end_lease(number), *told]
        self._forget_task(self.jobs[job], task)
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
        return [*instructions, *self._grant(now), *self._tell_unserved(now)]

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
        number = self._by_task.get((job, task))
        return None if number is None else self._lease[number]

    def cs_name(self, attempt: AttemptId) -> str:
        """The name of the CS on which the attempt was placed; empty when its task has ended."""
        placement = self._placements.get(attempt)
        return placement.cs_name if placement is not None else ""

    def why_unserved(self) -> str:
        """What keeps every open task waiting, whatever it needs; empty when nothing does."""
        connected = [lus for lus in self._lus.values() if lus.connected]
        if not connected:
            return "no lookup server is connected"
        return (
            "" if any(lus.want for lus in connected) else "no lookup server has a compute server at present"
        )

    def connected(self) -> int:
        """How many LUSs are connected."""
        return sum(lus.connected for lus in self._lus.values())

    # --- inner --------------------------------------------------------------------------------------

    def _know(self, state: JobState) -> None:
        job = state.job.id
        self.jobs[job] = state
        if not state.ended:
            self._live[state.job.user] = self._live.get(state.job.user, 0) + 1
            heapq.heappush(self._not_after, (state.job.not_after, job))
        if state.open:
            self._offer(job)

    def _meet(self, lus: str, boot: str) -> Lus:
        known = self._lus[lus] = Lus(boot)
        for job, state in self.jobs.items():
            state.blocked.pop(lus, None)
            if state.open:
                known.offer([job])
        return known

    def _offer(self, job: BundleId) -> None:
        for lus in self._lus.values():
            lus.offer([job])

    def _forget_task(self, state: JobState, task: int) -> None:
        """A task ended: nobody may answer it any more."""
        self._placements.forget_task(state.job.id, task)
        if state.ended:
            self._forget(state)

    def _forget(self, state: JobState) -> None:
        """A job ended, just now."""
        self._placements.forget(state.job.id)
        state.blocked.clear()
        for lus in self._lus.values():
            lus.forget(state.job.id)
        left = self._live[state.job.user] - 1
        if left:
            self._live[state.job.user] = left
        else:
            del self._live[state.job.user]

    def _holds(self, lus: str, number: int) -> bool:
        known = self._lus.get(lus)
        return known is not None and self._clock.holder(number) == (lus, known.boot)

    def _hold(self, entry: LeaseGranted, now: float) -> None:
        lease = TaskLease(entry.number, entry.job, entry.task, entry.lus, entry.boot, now + limits.UNPLACED)
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
        self._offer(lease.job)
        return [self._end_lease(number), JobChanged(lease.job)]

    def _tell_ended(self, numbers: Iterable[int], code: str, sentence: str) -> list[SendLeaseEnded]:
        by_lus: dict[str, list[int]] = {}
        for number in numbers:
            by_lus.setdefault(self._lease[number].lus, []).append(number)
        return [SendLeaseEnded(lus, tuple(of_lus), code, sentence) for lus, of_lus in by_lus.items()]

    def _remember(self, state: JobState, entry: AttemptLogged) -> Story:
        story = state.stories.setdefault(entry.task, Story())
        story.note(entry.counted, entry.cs, entry.cs_name, entry.detail)
        return story

    def _grant(self, now: float) -> list[Instruction]:
        """Gives open tasks to the LUSs that want some: LUSs in turn, jobs in turn."""
        instructions: list[Instruction] = []
        for lus_id in tuple(self._lus):
            lus = self._lus[lus_id]
            before = len(instructions)
            while lus.connected and lus.ready and (room := self._room(lus_id, lus)) > 0:
                instructions += self._grant_to(lus_id, lus, min(room, limits.GRANT), now)
            if len(instructions) > before:
                self._lus[lus_id] = self._lus.pop(lus_id)
        return instructions

    def _room(self, lus_id: str, lus: Lus) -> int:
        return lus.want - self._clock.count((lus_id, lus.boot))

    def _grant_to(self, lus_id: str, lus: Lus, room: int, now: float) -> list[Instruction]:
        """One round of the jobs. Numbers rise from word to word: a LUS takes a lower one for one that it had."""
        entries: list[Instruction] = []
        words: list[Instruction] = []
        share = max(1, room // lus.ready)
        for _ in range(min(lus.ready, room)):
            job = lus.next()
            granted = self._take(job, lus_id, lus.boot, share, now)
            if not self.jobs[job].open:
                lus.forget(job)
            if granted:
                entries += granted
                words.append(self._word(lus_id, job, granted))
        return [*entries, *words]

    def _take(self, job: BundleId, lus: str, boot: str, most: int, now: float) -> list[LeaseGranted]:
        granted: list[LeaseGranted] = []
        while len(granted) < most and (task := self.jobs[job].take()) is not None:
            granted.append(LeaseGranted(self._next_lease, job, task, lus, boot))
            self._next_lease += 1
            self._hold(granted[-1], now)
        return granted

    def _word(self, lus: str, job: BundleId, granted: list[LeaseGranted]) -> SendGrant:
        state = self.jobs[job]
        tasks = (
            LeasedTask(each.number, each.task, tuple(state.stories[each.task].avoid))
            if each.task in state.stories
            else LeasedTask(each.number, each.task)
            for each in granted
        )
        return SendGrant(lus, self.generation, state.job.brief, tuple(tasks))
