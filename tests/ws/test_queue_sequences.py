"""The queue under any sequence of events, restarts from its journal included."""

from __future__ import annotations

import sqlite3

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from invariants import check_queue, check_reasons
from samples import CS1, CS2, A, B, C, job

from rjs.attempts import AttemptId, Fence
from rjs.errors import RefusedError
from rjs.ids import BundleId
from rjs.jobs import ENDED, TaskState
from ws import store
from ws.instructions import Answer, Instruction, LeaseGranted, SendGrant, TaskEnded, Word
from ws.job import Blocked
from ws.queue import Queue

LUSES = st.sampled_from(["k", "l"])
CSS = st.sampled_from([CS1, CS2])
SIZES = {A: 1, B: 3, C: 6}
ATTEMPTS = {A: 1, B: 3, C: 10}


class Events(RuleBasedStateMachine):
    """Every event, by LUSs that hold and tell what they like. Entries are journalled as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        for each in store.MIGRATIONS:
            self.db.executescript(each)
        self.queue = Queue(1)
        self.now = 0.0
        self.ended: dict[tuple[BundleId, int], TaskState] = {}
        self.boots: dict[str, int] = {}
        self.attempts: list[tuple[AttemptId, str]] = []
        self.sequence = 0
        self.granted = 0

    def perform(self, instructions: list[Instruction]) -> None:
        store.persist(self.db, [each for each in instructions if not isinstance(each, Word)])
        for each in instructions:
            if isinstance(each, LeaseGranted):
                assert each.number > self.granted, "a lease number came twice"
                self.granted = each.number
                lus = self.queue._lus[each.lus]
                assert self.queue.leases.count(each.lus, lus.boot) <= lus.want
            elif isinstance(each, TaskEnded):
                assert (each.job, each.task) not in self.ended, "a task ended twice"
                self.ended[each.job, each.task] = each.state
            elif isinstance(each, SendGrant):
                assert self.queue._lus[each.lus].connected

    @rule(of=st.sampled_from([A, B, C]), life=st.sampled_from([100.0, 1e9]))
    def add(self, of: BundleId, life: float) -> None:
        if of not in self.queue.jobs:
            made = job(of, SIZES[of], not_after=self.now + life, attempts=ATTEMPTS[of])
            self.perform(self.queue.add_job(made, self.now))

    @rule(of=st.sampled_from([A, B, C]))
    def cancel(self, of: BundleId) -> None:
        if of in self.queue.jobs and not self.queue.jobs[of].ended:
            self.perform(self.queue.cancel(of, "cancelled by ada", self.now))

    @rule(lus=LUSES, again=st.booleans())
    def opened(self, lus: str, again: bool) -> None:
        boot = self.boots[lus] = self.boots.get(lus, 0) + (not again)
        self.perform(self.queue.lus_opened(lus, f"b{boot}", self.now))

    @rule(lus=LUSES)
    def closed(self, lus: str) -> None:
        self.perform(self.queue.lus_closed(lus, f"b{self.boots.get(lus, 0)}"))

    def known(self, lus: str) -> bool:
        return lus in self.queue._lus and self.queue._lus[lus].connected

    @rule(lus=LUSES, want=st.integers(0, 8), epoch=st.integers(0, 3))
    def want(self, lus: str, want: int, epoch: int) -> None:
        if self.known(lus):
            self.perform(self.queue.want(lus, want, epoch, self.now))

    @rule(lus=LUSES, data=st.data(), upto=st.integers(0, 40))
    def renew(self, lus: str, data: st.DataObject, upto: int) -> None:
        if self.known(lus):
            listed = data.draw(st.sets(st.integers(0, self.granted)))
            ended, instructions = self.queue.renew(lus, listed, upto, self.now)
            self.perform(instructions)
            assert set(ended) == {number for number in listed if number not in self.holds(lus)}

    def holds(self, lus: str) -> set[int]:
        boot = self.queue._lus[lus].boot
        return {each.number for each in self.queue.leases.all() if (each.lus, each.boot) == (lus, boot)}

    @rule(lus=LUSES, of=st.sampled_from([A, B, C]), data=st.data(), epoch=st.integers(0, 4))
    def returned(self, lus: str, of: BundleId, data: st.DataObject, epoch: int) -> None:
        if self.known(lus):
            numbers = data.draw(st.sets(st.integers(0, self.granted + 1)))
            why = Blocked(epoch, "no-cs", "no compute server is registered here")
            self.perform(self.queue.returned(lus, of, numbers, why, self.now))

    @precondition(lambda self: len(self.queue.leases) > 0)
    @rule(lus=LUSES, data=st.data(), cs=CSS)
    def placed(self, lus: str, data: st.DataObject, cs: str) -> None:
        lease = data.draw(st.sampled_from(self.queue.leases.all()))
        self.sequence += 1
        made = AttemptId(lease.job, lease.task, Fence(1, lease.number, self.sequence))
        try:
            self.perform(self.queue.placed(lus, made, cs, "cs", self.now))
        except RefusedError:
            assert lease.number not in (self.holds(lus) if lus in self.queue._lus else ())
        else:
            self.attempts.append((made, cs))

    @precondition(lambda self: self.attempts)
    @rule(lus=LUSES, data=st.data(), kind=st.sampled_from(["failed", "vanished", "returned"]), cs=CSS)
    def attempt_ended(self, lus: str, data: st.DataObject, kind: str, cs: str) -> None:
        made, at = data.draw(st.sampled_from(self.attempts))
        lease = self.queue.leases.get(made.fence.lease)
        try:
            self.perform(self.queue.attempt_ended(lus, made, cs, kind, "why", self.now))
        except RefusedError:
            return
        assert lease is not None
        assert (lease.placed, at) == (made, cs)
        assert self.queue.leases.get(lease.number) is None

    @precondition(lambda self: self.attempts)
    @rule(lus=LUSES, data=st.data(), cs=CSS, whole=st.booleans())
    def adopt(self, lus: str, data: st.DataObject, cs: str, whole: bool) -> None:
        if not self.known(lus):
            return
        told = tuple(data.draw(st.lists(st.sampled_from(self.attempts), max_size=3)))
        ends = {made: self.queue.jobs[BundleId(made.job)].state(made.task) for made, _ in told}
        living = {each.placed for each in self.queue.leases.all()}
        reply, instructions = self.queue.adopt(lus, cs, tuple(made for made, _ in told), whole, self.now)
        self.perform(instructions)
        for made in reply.leased:
            assert ends[made] not in ENDED
            assert (made, cs) in told
            assert made.fence.lease in self.holds(lus)
            assert made in living or ends[made] is TaskState.OPEN
        assert {each.job for each in reply.jobs} == {made.job for made in reply.leased}
        assert not set(reply.leased) & set(reply.ended)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), cs=CSS, sha256=st.sampled_from(["d1" * 32, "d2" * 32]))
    def commit(self, data: st.DataObject, cs: str, sha256: str) -> None:
        made, at = data.draw(st.sampled_from(self.attempts))
        before = self.queue.jobs[BundleId(made.job)].state(made.task)
        offered = Answer(made, cs, "cs", sha256, 2, b"{}", "")
        verdict, instructions = self.queue.commit(offered, self.now)
        self.perform(instructions)
        assert bool(instructions) == (before not in ENDED and at == cs)
        refused = at != cs if before not in ENDED else before is not TaskState.COMMITTED
        assert (verdict.verdict == "refused") == refused

    @rule(seconds=st.sampled_from([0.5, 1.5, 1.5, 1.5, 70.0]))
    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.perform(self.queue.tick(self.now, self.now))

    @rule()
    def restart(self) -> None:
        """kill -9 and a start: everything but connections and reasons is as it was."""
        before, self.queue = self.queue, store.load_queue(self.db, self.now)
        for of, state in before.jobs.items():
            assert self.queue.jobs[of].job == state.job
            assert self.queue.jobs[of].states == state.states
            for task, story in state.stories.items():
                assert self.queue.jobs[of].stories[task] == story
        assert placements(self.queue) == placements(before)
        assert leases(self.queue) == leases(before)
        assert self.queue._verdicts._committed == before._verdicts._committed
        assert self.queue.leases.next_number == before.leases.next_number

    @invariant()
    def sound(self) -> None:
        check_queue(self.queue)
        for (of, task), end in self.ended.items():
            assert self.queue.jobs[of].state(task) is end, "an ended task changed"

    @invariant()
    def explained(self) -> None:
        check_reasons(self.queue, self.now)


def placements(queue: Queue) -> list[tuple[AttemptId, str, str]]:
    tasks = [task for of_job in queue._placements._known.values() for task in of_job.values()]
    return sorted((each.attempt, each.cs, each.cs_name) for task in tasks for each in task.values())


def leases(queue: Queue) -> dict[int, tuple[str, str, AttemptId | None]]:
    return {each.number: (each.lus, each.boot, each.placed) for each in queue.leases.all()}


TestEvents = Events.TestCase
TestEvents.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
