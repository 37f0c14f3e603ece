"""What runs on while its LUS is gone: who may have it, and what is told to whom."""

from __future__ import annotations

import pytest
from invariants import check_queue
from samples import CS1, CS2, A, B, attempt, brief, job

from rjs.attempts import AttemptId
from rjs.jobs import TaskState
from rjs.limits import LUS_LEASE
from rjs.wire.messages import LeasedTask, TaskAdopted
from ws import limits
from ws.instructions import (
    Answer,
    Instruction,
    JobChanged,
    LeaseAdopted,
    LeaseClosed,
    LeaseGranted,
    SendGrant,
    SendLeaseEnded,
)
from ws.queue import Queue

FIRST = attempt(1)
LEASED = TaskAdopted(leased=(FIRST,), jobs=(brief(),))
ENDED = TaskAdopted(ended=(FIRST,))
RUNS_ON = TaskAdopted()
END = limits.ATTEMPT_GRACE + 60.0
"""The hard end of what was placed at time 0."""


@pytest.fixture
def queue() -> Queue:
    """A job of two tasks; LUS l placed task 0 on CS1 under lease 1 and holds lease 2 for task 1; LUS k is there."""
    made = Queue(1)
    made.add_job(job(A), 0.0)
    for lus in ("l", "k"):
        made.lus_opened(lus, "b1", 0.0)
    made.want("l", 2, 1, 0.0)
    made.placed("l", FIRST, CS1, "cs1", 0.0)
    return made


def adopt(
    queue: Queue, lus: str = "l", cs: str = CS1, *told: AttemptId, whole: bool = False, now: float = 2.0
) -> tuple[TaskAdopted, list[Instruction]]:
    """A LUS asks for the first attempt, or for others."""
    reply, instructions = queue.adopt(lus, cs, told or (FIRST,), whole, now)
    check_queue(queue)
    return reply, instructions


def wait(queue: Queue, start: float, end: float) -> list[Instruction]:
    """Time passes without a word from any LUS."""
    said: list[Instruction] = []
    for now in range(int(start), int(end) + 1):
        said += queue.tick(float(now), 0.0)
    return said


def adopted(lus: str = "l", boot: str = "b1") -> LeaseAdopted:
    return LeaseAdopted(1, A, 0, lus, boot)


class TestARestartedLus:
    def test_what_was_placed_waits_for_it(self, queue: Queue) -> None:
        """Its new boot opens what nobody runs; the rest is its own again when a CS tells of it, fence and all."""
        assert queue.lus_opened("l", "b2", 1.0) == [LeaseClosed(2), JobChanged(A)]
        assert adopt(queue) == (LEASED, [adopted(boot="b2"), JobChanged(A)])
        assert queue.renew("l", [1], 1, 20.0) == ([], [])
        assert queue.attempt_ended("l", FIRST, CS1, "failed", "exit 1", 21.0)[1] == LeaseClosed(1)

    def test_until_then_it_has_no_say(self, queue: Queue) -> None:
        """It neither renews nor ends nor returns what its older process held."""
        queue.lus_opened("l", "b2", 1.0)
        assert queue.renew("l", [1], 1, 2.0) == ([1], [])
        lease = queue.lease_of(A, 0)
        assert lease is not None
        assert lease.boot == "b1"

    def test_asked_again_it_is_the_same(self, queue: Queue) -> None:
        """A reply may be lost with its session: the request is repeated and changes nothing."""
        queue.lus_opened("l", "b2", 1.0)
        adopt(queue)
        assert adopt(queue) == (LEASED, [])

    def test_what_nobody_adopts_lapses(self, queue: Queue) -> None:
        """One lease after the last renewal the task is open."""
        queue.lus_opened("l", "b2", 1.0)
        said = wait(queue, 1, LUS_LEASE - 1)
        assert LeaseClosed(1) not in said
        assert LeaseClosed(1) in wait(queue, LUS_LEASE, LUS_LEASE)

    def test_what_did_not_reach_its_cs_is_open_at_once(self, queue: Queue) -> None:
        """A CS that has nothing was told to start and did not hear it: nobody waits for that until the lease ends."""
        queue.lus_opened("l", "b2", 1.0)
        assert queue.adopt("l", CS1, (), True, 2.0) == (TaskAdopted(), [LeaseClosed(1), JobChanged(A)])
        assert adopt(queue) == (RUNS_ON, [])

    @pytest.mark.parametrize(("cs", "whole"), [(CS1, False), (CS2, True)])
    def test_silence_on_an_attempt_says_nothing_otherwise(self, queue: Queue, cs: str, whole: bool) -> None:
        """Not when the list is not all that the CS has, and not when another CS says nothing."""
        queue.lus_opened("l", "b2", 1.0)
        assert queue.adopt("l", cs, (), whole, 2.0) == (TaskAdopted(), [])

    def test_twice_restarted(self, queue: Queue) -> None:
        """What was placed two processes ago is adopted all the same."""
        for boot in ("b2", "b3"):
            queue.lus_opened("l", boot, 1.0)
        assert adopt(queue) == (LEASED, [adopted(boot="b3"), JobChanged(A)])


class TestAnotherLus:
    def test_the_cs_fell_over(self, queue: Queue) -> None:
        """The lease moves with the CS, and the LUS that held it is told that nothing is to be stopped."""
        reply, instructions = adopt(queue, "k")
        assert reply == LEASED
        assert instructions == [
            adopted("k"), SendLeaseEnded("l", (1,), "moved", "cs1 serves another LUS now"), JobChanged(A)
        ]  # fmt: skip
        assert queue.renew("l", [1, 2], 2, 3.0) == ([1], [])
        assert queue.renew("k", [1], 1, 3.0) == ([], [])

    def test_a_living_lus_keeps_what_a_cs_does_not_tell_of(self, queue: Queue) -> None:
        """Its start may be on the way: it finds out by itself."""
        queue.lus_closed("l", "b1")
        assert queue.adopt("k", CS1, (), True, 2.0) == (TaskAdopted(), [])

    def test_a_lus_that_may_have_restarted_keeps_it_too(self, queue: Queue) -> None:
        """After its own restart the WS knows no process to be dead until it has heard of a newer one."""
        again = Queue(1, 3)
        again.restore_job(job(A), (), None)
        again.restore_lease(LeaseGranted(1, A, 0, "l", "b1"), 0.0)
        again.restore_lease(LeaseGranted(2, A, 1, "l", "b2"), 0.0)
        again.restore_placement(queue._placements.entry(attempt(2, task=1), CS1, "cs1"), 0.0)
        again.lus_opened("k", "b1", 1.0)
        assert again.adopt("k", CS1, (), True, 2.0) == (TaskAdopted(), [])
        assert again.lus_opened("l", "b2", 3.0) == [LeaseClosed(1), JobChanged(A)]

    def test_no_lus_has_more_than_it_may(self, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
        """Adopting is no way around the cap of what one LUS may hold; what it holds it keeps."""
        monkeypatch.setattr(limits, "OUTSTANDING", 1)
        assert adopt(queue) == (LEASED, [])
        queue.placed("l", attempt(2, task=1), CS1, "cs1", 2.0)
        assert adopt(queue, "k")[0] == LEASED
        assert adopt(queue, "k", CS1, attempt(2, task=1)) == (RUNS_ON, [])


class TestALapse:
    @pytest.fixture
    def lapsed(self, queue: Queue) -> Queue:
        """Both leases have lapsed and nobody wants the tasks."""
        queue.want("l", 0, 1, 0.0)
        wait(queue, 1, LUS_LEASE)
        assert queue.leases.all() == []
        return queue

    def test_what_nobody_tries_otherwise_is_leased_again(self, lapsed: Queue) -> None:
        """The attempt runs on; its lease lives again under its own number, with its own hard end."""
        assert adopt(lapsed, now=70.0) == (LEASED, [adopted(), JobChanged(A)])
        assert lapsed.renew("l", [1], 1, END - 1) == ([], [])
        assert lapsed.renew("l", [1], 1, END)[0] == [1]

    def test_a_vanished_machine_that_is_back(self, queue: Queue) -> None:
        """So it is with a CS that was silent for longer than its lease, if nobody took the task meanwhile."""
        queue.want("l", 0, 1, 1.0)
        queue.attempt_ended("l", FIRST, CS1, "vanished", "it was silent", 1.0)
        assert adopt(queue) == (LEASED, [adopted(), JobChanged(A)])

    def test_what_another_tries_runs_on_as_well(self, lapsed: Queue) -> None:
        """The first valid answer wins, and then the other is stopped, through the LUS that told of it."""
        lapsed.want("k", 1, 1, 70.0)
        lapsed.placed("k", attempt(3), CS2, "cs2", 70.0)
        assert adopt(lapsed, now=71.0) == (RUNS_ON, [])
        _, instructions = lapsed.commit(Answer(attempt(3), CS2, "cs2", "d1", 2, b"{}", ""), 72.0)
        assert [each for each in instructions if isinstance(each, SendLeaseEnded)] == [
            SendLeaseEnded("l", (1,), "answered", "another attempt's answer was committed")
        ]
        assert adopt(lapsed, now=73.0) == (ENDED, [])

    def test_the_old_attempt_may_be_the_first(self, lapsed: Queue) -> None:
        """Its answer is committed, and the newer attempt is stopped."""
        lapsed.want("k", 1, 1, 70.0)
        lapsed.placed("k", attempt(3), CS2, "cs2", 70.0)
        adopt(lapsed, now=71.0)
        _, instructions = lapsed.commit(Answer(FIRST, CS1, "cs1", "d1", 2, b"{}", ""), 72.0)
        assert [each for each in instructions if isinstance(each, SendLeaseEnded)] == [
            SendLeaseEnded("k", (3,), "answered", "another attempt's answer was committed")
        ]

    def test_cancelling_stops_what_runs_without_a_lease(self, lapsed: Queue) -> None:
        """Whoever told of it hears that the job ended."""
        lapsed.want("k", 1, 1, 70.0)
        adopt(lapsed, now=71.0)
        ended = [each for each in lapsed.cancel(A, "why", 72.0) if isinstance(each, SendLeaseEnded)]
        assert sorted(ended, key=lambda each: each.lus) == [
            SendLeaseEnded("k", (3,), "cancelled", "why"), SendLeaseEnded("l", (1,), "cancelled", "why")
        ]  # fmt: skip

    def test_beyond_the_hard_end_nothing_runs(self, queue: Queue) -> None:
        """No lease, no word and no restart of a LUS makes an attempt live for longer."""
        queue.lus_opened("l", "b2", 1.0)
        assert adopt(queue, now=END - 1)[0] == LEASED
        assert adopt(queue, now=END)[0] == ENDED

    @pytest.mark.parametrize("kind", ["failed", "returned"])
    def test_an_attempt_that_has_ended_is_not_revived(self, queue: Queue, kind: str) -> None:
        """Else its end, told again, would count twice."""
        queue.want("l", 0, 1, 1.0)
        queue.attempt_ended("l", FIRST, CS1, kind, "exit 1", 1.0)
        assert adopt(queue) == (RUNS_ON, [])
        assert queue.jobs[A].state(0) is TaskState.OPEN

    def test_an_older_attempt_is_not_revived(self, lapsed: Queue) -> None:
        """Only the one with the newest fence is: an older one runs on."""
        lapsed.want("k", 1, 1, 70.0)
        lapsed.placed("k", attempt(3), CS2, "cs2", 70.0)
        lapsed.want("k", 0, 1, 70.0)
        lapsed.attempt_ended("k", attempt(3), CS2, "vanished", "it was silent", 71.0)
        assert adopt(lapsed, now=72.0) == (RUNS_ON, [])
        assert adopt(lapsed, "k", CS2, attempt(3), now=72.0)[0].leased == (attempt(3),)

    def test_a_new_start_has_a_higher_fence_than_all_before(self, lapsed: Queue) -> None:
        """Whatever lease lives again, what is leased anew has a number above all that ever were."""
        adopt(lapsed, now=70.0)
        lapsed.attempt_ended("l", FIRST, CS1, "failed", "exit 1", 71.0)
        assert lapsed.want("k", 1, 1, 72.0) == [
            LeaseGranted(3, A, 0, "k", "b1"), SendGrant("k", 1, brief(), (LeasedTask(3, 0, (CS1,)),))
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("cs", "told"),
    [
        (CS2, FIRST),
        (CS1, attempt(1, sequence=2)),
        (CS1, attempt(1, task=1)),
        (CS1, attempt(1, generation=2)),
        (CS1, attempt(2, task=1)),
        (CS1, attempt(1, task=7)),
        (CS1, attempt(1, B)),
    ],
    ids=[
        "another CS",
        "not placed",
        "another task",
        "a generation",
        "a lease that waits",
        "no task",
        "no job",
    ],
)
@pytest.mark.parametrize("lus", ["l", "k"])
def test_what_was_not_placed_there_is_nobodys(queue: Queue, lus: str, cs: str, told: AttemptId) -> None:
    """Whoever asks: it is to be stopped, for no answer of it would count, and nothing changes here."""
    assert adopt(queue, lus, cs, told) == (TaskAdopted(ended=(told,)), [])
