"""What a LUS does with attempts that it does not know: it asks, and does as the WS says."""

from __future__ import annotations

import pytest
from invariants import check_board
from samples import CS1, CS2, attempt, brief, cs_state

from lus import limits
from lus.board import Board
from lus.held import Stage
from lus.instructions import Adopt, Instruction, ReportEnded, Return, Start, Stop, TellWant
from rjs.attempts import AttemptId
from rjs.limits import ADOPTED, LUS_LEASE
from rjs.wire.messages import LeasedTask, TaskAdopted

THEIRS = attempt(7)
"""What a process before this one placed."""
LEASED = TaskAdopted(leased=(THEIRS,), jobs=(brief(),))


def register(
    board: Board, *, boot: str = "b1", cs: str = CS1, **state: tuple[AttemptId, ...]
) -> list[Instruction]:
    return board.cs_state(cs, boot, "192.0.2.1", cs_state(**state), True, 0.0)  # type: ignore[arg-type]  # of any kind


def reply(board: Board, said: TaskAdopted, now: float = 0.0, cs: str = CS1) -> list[Instruction]:
    instructions = board.adopted(cs, (THEIRS,), said, now)
    check_board(board)
    return instructions


@pytest.fixture
def board() -> Board:
    """Just started and connected to the WS."""
    made = Board()
    made.ws_opened(0.0)
    made.renewed(0.0, (), 0.0)
    return made


@pytest.fixture
def adopted(board: Board) -> Board:
    """A CS came that ran something, which is ours now."""
    register(board, running=(THEIRS,))
    reply(board, LEASED)
    return board


class TestAsking:
    def test_what_a_cs_tells_of_is_asked_for_before_more_is_wanted(self, board: Board) -> None:
        """What it runs and has to tell of, ends first; and that this is all: before the WS leases it to others."""
        said = register(board, running=(THEIRS,), holding=(attempt(8), attempt(9)))
        assert said == [Adopt(CS1, (THEIRS, attempt(9), attempt(8)), True), TellWant(2, 1)]

    def test_what_is_known_is_not_asked_for(self, board: Board) -> None:
        """A connection that broke and came back changes nothing."""
        register(board)
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        board.started(CS1, attempt(1))
        board.cs_lost(CS1)
        assert register(board, running=(attempt(1),)) == []

    def test_it_gets_nothing_meanwhile(self, board: Board) -> None:
        """It has one slot, and that runs something."""
        register(board, running=(THEIRS,))
        assert board.granted(1, brief(), [LeasedTask(8, 1)], 0.0) == []

    def test_its_lease_is_renewed_meanwhile(self, board: Board) -> None:
        """It may be ours before the reply is here: a renewal that did not list it would give it back."""
        register(board, running=(THEIRS,))
        assert board.leases() == ((7,), 0)
        reply(board, LEASED)
        assert board.leases() == ((7,), 7)

    def test_it_is_asked_again_on_a_new_session(self, board: Board) -> None:
        """The reply may be lost with the old one; a CS that is away tells anew when it is back."""
        register(board, running=(THEIRS,))
        assert board.ws_opened(1.0) == [Adopt(CS1, (THEIRS,), True), TellWant(2, 1)]
        board.cs_lost(CS1)
        assert board.ws_opened(1.0) == [TellWant(2, 1)]

    def test_a_flood_is_cut_short(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of one CS, and of all together, so many are asked for; then it is not all that they have."""
        many = tuple(attempt(number) for number in range(ADOPTED + 1))
        (asked, _) = register(board, holding=many)
        assert isinstance(asked, Adopt)
        assert (len(asked.attempts), asked.whole) == (ADOPTED, False)
        monkeypatch.setattr(limits, "ASKED", ADOPTED + 1)
        assert register(board, cs=CS2, holding=many)[0] == Adopt(CS2, (many[-1],), False)
        assert len(board.leases()[0]) <= ADOPTED + 1

    def test_room_is_given_back(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the reply, and by a CS that leaves."""
        monkeypatch.setattr(limits, "ASKED", 1)
        for _ in range(3):
            assert register(board, running=(THEIRS,))[0] == Adopt(CS1, (THEIRS,), True)
            board.cs_dead(CS1, 0.0)
        register(board, running=(THEIRS,))
        reply(board, LEASED)
        assert register(board, cs=CS2, running=(attempt(9),))[0] == Adopt(CS2, (attempt(9),), True)


class TestAdopted:
    def test_it_is_held_like_any_other(self, adopted: Board) -> None:
        """Told to the WS again, stopped with its task, and reported when the machine vanishes."""
        (held,) = adopted.held()
        assert (held.stage, held.attempt, held.cs) == (Stage.RUNNING, THEIRS, CS1)
        assert adopted.placements() == [Start(CS1, "cs", brief(), THEIRS)]
        assert adopted.gave(CS1, THEIRS)
        (vanished, _) = adopted.cs_dead(CS1, 1.0)
        assert isinstance(vanished, ReportEnded)
        assert (vanished.attempt, vanished.kind) == (THEIRS, "vanished")

    def test_when_it_ends_the_cs_is_free(self, adopted: Board) -> None:
        """Its answer is offered, the next task starts, and the WS's word ends the lease."""
        adopted.granted(1, brief(), [LeasedTask(8, 1)], 0.0)
        assert adopted.attempt_over(CS1, THEIRS, 1.0) == [Start(CS1, "cs", brief(), attempt(8, task=1))]
        assert adopted.lease_over(CS1, THEIRS, True, 1.0) == []
        assert adopted.leases() == ((8,), 8)

    def test_nothing_is_started_under_it(self, adopted: Board) -> None:
        """The process before may have used any fence of it: an attempt that is not there goes back to the WS."""
        (returned,) = adopted.cs_state(CS1, "b1", "", cs_state(), False, 1.0)
        assert isinstance(returned, ReportEnded)
        assert (returned.attempt, returned.kind) == (THEIRS, "returned")
        assert adopted.held() == []
        assert adopted.granted(1, brief(), [LeasedTask(7, 0)], 1.0) == []

    def test_its_end_may_come_before_the_reply(self, board: Board) -> None:
        """The CS is free at once; the lease is ours until the WS's word on the end, or until it is asked again."""
        register(board, running=(THEIRS,))
        board.attempt_over(CS1, THEIRS, 0.0)
        reply(board, LEASED)
        assert board.granted(1, brief(), [LeasedTask(8, 1)], 0.0) == [
            Start(CS1, "cs", brief(), attempt(8, task=1))
        ]
        assert board.renewed(1.0, (7,), 1.0) == [Adopt(CS1, (THEIRS,), False)]
        assert reply(board, TaskAdopted(ended=(THEIRS,))) == [
            Stop(CS1, THEIRS, "its task has ended meanwhile")
        ]
        assert board.leases() == ((8,), 8)

    def test_a_machine_that_went_before_the_reply(self, board: Board) -> None:
        """What nobody here wants any more is not listed, and goes back by that."""
        register(board, running=(THEIRS,))
        board.cs_dead(CS1, 0.0)
        assert reply(board, LEASED) == []
        assert board.leases() == ((), 7)

    def test_the_job_of_a_revoked_signer(self, board: Board) -> None:
        """Is stopped and given back."""
        register(board, running=(THEIRS,))
        board.signers_revoked(frozenset({brief().signer}), 0.0)
        stop, returned = reply(board, LEASED)
        assert isinstance(stop, Stop)
        assert isinstance(returned, Return)
        assert (stop.attempt, returned.leases) == (THEIRS, (7,))


class TestStrays:
    @pytest.fixture
    def stray(self, board: Board) -> Board:
        """A CS runs something that another CS tries as well."""
        register(board, running=(THEIRS,))
        assert reply(board, TaskAdopted()) == []
        return board

    def test_it_runs_on(self, stray: Board) -> None:
        """Nothing is stopped, renewed or started there."""
        assert stray.leases() == ((), 0)
        assert stray.granted(1, brief(), [LeasedTask(8, 1)], 0.0) == []

    def test_it_is_stopped_when_its_task_ends(self, stray: Board) -> None:
        """The WS says so by the number of its lease."""
        assert stray.ended([7], "answered: elsewhere", 1.0) == [Stop(CS1, THEIRS, "answered: elsewhere")]

    def test_its_own_end_makes_room(self, stray: Board) -> None:
        """Its answer is offered like any other."""
        stray.granted(1, brief(), [LeasedTask(8, 1)], 0.0)
        assert stray.attempt_over(CS1, THEIRS, 1.0) == [Start(CS1, "cs", brief(), attempt(8, task=1))]

    def test_a_new_web_server_hears_of_it(self, stray: Board) -> None:
        """It remembers no strays, and may lease the task by now."""
        assert stray.ws_opened(1.0)[0] == Adopt(CS1, (THEIRS,), False)
        reply(stray, LEASED)
        assert stray.gave(CS1, THEIRS)


class TestLapse:
    @pytest.fixture
    def running(self, board: Board) -> Board:
        """Task 0 runs here under lease 1."""
        register(board)
        board.adopted(CS1, (), TaskAdopted(), 0.0)
        board.granted(1, brief(), [LeasedTask(1, 0)], 0.0)
        board.started(CS1, attempt(1))
        return board

    def test_what_runs_under_an_ended_lease_runs_on(self, running: Board) -> None:
        """Whether its task has ended too, the WS is asked; until then nobody is told to stop."""
        assert running.renewed(1.0, (1,), 1.0) == [Adopt(CS1, (attempt(1),), False)]
        assert running.adopted(CS1, (attempt(1),), TaskAdopted(), 1.0) == []
        check_board(running)
        assert running.leases() == ((), 1)
        assert running.granted(1, brief(), [LeasedTask(2, 1)], 1.0) == []

    def test_after_a_long_silence_it_is_asked_first(self, running: Board) -> None:
        """Before the WS hears that we want more: else it leases us what we run."""
        assert running.ws_opened(LUS_LEASE - 1) == [TellWant(2, 1)]
        assert running.ws_opened(LUS_LEASE) == [Adopt(CS1, (attempt(1),), False), TellWant(2, 1)]

    def test_what_did_not_start_is_not_tried_under_an_ended_lease(self, running: Board) -> None:
        """The WS calls it ended: another attempt needs another lease."""
        running.renewed(1.0, (1,), 1.0)
        (returned,) = running.start_refused(CS1, attempt(1), "busy", "no", 1.0)
        assert isinstance(returned, ReportEnded)
        assert running.held() == []


def test_what_moved_is_neither_stopped_nor_reported(board: Board) -> None:
    """Its CS serves another LUS, whose it is now; here nobody takes that CS for free before it says so."""
    register(board, running=(THEIRS,))
    reply(board, LEASED)
    assert board.moved([7, 8], 1.0) == []
    assert board.leases() == ((), 7)
    assert board.granted(1, brief(), [LeasedTask(8, 1)], 1.0) == []
    assert all(not isinstance(each, ReportEnded | Stop) for each in board.cs_dead(CS1, 2.0))
