"""The CS's task machine and checkpoints: what is taken, offered and told, in which order."""

from __future__ import annotations

import pytest
from samples import attempt, brief

from cs.instructions import (
    AwaitCheckpoint,
    CleanUp,
    Collect,
    Describe,
    ForgetCheckpoint,
    Kill,
    Offer,
    OfferCheckpoint,
    Prepare,
    Report,
    Save,
    Vacate,
)
from cs.task_machine import Slot, TaskMachine
from rjs.attempts import Fence
from rjs.wire.messages import CheckpointRef

X, Y = attempt(1), attempt(2, task=1)
GONE = Report(X, "returned", "not-trusted: no more", "")


@pytest.fixture
def running() -> TaskMachine:
    """A machine on which X runs."""
    machine = TaskMachine([])
    machine.start(brief(), X)
    machine.prepared(X, True)
    machine.spawned(X)
    return machine


@pytest.fixture
def saving(running: TaskMachine) -> TaskMachine:
    """A machine that takes what X reached, which had to leave."""
    running.taken_back("not-trusted: no more")
    running.process_ended(X, "ended by signal 15", "")
    return running


def test_a_start_says_what_to_continue_from() -> None:
    """What the LUS told of goes to whoever prepares."""
    ref = CheckpointRef(0, Fence(1, 1, 1), 3, 100, "ab" * 32)
    assert TaskMachine([]).start(brief(), X, ref) == [Prepare(X, brief(), ref)]


def test_a_task_that_has_to_leave(running: TaskMachine) -> None:
    """It is asked to end; what it reached is taken, offered, and only then it is told that the task came back."""
    assert running.taken_back("not-trusted: no more") == [Vacate(X)]
    assert running.taken_back("again") == running.closing() == []
    assert running.process_ended(X, "ended by signal 15", "") == [Save(X)]
    assert running.saved(X, 1) == [OfferCheckpoint(X, 1), AwaitCheckpoint(X), CleanUp(X)]
    assert running.slot is Slot.FREE
    assert running.untold == (X,)
    assert running.checkpoint_settled(X, 1, final=True) == [ForgetCheckpoint(X, 1), GONE]
    assert running.reported(X) == []
    assert not running.untold


def test_a_task_that_left_nothing(saving: TaskMachine) -> None:
    """It is told at once."""
    assert saving.saved(X, None) == [GONE, CleanUp(X)]


def test_an_exit_in_the_grace_is_no_answer(saving: TaskMachine) -> None:
    """A task that ends well because it was asked to is not done."""
    assert saving.slot is Slot.SAVING


def test_a_checkpoint_that_nobody_takes_now(saving: TaskMachine) -> None:
    """It is offered again, on every session too; how the attempt ended is told once enough was waited."""
    saving.saved(X, 1)
    assert saving.checkpoint_settled(X, 1, final=False) == [OfferCheckpoint(X, 1, later=True)]
    assert saving.session_opened() == [Describe(), OfferCheckpoint(X, 1), AwaitCheckpoint(X)]
    assert saving.checkpoint_overdue(X) == [GONE]
    assert saving.checkpoint_overdue(X) == []
    assert saving.session_opened() == [Describe(), OfferCheckpoint(X, 1), GONE]
    assert saving.checkpoint_settled(X, 1, final=True) == [ForgetCheckpoint(X, 1)]


def test_checkpoints_on_the_way(running: TaskMachine) -> None:
    """The newest is offered; a word on an older one changes nothing."""
    assert running.checkpointed(X, 1) == [OfferCheckpoint(X, 1)]
    assert running.checkpointed(X, 2) == [OfferCheckpoint(X, 2)]
    assert running.checkpoint_settled(X, 1, final=True) == []
    assert running.session_opened() == [Describe(), OfferCheckpoint(X, 2)]
    assert running.checkpoint_settled(X, 2, final=True) == [ForgetCheckpoint(X, 2)]


def test_a_failure_waits_for_its_checkpoint(running: TaskMachine) -> None:
    """The next attempt is to have it."""
    running.checkpointed(X, 1)
    assert running.process_ended(X, "exit status 1", "tail") == [AwaitCheckpoint(X), CleanUp(X)]
    told = Report(X, "failed", "exit status 1", "tail")
    assert running.checkpoint_settled(X, 1, final=True) == [ForgetCheckpoint(X, 1), told]


def test_an_answer_needs_no_checkpoint(running: TaskMachine) -> None:
    """The task is done."""
    running.checkpointed(X, 1)
    assert running.process_ended(X, "", "") == [Collect(X)]
    assert running.collected(X) == [Offer(X), ForgetCheckpoint(X, 1), CleanUp(X)]


def test_what_is_not_wanted_leaves_nothing(running: TaskMachine) -> None:
    """A cancelled job's checkpoint is neither taken nor offered any more."""
    running.checkpointed(X, 1)
    assert running.stop(X, "cancelled") == [ForgetCheckpoint(X, 1), Kill(X)]
    assert running.checkpointed(X, 2) == [ForgetCheckpoint(X, 2)]
    assert running.process_ended(X, "ended by signal 9", "") == [CleanUp(X)]


def test_what_is_not_wanted_any_more_while_it_leaves(saving: TaskMachine) -> None:
    """What was being taken is thrown away, and nothing is told."""
    assert saving.stop(X, "cancelled") == []
    assert saving.saved(X, 1) == [ForgetCheckpoint(X, 1), CleanUp(X)]
    assert not saving.untold


def test_what_is_not_wanted_any_more_after_it_left(saving: TaskMachine) -> None:
    """Its checkpoint goes, and that it came back needs no telling."""
    saving.saved(X, 1)
    assert saving.stop(X, "cancelled") == [ForgetCheckpoint(X, 1)]
    assert not saving.untold


def test_a_revoked_signer_has_no_grace(running: TaskMachine) -> None:
    """Also in the middle of another one's grace: it is killed, and what it reached goes."""
    running.checkpointed(X, 1)
    running.taken_back("not-trusted: no more")
    told = Report(X, "returned", "revoked: its key", "")
    assert running.taken_back("revoked: its key", at_once=True) == [Kill(X), ForgetCheckpoint(X, 1), told]
    assert running.process_ended(X, "ended by signal 9", "") == [CleanUp(X)]


def test_what_an_earlier_process_left() -> None:
    """Its checkpoints are offered, and only then its attempts are told to have vanished; one with an answer needs
    none."""
    machine = TaskMachine([Y])
    assert machine.recovered({X: 3, Y: 1}) == [AwaitCheckpoint(X), ForgetCheckpoint(Y, 1)]
    assert machine.untold == (Y, X)
    assert machine.session_opened() == [Describe(), Offer(Y), OfferCheckpoint(X, 3), AwaitCheckpoint(X)]
    vanished = Report(X, "vanished", "the compute server was restarted", "")
    assert machine.checkpoint_settled(X, 3, final=True) == [ForgetCheckpoint(X, 3), vanished]
