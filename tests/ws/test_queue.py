"""The queue's rules, event by event: each test compares the whole list of instructions."""

from __future__ import annotations

import attrs
import pytest
from samples import CS1, CS2, A, B, C, attempt, brief, job

from rjs.attempts import AttemptId
from rjs.errors import IllegalTransitionError, RefusedError
from rjs.ids import BundleId
from rjs.jobs import TaskEvent, TaskState
from rjs.limits import LUS_LEASE
from rjs.wire.messages import LeasedTask
from ws import limits
from ws.instructions import (
    Answer,
    AnswerReady,
    AttemptLogged,
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
from ws.job import Blocked
from ws.queue import Queue
from ws.verdicts import COMMITTED, DUPLICATE
from ws.why import line

WHY = Blocked(1, "not-accepted", "nobody trusts the signer")


def granted(number: int, task: int, of: BundleId = A, lus: str = "l", boot: str = "b1") -> LeaseGranted:
    return LeaseGranted(number, of, task, lus, boot)


def word(*tasks: LeasedTask, of: BundleId = A, count: int = 2, lus: str = "l") -> SendGrant:
    return SendGrant(lus, 1, brief(of, count), tasks)


def answer(of: AttemptId, cs: str = CS1, sha256: str = "d1" * 32) -> Answer:
    return Answer(of, cs, "cs", sha256, 2, b"{}", "")


def placed(number: int, of: BundleId = A, task: int = 0, sequence: int = 1) -> PlacementKnown:
    return PlacementKnown(attempt(number, of, task, sequence), CS1, "cs1")


@pytest.fixture
def queue() -> Queue:
    """A job of two tasks and a LUS that wants both of them at epoch 1; it has leases 1 and 2."""
    made = Queue(1)
    made.add_job(job(A), 0.0)
    made.lus_opened("l", "b1", 0.0)
    made.want("l", 2, 1, 0.0)
    return made


def place(queue: Queue, number: int, task: int = 0, sequence: int = 1, cs: str = CS1) -> AttemptId:
    made = attempt(number, A, task, sequence)
    queue.placed("l", made, cs, "cs1", 0.0)
    return made


def current(queue: Queue, task: int = 0) -> int:
    """The number of the task's lease."""
    lease = queue.lease_of(A, task)
    assert lease is not None
    return lease.number


def open_tasks(queue: Queue, of: BundleId = A) -> list[int]:
    return [task for task, each in enumerate(queue.jobs[of].states) if each == TaskState.OPEN]


class TestJobs:
    def test_a_new_job_is_journalled_and_offered(self) -> None:
        """With nobody there, a job is added and its status is told."""
        assert Queue(1).add_job(job(A), 0.0) == [JobAdded(job(A)), JobChanged(A)]

    def test_a_job_for_a_waiting_lus_is_leased_at_once(self) -> None:
        """No polling: the job's arrival is the event that leases its tasks, entries before words."""
        queue = Queue(1, next_lease=7)
        queue.lus_opened("l", "b1", 0.0)
        queue.want("l", 5, 1, 0.0)
        assert queue.add_job(job(A), 0.0) == [
            JobAdded(job(A)), JobChanged(A), granted(7, 0), granted(8, 1), word(LeasedTask(7, 0), LeasedTask(8, 1)),
        ]  # fmt: skip

    def test_a_bundle_is_a_job_once(self, queue: Queue) -> None:
        """A second upload hears under which name it was accepted."""
        with pytest.raises(RefusedError, match=r"aaaa\.jar\); sign again to run again"):
            queue.add_job(job(A, user="bob"), 1.0)

    def test_cancelling_ends_every_task_and_stops_what_runs(self, queue: Queue) -> None:
        """One entry closes the job, each lease ends, and the LUS is told once."""
        place(queue, 1)
        assert queue.cancel(A, "cancelled by ada", 1.0) == [
            JobClosed(A, TaskState.CANCELLED, "cancelled by ada"), LeaseClosed(1), LeaseClosed(2),
            SendLeaseEnded("l", (1, 2), "cancelled", "cancelled by ada"), JobChanged(A),
        ]  # fmt: skip
        assert queue.jobs[A].line().state == "cancelled"
        with pytest.raises(RefusedError, match="is cancelled already"):
            queue.cancel(A, "again", 2.0)

    def test_cancelling_makes_room_for_other_jobs(self, queue: Queue) -> None:
        """What the LUS can use meanwhile, it gets with the same event."""
        queue.add_job(job(B, 1), 1.0)
        assert queue.cancel(A, "why", 1.0)[-2:] == [granted(3, 0, B), word(LeasedTask(3, 0), of=B, count=1)]

    def test_an_expired_bundle_fails_visibly(self) -> None:
        """At not-after what has not ended is failed with a reason that says what to do."""
        queue = Queue(1)
        queue.add_job(job(A, 3, not_after=100.0), 0.0)
        assert queue.tick(1.0, wall=99.9) == []
        closed, changed = queue.tick(2.0, wall=100.0)
        assert isinstance(closed, JobClosed)
        assert (closed.job, closed.state, changed) == (A, TaskState.FAILED, JobChanged(A))
        assert "sign again" in closed.reason
        assert queue.tick(3.0, wall=200.0) == []

    def test_a_user_has_so_many_jobs_and_not_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Only jobs that have not ended count, each user's for that user, all for everyone."""
        monkeypatch.setattr(limits, "USER_JOBS", 1)
        monkeypatch.setattr(limits, "JOBS", 2)
        queue = Queue(1)
        queue.add_job(job(A), 0.0)
        with pytest.raises(RefusedError, match="too-many-jobs: you have 1 jobs"):
            queue.admit("ada")
        queue.admit("bob")
        queue.add_job(job(B, user="bob"), 0.0)
        with pytest.raises(RefusedError, match="queue-full"):
            queue.admit("carl")
        queue.cancel(A, "why", 1.0)
        queue.admit("ada")


class TestLeases:
    def test_a_lus_gets_what_it_wants(self) -> None:
        """Numbers rise, tasks come in order, and no more than wanted."""
        queue = Queue(1)
        queue.add_job(job(A, 3), 0.0)
        assert queue.lus_opened("l", "b1", 0.0) == []
        assert queue.want("l", 2, 1, 0.0) == [
            granted(1, 0), granted(2, 1), word(LeasedTask(1, 0), LeasedTask(2, 1), count=3)
        ]  # fmt: skip
        assert queue.want("l", 2, 1, 1.0) == []

    def test_jobs_take_turns(self) -> None:
        """A large job does not keep a small one waiting."""
        queue = Queue(1)
        queue.add_job(job(A, 100), 0.0)
        queue.add_job(job(B, 100), 0.0)
        queue.lus_opened("l", "b1", 0.0)
        queue.want("l", 4, 1, 0.0)
        assert [each.job for each in queue.leases.all()] == [A, A, B, B]
        queue.want("l", 6, 1, 0.0)
        assert [each.job for each in queue.leases.all()][4:] == [A, B]

    def test_luses_take_turns(self) -> None:
        """The LUS that was granted something last comes last."""
        queue = Queue(1)
        for lus in ("l", "k"):
            queue.lus_opened(lus, "b1", 0.0)
            queue.want(lus, 10, 1, 0.0)
        for number, each in enumerate((A, B, C), 1):
            queue.add_job(job(each, 1), 0.0)
            assert queue.leases.all()[number - 1].lus == ("l", "k", "l")[number - 1]

    def test_all_that_is_wanted_is_granted_at_once(self) -> None:
        """A large wish is met in several words, whose numbers rise, without waiting for another event."""
        queue = Queue(1)
        queue.add_job(job(A, 1000), 0.0)
        queue.add_job(job(B, 1000), 0.0)
        queue.lus_opened("l", "b1", 0.0)
        words = [each for each in queue.want("l", 1500, 1, 0.0) if isinstance(each, SendGrant)]
        numbers = [each.lease for grant in words for each in grant.tasks]
        assert numbers == list(range(1, 1501))
        assert max(len(grant.tasks) for grant in words) <= limits.GRANT

    def test_a_hostile_wish_is_capped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No LUS can lease the whole queue."""
        monkeypatch.setattr(limits, "OUTSTANDING", 5)
        queue = Queue(1)
        queue.add_job(job(A, 100), 0.0)
        queue.lus_opened("l", "b1", 0.0)
        queue.want("l", 100_000, 1, 0.0)
        assert len(queue.leases) == 5

    def test_a_broken_connection_ends_no_lease(self, queue: Queue) -> None:
        """Nothing is granted to who is away, and nothing is taken from it."""
        queue.add_job(job(B, 1), 1.0)
        assert queue.lus_closed("l", "b1") == []
        assert queue.want("l", 3, 1, 2.0) == []
        assert queue.lease_of(A, 0) is not None

    def test_a_job_that_nobody_serves_says_so(self, queue: Queue) -> None:
        """Without a LUS, or with none that has a CS, waiting jobs say it, before what a LUS said that left."""
        queue.add_job(job(B, 1), 0.0)
        assert queue.why_unserved() == ""
        queue.lus_closed("l", "b1")
        assert queue.why_unserved() == "no lookup server is connected"
        queue.jobs[B].blocked["l"] = WHY
        assert line(queue, queue.jobs[B]).reason == "no lookup server is connected"
        assert line(queue, queue.jobs[A]).reason == ""  # nothing of it waits
        queue.lus_opened("l", "b1", 1.0)
        assert queue.why_unserved() == "no lookup server has a compute server at present"
        queue.want("l", 2, 1, 1.0)
        assert line(queue, queue.jobs[B]).reason == WHY.sentence

    def test_a_lus_that_comes_and_goes_changes_the_status_of_all_jobs_now_and_then(
        self, queue: Queue
    ) -> None:
        """Every job that waits is told anew, and no more often than the cap says."""
        queue.add_job(job(B, 1), 0.0)
        queue.tick(0.0, 0.0)  # a LUS with a CS came since the start
        told = 0
        for now in range(1, 61):
            queue.lus_closed("l", "b1") if now % 2 else queue.lus_opened("l", "b1", float(now))
            told += queue.tick(float(now), 0.0).count(JobChanged(B))
        assert 4 <= told <= 6

    def test_the_end_of_an_older_process_disconnects_nobody(self, queue: Queue) -> None:
        """A late notice of a dead process's connection says nothing of the new one."""
        queue.lus_opened("l", "b2", 1.0)
        queue.lus_closed("l", "b1")
        assert len(queue.dispatch.connected()) == 1

    def test_a_new_boot_proves_the_old_process_dead(self, queue: Queue) -> None:
        """What it placed nowhere is open again at once, and granted under new numbers once it is wanted."""
        assert queue.lus_opened("l", "b2", 1.0) == [
            LeaseClosed(1), JobChanged(A), LeaseClosed(2), JobChanged(A)
        ]  # fmt: skip
        assert queue.want("l", 1, 0, 1.0) == [granted(3, 0, boot="b2"), word(LeasedTask(3, 0))]

    def test_what_a_dead_process_gave_back_is_offered_to_the_next_one(self, queue: Queue) -> None:
        """Its reasons died with it, though the next process counts its epochs from the same start."""
        queue.returned("l", A, [1, 2], WHY, 1.0)
        assert line(queue, queue.jobs[A]).reason == WHY.sentence
        queue.lus_opened("l", "b2", 2.0)
        assert line(queue, queue.jobs[A]).reason == "no lookup server has a compute server at present"
        assert queue.jobs[A].blocked == {}
        assert queue.want("l", 1, WHY.epoch, 2.0) == [granted(3, 0, boot="b2"), word(LeasedTask(3, 0))]

    def test_renewing_keeps_what_is_listed(self, queue: Queue) -> None:
        """A lease lives while its LUS lists it, and lapses one lease after the last time."""
        for now in range(300):
            if now % 20 == 0:
                assert queue.renew("l", [1, 2], 2, float(now)) == ([], [])
            assert queue.tick(float(now), 0.0) == []
        until = int(280 + LUS_LEASE)
        assert all(queue.tick(float(now), 0.0) == [] for now in range(300, until))
        assert LeaseClosed(1) in queue.tick(float(until), 0.0)

    def test_what_is_not_listed_is_given_back(self, queue: Queue) -> None:
        """A lease that reached the LUS and is not listed is over, and offered anew."""
        ended, instructions = queue.renew("l", [2], 2, 1.0)
        assert ended == []
        assert instructions == [LeaseClosed(1), JobChanged(A), granted(3, 0), word(LeasedTask(3, 0))]

    def test_a_grant_on_its_way_is_not_given_back(self, queue: Queue) -> None:
        """Numbers above what reached the LUS are under way in this session."""
        assert queue.renew("l", [], 0, 1.0) == ([], [])

    def test_a_grant_lost_with_its_session_comes_back(self, queue: Queue) -> None:
        """What was granted before this session and is not listed was lost, whatever the LUS has ever heard."""
        queue.lus_closed("l", "b1")
        queue.lus_opened("l", "b1", 1.0)
        queue.want("l", 2, 1, 1.0)
        _, instructions = queue.renew("l", [], 0, 1.0)
        assert instructions == [
            LeaseClosed(1), JobChanged(A), LeaseClosed(2), JobChanged(A), granted(3, 0), granted(4, 1),
            word(LeasedTask(3, 0), LeasedTask(4, 1)),
        ]  # fmt: skip

    def test_the_lus_hears_what_has_ended(self, queue: Queue) -> None:
        """Of what it lists, it is told what it does not hold, other LUSs' leases too."""
        queue.cancel(A, "why", 1.0)
        assert queue.renew("l", [1, 2, 99], 99, 2.0) == ([1, 2, 99], [])

    def test_a_lease_has_a_hard_end(self, queue: Queue) -> None:
        """Renewed without end, it ends all the same: its task's wall time and a grace after it was placed."""
        place(queue, 1)
        last = 60.0 + limits.ATTEMPT_GRACE
        assert queue.renew("l", [1, 2], 2, last - 0.1) == ([], [])
        ended, instructions = queue.renew("l", [1, 2], 2, last)
        assert (ended, instructions[0]) == ([1], LeaseClosed(1))
        assert queue.lease_of(A, 1) is not None

    def test_a_lease_that_nobody_places_goes_back(self, queue: Queue) -> None:
        """Another LUS gets its chance with a task that was never placed."""
        assert queue.renew("l", [1, 2], 2, limits.UNPLACED)[0] == [1, 2]


class TestReturned:
    def test_a_returned_job_waits_for_a_new_epoch(self, queue: Queue) -> None:
        """It is not offered to this LUS again before a CS came or changed there, and status says why."""
        assert queue.returned("l", A, [1, 2], WHY, 1.0) == [
            LeaseClosed(1), JobChanged(A), LeaseClosed(2), JobChanged(A), JobChanged(A)
        ]  # fmt: skip
        assert line(queue, queue.jobs[A]).reason == WHY.sentence
        assert queue.want("l", 9, 1, 2.0) == []
        assert queue.want("l", 1, 2, 3.0) == [granted(3, 0), word(LeasedTask(3, 0))]

    def test_another_lus_may_have_it_at_once(self, queue: Queue) -> None:
        """One LUS's reason is no other's."""
        queue.lus_opened("k", "b1", 1.0)
        queue.want("k", 1, 0, 1.0)
        assert queue.returned("l", A, [1], WHY, 1.0)[-2:] == [
            granted(3, 0, lus="k"), word(LeasedTask(3, 0), lus="k")
        ]  # fmt: skip

    def test_a_reason_of_a_newer_epoch_holds_at_once(self, queue: Queue) -> None:
        """The reason may come before the word of its epoch: it is not offered again in between."""
        newer = attrs.evolve(WHY, epoch=2)
        assert [
            each for each in queue.returned("l", A, [1, 2], newer, 1.0) if isinstance(each, SendGrant)
        ] == []
        assert queue.want("l", 2, 2, 1.0) == []
        assert len(queue.want("l", 2, 3, 1.0)) == 3

    def test_a_reason_of_an_older_epoch_holds_no_more(self, queue: Queue) -> None:
        """A CS came meanwhile: the task is worth offering again at once."""
        queue.want("l", 2, 5, 1.0)
        assert queue.returned("l", A, [1], WHY, 1.0)[-1] == word(LeasedTask(3, 0))

    def test_nobody_returns_what_another_holds(self, queue: Queue) -> None:
        """A LUS gives back its own leases, of that job, and no reason for others."""
        queue.lus_opened("k", "b1", 1.0)
        assert queue.returned("k", A, [1, 2, 3], WHY, 1.0) == []
        assert queue.returned("l", B, [1], WHY, 1.0) == []
        assert queue.jobs[A].blocked == {}

    def test_a_placement_takes_the_reason_back(self, queue: Queue) -> None:
        """Status shows the reason for which the job stands aside, and none that does not hold any more."""
        queue.returned("l", A, [1], WHY, 1.0)
        place(queue, 2, task=1)
        assert line(queue, queue.jobs[A]).reason == WHY.sentence
        queue.want("l", 2, WHY.epoch + 1, 2.0)
        assert queue.jobs[A].blocked == {"l": WHY}
        place(queue, 3, task=0)
        assert queue.jobs[A].blocked == {}


class TestPlaced:
    def test_a_placement_is_journalled_once(self, queue: Queue) -> None:
        """It is repeated on every session, and changes nothing then."""
        entry = PlacementKnown(attempt(1), CS1, "cs1")
        assert queue.placed("l", attempt(1), CS1, "cs1", 1.0) == [entry, JobChanged(A)]
        assert queue.placed("l", attempt(1), CS2, "cs2", 1.0) == []
        assert queue.cs_name(attempt(1)) == "cs1"

    @pytest.mark.parametrize(
        "wrong",
        [attempt(9), attempt(1, task=1), attempt(1, job=B), attempt(1, generation=2)],
        ids=["no such lease", "another task", "another job", "another generation"],
    )
    def test_a_placement_needs_the_lease(self, queue: Queue, wrong: AttemptId) -> None:
        """Only who holds the lease of this very task places it."""
        with pytest.raises(RefusedError, match=r"no-lease|stale-fence"):
            queue.placed("l", wrong, CS1, "cs1", 1.0)

    def test_nobody_places_under_anothers_lease(self, queue: Queue) -> None:
        """Another LUS's placement is refused."""
        queue.lus_opened("k", "b1", 1.0)
        with pytest.raises(RefusedError, match="no-lease"):
            queue.placed("k", attempt(1), CS2, "cs2", 1.0)

    def test_placements_of_a_task_are_bounded(self, queue: Queue) -> None:
        """Of a LUS that places without end the newest are remembered, and the journal forgets with us."""
        for sequence in range(1, limits.PLACEMENTS + 1):
            place(queue, 1, sequence=sequence)
        newest = attempt(1, sequence=limits.PLACEMENTS + 1)
        entry, _ = queue.placed("l", newest, CS1, "cs1", 1.0)
        assert entry == PlacementKnown(newest, CS1, "cs1", forgotten=attempt(1, sequence=1))
        assert queue.judge(attempt(1, sequence=1), CS1, "d1" * 32) is not None
        assert queue.judge(newest, CS1, "d1" * 32) is None


class TestAttempts:
    @pytest.mark.parametrize("kind", ["failed", "vanished"])
    def test_what_counts_is_retried_elsewhere(self, queue: Queue, kind: str) -> None:
        """The end is journalled with its CS, which the next lease asks to avoid."""
        place(queue, 1)
        assert queue.attempt_ended("l", attempt(1), CS1, kind, "it broke", 1.0) == [
            AttemptLogged(A, 0, kind, CS1, "cs1", "it broke"), LeaseClosed(1), JobChanged(A), granted(3, 0),
            word(LeasedTask(3, 0, (CS1,))),
        ]  # fmt: skip

    def test_what_was_returned_counts_for_nothing(self, queue: Queue) -> None:
        """A CS that shuts down is no reason to avoid it."""
        place(queue, 1)
        logged, *_, sent = queue.attempt_ended("l", attempt(1), CS1, "returned", "shuts down", 1.0)
        assert logged == AttemptLogged(A, 0, "", CS1, "cs1", "shuts down")
        assert sent == word(LeasedTask(3, 0))

    @pytest.mark.parametrize(("kind", "times"), [("failed", 3), ("vanished", limits.VANISHED)])
    def test_so_many_fail_the_task_for_good(self, queue: Queue, kind: str, times: int) -> None:
        """The reason names the machines; nothing of the task is left but that."""
        for count in range(times):
            number = current(queue)
            made = place(queue, number, sequence=count + 1)
            last = queue.attempt_ended("l", made, CS1, kind, "it broke", 1.0)
        ended = last[1]
        assert isinstance(ended, TaskEnded)
        assert (ended.job, ended.task, ended.state) == (A, 0, TaskState.FAILED)
        assert ended.reason.count("cs1") == times
        assert last[2:] == [LeaseClosed(number), JobChanged(A)]
        assert queue.judge(made, CS1, "d1" * 32) is not None

    @pytest.mark.parametrize("attempts", [1, 2, 10])
    def test_a_job_says_how_many_may_fail(self, attempts: int) -> None:
        """Not one more is made, and not one less."""
        queue = Queue(1)
        queue.lus_opened("l", "b1", 0.0)
        queue.want("l", 1, 1, 0.0)
        queue.add_job(job(A, 1, attempts=attempts), 0.0)
        for count in range(attempts):
            assert queue.jobs[A].state(0) is TaskState.LEASED
            made = place(queue, current(queue), sequence=count + 1)
            last = queue.attempt_ended("l", made, CS1, "failed", "it broke", 1.0)
        assert queue.jobs[A].state(0) is TaskState.FAILED
        ended = last[1]
        assert isinstance(ended, TaskEnded)
        assert "it broke" in ended.reason and "cs1" in ended.reason

    def test_failures_and_vanishings_are_counted_apart(self, queue: Queue) -> None:
        """Machines that vanish cost no attempts."""
        for count, kind in enumerate(("failed", "vanished", "failed", "vanished", "vanished", "vanished")):
            made = place(queue, current(queue), sequence=count + 1)
            queue.attempt_ended("l", made, CS1, kind, "it broke", 1.0)
        assert queue.jobs[A].state(0) is TaskState.LEASED

    def test_an_end_needs_the_current_fence(self, queue: Queue) -> None:
        """An attempt that was overtaken, never placed, or placed elsewhere ends nothing."""
        with pytest.raises(RefusedError, match="stale-fence"):
            queue.attempt_ended("l", attempt(1), CS1, "failed", "", 1.0)
        old, new = place(queue, 1, sequence=1), place(queue, 1, sequence=2)
        with pytest.raises(RefusedError, match="stale-fence"):
            queue.attempt_ended("l", old, CS1, "failed", "", 1.0)
        with pytest.raises(RefusedError, match="wrong-cs"):
            queue.attempt_ended("l", new, CS2, "failed", "", 1.0)
        queue.lus_opened("k", "b1", 1.0)
        with pytest.raises(RefusedError, match="stale-fence"):
            queue.attempt_ended("k", new, CS1, "failed", "", 1.0)


class TestCommit:
    def test_the_first_valid_answer_wins(self, queue: Queue) -> None:
        """One transaction ends task and lease; then the answer goes to ans/, and the next task out."""
        queue.add_job(job(B, 1), 0.0)
        made = place(queue, 1)
        assert queue.commit(answer(made), 1.0) == (
            COMMITTED,
            [
                TaskEnded(A, 0, TaskState.COMMITTED, answer=answer(made)), LeaseClosed(1), AnswerReady(A, 0),
                JobChanged(A), granted(3, 0, B), word(LeasedTask(3, 0), of=B, count=1),
            ],
        )  # fmt: skip

    def test_a_repeated_answer_is_the_same_and_another_one_a_duplicate(self, queue: Queue) -> None:
        """Nothing is committed twice; the same bytes hear that they are committed."""
        made = place(queue, 1)
        queue.commit(answer(made), 1.0)
        assert queue.commit(answer(made), 2.0) == (COMMITTED, [])
        assert queue.commit(answer(made, sha256="d2" * 32), 2.0) == (DUPLICATE, [])

    def test_an_answer_outlives_its_lease(self, queue: Queue) -> None:
        """Placed once, it may be committed after its lease has lapsed; who tries meanwhile is stopped."""
        made = place(queue, 1)
        queue.attempt_ended("l", made, CS1, "vanished", "it was silent", 1.0)
        verdict, instructions = queue.commit(answer(made), 2.0)
        assert verdict == COMMITTED
        assert instructions[1:3] == [
            LeaseClosed(3), SendLeaseEnded("l", (3,), "answered", "another attempt's answer was committed")
        ]  # fmt: skip

    def test_an_answer_counts_only_where_it_was_placed(self, queue: Queue) -> None:
        """Without a placement on this very CS, an enrolled CS's answer is refused."""
        made = place(queue, 1)
        for wrong, cs in ((made, CS2), (attempt(1, sequence=2), CS1), (attempt(2, task=1), CS1)):
            verdict, instructions = queue.commit(answer(wrong, cs), 1.0)
            assert (verdict.verdict, verdict.code, instructions) == ("refused", "not-placed", [])

    def test_an_ended_task_takes_no_answer(self, queue: Queue) -> None:
        """Cancelled is final, and unknown tasks are refused by name."""
        made = place(queue, 1)
        queue.cancel(A, "why", 1.0)
        assert queue.judge(made, CS1, "d1" * 32) is not None
        assert queue.commit(answer(made), 2.0)[0].code == "task-cancelled"
        assert queue.commit(answer(attempt(1, task=2)), 2.0)[0].code == "unknown-task"
        assert queue.commit(answer(attempt(1, job=C)), 2.0)[0].code == "unknown-task"

    def test_a_job_is_done_when_all_is_committed(self, queue: Queue) -> None:
        """Then nothing of it is remembered but its counts and digests."""
        for task in (0, 1):
            queue.commit(answer(place(queue, task + 1, task)), 1.0)
        assert queue.jobs[A].line().state == "done"
        assert (queue._placements._known, queue._live) == ({}, {})


def test_an_ended_job_cannot_be_ended_by_a_defect(queue: Queue) -> None:
    """Our own faults are loud: the table says which task of which job was in which state."""
    queue.cancel(A, "why", 1.0)
    with pytest.raises(
        IllegalTransitionError, match=r"task 0 of job aaaaaaaaaaaaaaaa: 'reopen' .* CANCELLED"
    ):
        queue.jobs[A].move(0, TaskEvent.REOPEN)


class TestRevoked:
    def test_a_revoked_luss_leases_end_at_once(self, queue: Queue) -> None:
        """Its tasks go to another; what it still says of them is refused, what it placed may be answered."""
        queue.placed("l", attempt(1), CS1, "cs1", 0.0)
        queue.lus_opened("m", "b2", 0.0)
        queue.want("m", 2, 1, 0.0)
        told = queue.lus_revoked("l", 1.0)
        assert told[:4] == [LeaseClosed(1), JobChanged(A), LeaseClosed(2), JobChanged(A)]
        assert word(LeasedTask(3, 0), LeasedTask(4, 1), lus="m") in told
        assert queue.luses() == ("m",)
        with pytest.raises(RefusedError):
            queue.placed("l", attempt(2, task=1), CS1, "cs1", 2.0)
        assert queue.commit(answer(attempt(1)), 3.0)[0] == COMMITTED

    def test_a_revoked_signers_job_fails_with_its_reason(self, queue: Queue) -> None:
        """Every task that has not ended is failed, whoever holds it is told, and the line says why."""
        told = queue.fail(A, "signer revoked: key lost", 1.0)
        assert told[0] == JobClosed(A, TaskState.FAILED, "signer revoked: key lost")
        assert SendLeaseEnded("l", (1, 2), "failed", "signer revoked: key lost") in told
        assert (queue.jobs[A].line().state, queue.jobs[A].line().reason) == (
            "failed",
            "signer revoked: key lost",
        )
        assert queue.fail(A, "again", 2.0) == []
