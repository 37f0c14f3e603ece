"""The job board's rules, event by event: each test compares the whole list of instructions."""

from __future__ import annotations

import attrs
import msgspec
import pytest
from invariants import check_board
from samples import CS1, CS2, A, B, C, attempt, brief, cs_state

from lus import limits
from lus.board import Board
from lus.held import Stage
from lus.instructions import Adopt, DropServer, Instruction, ReportEnded, Return, Start, Stop, TellWant
from rjs.attempts import AttemptId
from rjs.limits import CS_LEASE, LUS_LEASE
from rjs.needs import Needs
from rjs.wire.messages import CsState, LeasedTask, TaskAdopted


def register(board: Board, cs: str, state: CsState, boot: str = "b1", now: float = 0.0) -> list[Instruction]:
    return board.cs_state(cs, boot, "192.0.2.1", state, True, now)


def start(lease: int, cs: str = CS1, task: int = 0, sequence: int = 1, name: str = "cs") -> Start:
    return Start(cs, name, brief(), attempt(lease, task=task, sequence=sequence))


NEW = Adopt(CS1, (), True)
"""What the WS is asked when a CS came that runs nothing."""


@pytest.fixture
def board() -> Board:
    """Connected to the WS, with one CS."""
    made = Board()
    made.ws_opened(0.0)
    made.renewed(0.0, (), 0.0)
    register(made, CS1, cs_state())
    made.adopted(CS1, (), TaskAdopted(), 0.0)
    return made


@pytest.fixture
def running(board: Board) -> Board:
    """Task 0 runs on the CS under lease 1."""
    board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
    board.started(CS1, attempt(1))
    return board


class TestWant:
    def test_each_cs_is_worth_two_leases(self) -> None:
        """One runs, one is there when it becomes free; the WS hears it when it changes, and on a new session."""
        board = Board()
        assert board.ws_opened(0.0) == [TellWant(0, 0)]
        assert register(board, CS1, cs_state()) == [NEW, TellWant(2, 1)]
        assert board.adopted(CS1, (), TaskAdopted(), 0.0) == []
        assert board.cs_state(CS1, "b1", "", cs_state(), False, 0.0) == []
        assert board.ws_opened(0.0) == [TellWant(2, 1)]
        assert register(board, CS1, cs_state(epoch=1), now=limits.EPOCH) == [TellWant(2, 2)]

    def test_the_epoch_rises_seldom(self, board: Board) -> None:
        """However often CSs change, the WS is told that it is worth offering again once in a while, and at last."""
        for number in range(1, 100):
            assert board.cs_state(CS1, "b1", "", cs_state(memory=number), False, number / 100) == []
            assert board.cs_state(CS1, "b1", "", cs_state(), False, number / 100) == []
        assert board.tick(limits.EPOCH - 0.01) == []
        assert board.tick(limits.EPOCH) == [TellWant(2, 2)]
        assert board.tick(2 * limits.EPOCH) == []

    def test_registrations_are_bounded(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever comes too many is told why, and who is there stays."""
        monkeypatch.setattr(limits, "SERVERS", 1)
        assert register(board, CS2, cs_state()) == [
            DropServer(CS2, "1 compute servers are registered here already")
        ]  # fmt: skip
        assert register(board, CS1, cs_state()) == []


class TestPlacing:
    def test_a_granted_task_starts_at_once(self, board: Board) -> None:
        """The fence says which generation, lease and sequence it is."""
        assert board.granted(1, brief(), [LeasedTask(1, 0), LeasedTask(2, 1)], 0.0) == [start(1)]
        assert board.leases() == ((1, 2), 2)
        assert board.placements() == [start(1)]

    def test_a_grant_is_taken_once(self, board: Board) -> None:
        """A repeated grant, or one that was given back, changes nothing."""
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        board.ended([1], "why", 0.0)
        assert board.granted(1, brief(), [LeasedTask(1, 0)], 0.0) == []
        assert board.leases() == ((), 1)

    def test_jobs_take_turns(self, board: Board) -> None:
        """The tasks of a large job that came first keep no other job waiting for more than one of them."""
        board.granted(1, brief(A, 9), [LeasedTask(number, number) for number in range(1, 10)], 0.0)
        board.granted(1, brief(B, 1), [LeasedTask(10, 0)], 0.0)
        jobs: list[str] = [A]
        for now in (1.0, 2.0, 3.0):
            current = board.registry.all()[0].attempt
            assert current is not None
            (next_start,) = board.attempt_over(CS1, current, now)
            assert isinstance(next_start, Start)
            jobs.append(next_start.job.job)
        assert jobs == [A, A, B, A]

    def test_a_failed_task_of_a_large_job_asks_alone(self, board: Board) -> None:
        """What waits for another CS than those where it failed does not keep its siblings waiting."""
        board.granted(1, brief(), [LeasedTask(1, 0, (CS1,)), LeasedTask(2, 1)], 0.0)
        assert [each.attempt for each in board.placements()] == [attempt(2, task=1)]

    def test_nothing_starts_without_a_lease_that_lives(self, board: Board) -> None:
        """Unless the WS acknowledged a renewal, we may not start; when it does, we start."""
        assert board.granted(1, brief(), [LeasedTask(1, 0)], LUS_LEASE) == []
        assert board.renewed(LUS_LEASE - 1, (), LUS_LEASE) == [start(1)]

    def test_what_the_ws_says_has_ended_is_stopped(self, running: Board) -> None:
        """By word at once; a lease that waits is just gone."""
        running.granted(1, brief(), [LeasedTask(2, 1)], 0.0)
        assert running.ended((1, 2, 3), "cancelled: why", 1.0) == [Stop(CS1, attempt(1), "cancelled: why")]
        assert running.leases() == ((), 2)

    def test_a_refused_task_goes_back_with_the_reason(self, board: Board) -> None:
        """Whose CSs all refuse a job returns all its leases, and takes no more of it for now."""
        board.granted(1, brief(), [LeasedTask(1, 0), LeasedTask(2, 1)], 0.0)
        assert board.start_refused(CS1, attempt(1), "not-trusted", "no", 0.0) == [
            Return(A, (2, 1), 1, "not-accepted", "cs: not-trusted: no")
        ]  # fmt: skip

    def test_a_change_of_trust_is_worth_another_try(self, board: Board) -> None:
        """The epoch changes, and the job is placed."""
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        board.start_refused(CS1, attempt(1), "not-trusted", "no", 0.0)
        board.cs_state(CS1, "b1", "", cs_state(epoch=1), False, 1.0)
        assert board.granted(1, brief(), [LeasedTask(2, 0)], 1.0) == [start(2, sequence=2)]

    def test_jobs_with_the_same_needs_are_answered_each_for_itself(self, board: Board) -> None:
        """A refusal of one is none of the other, whichever was asked first; what both lack is said of both."""
        board.granted(1, brief(A), [LeasedTask(1, 0)], 0.0)
        refused = board.start_refused(CS1, attempt(1), "not-trusted", "no", 0.0)
        assert [type(each) for each in refused] == [Return]
        assert board.granted(1, brief(B), [LeasedTask(2, 0)], 0.0) == [
            Start(CS1, "cs", brief(B), attempt(2, B, sequence=2))
        ]
        assert board.granted(1, brief(C), [LeasedTask(3, 0)], 0.0) == []
        again = board.granted(1, brief(A), [LeasedTask(4, 0)], 0.0)
        assert again == [Return(A, (4,), 1, "not-accepted", "cs: not-trusted: no")]
        for number, of in ((5, "d" * 64), (6, "e" * 64)):
            wanting = msgspec.structs.replace(brief(of), needs=Needs(memory=1, cores=2))
            said = board.granted(1, wanting, [LeasedTask(number, 0)], 0.0)
            assert said == [Return(of, (number,), 1, "needs-cores", "cs: it needs 2 cores, 1 are given")]

    @pytest.mark.parametrize("code", ["not-trusted", "permission-not-granted"])
    def test_the_owners_word_lasts(self, board: Board, code: str) -> None:
        """Time alone does not make an owner's refusal worth another question, a change of trust does."""
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        assert board.start_refused(CS1, attempt(1), code, "no", 0.0) == [
            Return(A, (1,), 1, "not-accepted", f"cs: {code}: no")
        ]
        for second in range(int(2 * limits.REFUSED_AGAIN)):
            board.cs_heard(CS1, float(second))
            assert board.tick(float(second)) == []
        now = 2 * limits.REFUSED_AGAIN
        assert board.cs_state(CS1, "b1", "", cs_state(epoch=1), False, now) == [TellWant(2, 2)]

    def test_a_larger_offer_is_worth_another_try(self, board: Board) -> None:
        """A job that needed more is returned with the reason, and wanted again when there is more, not less."""
        wanting = msgspec.structs.replace(brief(), needs=Needs(memory=200))
        assert board.granted(1, wanting, [LeasedTask(1, 0)], 0.0) == [
            Return(A, (1,), 1, "needs-memory", "cs: it needs 200 B of memory, 100 B are given")
        ]
        assert board.cs_state(CS1, "b1", "", cs_state(memory=50), False, 1.0) == []
        assert board.cs_state(CS1, "b1", "", cs_state(memory=200), False, 2.0) == [TellWant(2, 2)]
        assert board.granted(1, wanting, [LeasedTask(2, 0)], 1.0) == [Start(CS1, "cs", wanting, attempt(2))]

    @pytest.mark.parametrize("code", ["stopped", "cannot-start", "no-blob", "replayed", "superseded", "name"])
    def test_other_refusals_pass(self, board: Board, code: str) -> None:
        """Full disks, wrong clocks and lost sessions are asked about again after a while, and not before."""
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        board.start_refused(CS1, attempt(1), code, "no", 0.0)
        for quarter in range(int(4 * limits.REFUSED_AGAIN)):
            board.cs_heard(CS1, quarter / 4)
            assert board.tick(quarter / 4) == []
        assert board.tick(limits.REFUSED_AGAIN) == [TellWant(2, 2)]
        assert board.granted(1, brief(), [LeasedTask(2, 0)], limits.REFUSED_AGAIN) == [start(2, sequence=2)]

    def test_what_the_web_servers_absence_kept_is_asked_again_when_it_is_back(self, board: Board) -> None:
        """Its session opens: at once, and the epoch says so; a refusal for another reason stays one."""
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        board.granted(1, brief(B), [LeasedTask(2, 0)], 0.0)
        refused = board.start_refused(CS1, attempt(1), "ws-away", "no", 3.0)
        assert refused == [
            Start(CS1, "cs", brief(B), attempt(2, B, sequence=2)),
            Return(A, (1,), 1, "not-accepted", "cs: ws-away: no"),
        ]
        board.start_refused(CS1, attempt(2, B, sequence=2), "no-room", "no", 3.0)
        assert board.ws_opened(3.5) == [TellWant(2, 2)]
        assert board.granted(1, brief(), [LeasedTask(3, 0)], 3.5) == [start(3, sequence=3)]
        assert list(board.registry.all()[0].refusals) == [B]

    def test_a_refusal_that_the_web_servers_return_overtook_is_none(self, board: Board) -> None:
        """What was started before the session, and is refused after it opened, is asked again at once, and once."""
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        board.ws_opened(1.0)
        assert board.start_refused(CS1, attempt(1), "ws-away", "no", 1.1) == [start(1, sequence=2)]
        refused = board.start_refused(CS1, attempt(1, sequence=2), "ws-away", "no", 1.2)
        assert refused == [Return(A, (1,), 1, "not-accepted", "cs: ws-away: no")]

    def test_a_busy_cs_is_no_refusal(self, board: Board) -> None:
        """The task waits; when the CS says that it is free, it starts."""
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        assert board.start_refused(CS1, attempt(1), "busy", "runs another", 0.0) == []
        assert board.tick(0.5) == []
        assert board.cs_state(CS1, "b1", "", cs_state(), False, 1.0) == [start(1, sequence=2)]

    def test_a_refusal_of_an_older_attempt_changes_nothing(self, running: Board) -> None:
        """Replies are for the attempt that is under way."""
        assert running.start_refused(CS1, attempt(1, sequence=9), "not-trusted", "no", 0.0) == []
        assert running.registry.all()[0].refusals == {}

    def test_the_next_task_starts_when_one_ends(self, running: Board) -> None:
        """An offer or a report frees the CS at once, before the WS has its say."""
        running.granted(1, brief(), [LeasedTask(2, 1)], 0.0)
        assert running.attempt_over(CS1, attempt(1), 1.0) == [start(2, task=1, sequence=2)]

    def test_an_end_frees_a_cs_that_once_said_it_was_busy(self, running: Board) -> None:
        """A description from the midst of an attempt does not outlive the attempt."""
        running.granted(1, brief(), [LeasedTask(2, 1)], 0.0)
        running.cs_state(CS1, "b1", "", cs_state(running=(attempt(1),), epoch=1), False, 1.0)
        assert running.attempt_over(CS1, attempt(1), 1.0) == [start(2, task=1, sequence=2)]

    def test_a_stranger_frees_nobody(self, running: Board) -> None:
        """Another CS's words are about that CS."""
        register(running, CS2, cs_state(1.0))
        assert running.attempt_over(CS2, attempt(1), 1.0) == []
        assert not running.registry.all()[0].free


class TestLeaseOver:
    def test_a_final_word_ends_the_lease(self, running: Board) -> None:
        """The attempt was judged: nothing is left to renew."""
        running.attempt_over(CS1, attempt(1), 1.0)
        assert running.lease_over(CS1, attempt(1), True, 1.0) == []
        assert running.leases() == ((), 1)

    def test_another_attempts_answer_stops_ours(self, running: Board) -> None:
        """An older attempt's answer was committed: the task has ended."""
        old = attempt(1, sequence=0)
        assert running.lease_over(CS2, old, True, 1.0) == [
            Stop(CS1, attempt(1), "another attempt's answer was committed")
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("cs", "said", "ended"),
        [
            (CS2, attempt(1), False), (CS2, attempt(1, sequence=9), False), (CS1, attempt(1, sequence=0), False),
            (CS2, attempt(1, task=1), True), (CS2, attempt(1, job=B), True), (CS1, attempt(2), True),
        ],
    )  # fmt: skip
    def test_nobody_ends_anothers_lease(self, running: Board, cs: str, said: AttemptId, ended: bool) -> None:
        """What a CS says of attempts that are not its own stops nothing."""
        assert running.lease_over(cs, said, ended, 1.0) == []
        assert running.leases() == ((1,), 1)


class TestComingAndGoing:
    def test_a_lost_connection_ends_nothing(self, running: Board) -> None:
        """It gets nothing new, and keeps what it has."""
        running.granted(1, brief(), [LeasedTask(2, 1)], 0.0)
        assert running.cs_lost(CS1) == []
        assert running.attempt_over(CS1, attempt(1), 1.0) == []
        assert running.placements() == [start(1)]

    def test_what_never_arrived_is_placed_again(self, board: Board) -> None:
        """A CS that comes back and knows nothing of an attempt never started it."""
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        board.cs_lost(CS1)
        assert register(board, CS1, cs_state(), now=1.0) == [start(1, sequence=2)]

    @pytest.mark.parametrize("how", ["running", "holding"])
    def test_what_it_has_goes_on(self, board: Board, how: str) -> None:
        """It runs it, or has its answer or report to tell: no second attempt."""
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        board.cs_lost(CS1)
        state = cs_state(running=(attempt(1),)) if how == "running" else cs_state(holding=(attempt(1),))
        assert register(board, CS1, state, now=1.0) == []
        assert board.placements() == [start(1)]

    def test_an_attempt_that_ended_without_a_word_is_placed_again(self, board: Board) -> None:
        """Its start was refused to a session that is gone: the CS lists it no more."""
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        board.cs_lost(CS1)
        register(board, CS1, cs_state(running=(attempt(1),)), now=1.0)
        assert board.cs_state(CS1, "b1", "", cs_state(), False, 2.0) == [start(1, sequence=2)]

    def test_a_start_on_its_way_is_not_taken_for_lost(self, board: Board) -> None:
        """A description that crosses a start does not list it yet."""
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        assert board.cs_state(CS1, "b1", "", cs_state(epoch=1), False, 2.0) == [TellWant(2, 2)]
        assert board.placements() == [start(1)]

    def test_what_should_have_stopped_is_stopped_again(self, running: Board) -> None:
        """A CS that was out of reach may not have heard; one that was in reach is told once."""
        assert running.ended([1], "cancelled", 1.0) == [Stop(CS1, attempt(1), "cancelled")]
        running.cs_lost(CS1)
        assert register(running, CS1, cs_state(running=(attempt(1),)), now=2.0) == [
            Stop(CS1, attempt(1), "its task has ended meanwhile")
        ]  # fmt: skip
        assert running.cs_state(CS1, "b1", "", cs_state(), False, 3.0) == []
        assert running.registry.all()[0].unwanted == set()

    def test_silence_ends_a_registration(self, running: Board) -> None:
        """What it ran is reported as vanished, naming it."""
        for quarter in range(int(4 * CS_LEASE)):
            assert running.tick(quarter / 4) == []
        assert running.tick(CS_LEASE) == [
            ReportEnded(attempt(1), CS1, "vanished", f"cs (192.0.2.1): it was silent for {CS_LEASE:.1f} s"),
            DropServer(CS1, f"it was silent for {CS_LEASE:.1f} s"), TellWant(0, 1),
        ]  # fmt: skip
        assert running.leases() == ((), 1)

    def test_a_dead_process_vanishes_at_once(self, running: Board) -> None:
        """Nobody listens where it listened; what waits has nobody else."""
        running.granted(1, brief(), [LeasedTask(2, 1)], 0.0)
        assert running.cs_dead(CS1, 1.0) == [
            ReportEnded(attempt(1), CS1, "vanished", "cs (192.0.2.1): its process died"),
            Return(A, (2,), 1, "no-cs", "no compute server is registered here"), TellWant(0, 1),
        ]  # fmt: skip
        assert running.cs_dead(CS1, 2.0) == []

    def test_a_new_boot_lost_what_the_old_one_ran(self, running: Board) -> None:
        """The machine is there, the attempt is not."""
        assert register(running, CS1, cs_state(), boot="b2", now=2.0) == [
            ReportEnded(attempt(1), CS1, "vanished", "cs (192.0.2.1): restarted"), NEW, TellWant(2, 2)
        ]  # fmt: skip

    def test_a_new_boot_kept_its_answers(self, running: Board) -> None:
        """An answer in its spool is no vanished attempt."""
        assert register(running, CS1, cs_state(holding=(attempt(1),)), boot="b2", now=2.0) == [
            NEW,
            TellWant(2, 2),
        ]
        check_board(running)
        assert running.lease_over(CS1, attempt(1), True, 2.0) == []
        assert running.leases() == ((), 1)

    def test_a_failed_task_waits_for_another_cs(self, board: Board) -> None:
        """It goes to the CS where it failed only when there has been no other for ten seconds."""
        assert board.granted(1, brief(), [LeasedTask(1, 0, (CS1,))], 0.0) == []
        for quarter in range(int(4 * limits.SAME_CS_AFTER)):
            board.cs_heard(CS1, quarter / 4)
            assert board.tick(quarter / 4) == []
        assert board.tick(limits.SAME_CS_AFTER) == [start(1)]

    def test_a_faster_newcomer_gets_what_waits(self, board: Board) -> None:
        """The event of its coming places the task."""
        board.granted(1, brief(), [LeasedTask(1, 0, (CS1,))], 0.0)
        assert register(board, CS2, cs_state(name="cs2")) == [
            Adopt(CS2, (), True), start(1, CS2, name="cs2"), TellWant(4, 1)
        ]  # fmt: skip
        assert board.held()[0].stage is Stage.STARTING


class TestRevoked:
    def test_a_revoked_cs_is_dead_at_once(self, running: Board) -> None:
        """Its task is told of as vanished, with the reason, and what it says of it later changes nothing."""
        first, *rest = running.cs_revoked(CS1, 1.0)
        assert first == ReportEnded(attempt(1), CS1, "vanished", "cs (192.0.2.1): it was revoked")
        assert rest == [TellWant(0, 1)] and running.held() == []
        assert running.attempt_over(CS1, attempt(1), 2.0) == [] and running.cs_revoked(CS1, 2.0) == []
        check_board(running)

    def test_a_revoked_signers_jobs_are_stopped_and_offered_to_nobody(self, running: Board) -> None:
        """What runs is stopped, what waits goes back, and so does what is granted later; others' jobs go on."""
        running.granted(1, brief(), [LeasedTask(2, 1)], 0.0)
        stop, back, *more = running.signers_revoked(frozenset({brief().signer}), 1.0)
        assert stop == Stop(CS1, attempt(1), "its signer was revoked") and more == []
        assert isinstance(back, Return) and (back.job, back.leases, back.code) == (A, (1, 2), "revoked")
        (again,) = running.granted(1, brief(), [LeasedTask(3, 0)], 2.0)
        assert again == attrs.evolve(back, leases=(3,)) and running.leases() == ((), 3)
        other = msgspec.structs.replace(brief(B), signer="9" * 64)
        assert start(4).cs in {each.cs for each in running.granted(1, other, [LeasedTask(4, 0)], 3.0)
                               if isinstance(each, Start)}  # fmt: skip
        assert running.signers_revoked(frozenset({brief().signer}), 4.0) == []
        check_board(running)


class TestHostileServers:
    def test_no_cs_displaces_anothers_attempt(self, running: Board) -> None:
        """Whatever a CS says of an attempt that another one was given changes nothing for that one."""
        register(running, CS2, cs_state(busy=True, running=(attempt(1),)))
        for state in (cs_state(busy=True), cs_state(busy=True, holding=(attempt(1),)), cs_state(busy=True)):
            running.cs_state(CS2, "b1", "192.0.2.1", state, False, 1.0)
        running.attempt_over(CS2, attempt(1), 1.0)
        running.started(CS2, attempt(1))
        running.start_refused(CS2, attempt(1), "not-trusted", "no", 1.0)
        running.lease_over(CS2, attempt(1), False, 1.0)
        running.cs_dead(CS2, 1.0)
        assert running.placements() == [start(1)]
        (held,) = running.held()
        assert (held.stage, held.cs, held.attempt) == (Stage.RUNNING, CS1, attempt(1))
        check_board(running)
