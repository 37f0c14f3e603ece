"""The CS's task machine, event by event, and under any sequence of events."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from invariants import check_machine
from samples import attempt, brief

from cs import limits
from cs.instructions import (
    CleanUp,
    Collect,
    Describe,
    Forget,
    ForgetCheckpoint,
    Instruction,
    Kill,
    Offer,
    OfferLater,
    Prepare,
    ReplyRefused,
    ReplyStarted,
    Report,
    Save,
    Spawn,
    Vacate,
)
from cs.task_machine import Slot, TaskMachine
from rjs.errors import IllegalTransitionError

X, Y = attempt(1), attempt(2, task=1)
BUSY = ReplyRefused(Y, "busy", "this compute server runs another task")


@pytest.fixture
def machine() -> TaskMachine:
    return TaskMachine([])


def at(slot: Slot) -> TaskMachine:
    """A machine whose attempt X has come as far as ``slot``."""
    machine = TaskMachine([])
    steps = (
        lambda: machine.start(brief(), X),
        lambda: machine.prepared(X, True),
        lambda: machine.spawned(X),
        lambda: machine.process_ended(X, "", ""),
    )
    last = slot if slot is Slot.SAVING else Slot.COLLECTING
    for step, reached in zip(steps, (Slot.PREPARING, Slot.STARTING, Slot.RUNNING, last), strict=True):
        if machine.slot is slot:
            break
        if reached is Slot.SAVING:
            machine.taken_back("why")
        step()
        assert machine.slot is reached
    return machine


def test_an_attempt_that_goes_well(machine: TaskMachine) -> None:
    """Prepare, spawn, collect, offer; and the answer is forgotten at the final verdict, not before."""
    assert machine.start(brief(), X) == [Prepare(X, brief())]
    assert machine.prepared(X, may_start=True) == [Spawn(X)]
    assert machine.spawned(X) == [ReplyStarted(X)]
    assert machine.process_ended(X, "", "") == [Collect(X)]
    assert machine.collected(X) == [Offer(X), CleanUp(X)]
    assert machine.start(brief(), Y) == [Prepare(Y, brief())]
    assert machine.verdict(X, final=False) == [OfferLater(X)]
    assert machine.verdict(X, final=True) == [Forget(X)]
    assert machine.verdict(X, final=True) == machine.verdict(X, final=False) == []


def test_a_bundle_that_is_refused(machine: TaskMachine) -> None:
    """Nothing ran; the LUS hears which check said no."""
    machine.start(brief(), X)
    assert machine.not_prepared(X, "not-trusted", "no") == [ReplyRefused(X, "not-trusted", "no"), CleanUp(X)]
    assert machine.slot is Slot.FREE


def test_a_lease_that_lapses_while_preparing(machine: TaskMachine) -> None:
    """Nothing is started without the right to it."""
    machine.start(brief(), X)
    refused, cleaned = machine.prepared(X, may_start=False)
    assert refused == ReplyRefused(X, "stopped", "the lease lapsed while the bundle was prepared")
    assert cleaned == CleanUp(X)


def test_a_process_that_cannot_start() -> None:
    """This machine's fault is no failed attempt."""
    machine = at(Slot.STARTING)
    assert machine.not_spawned(X, "no memory") == [ReplyRefused(X, "cannot-start", "no memory"), CleanUp(X)]


def test_a_task_that_fails() -> None:
    """The report is kept until the LUS has taken note of it."""
    machine = at(Slot.RUNNING)
    report = Report(X, "failed", "exit status 1", "tail")
    assert machine.process_ended(X, "exit status 1", "tail") == [report, CleanUp(X)]
    assert machine.untold == (X,)
    assert machine.session_opened() == [Describe(), report]
    assert machine.reported(X) == []
    assert machine.session_opened() == [Describe()]


def test_outputs_that_cannot_travel() -> None:
    """What a task left behind may fail it, and frees the slot."""
    machine = at(Slot.COLLECTING)
    assert machine.not_collected(X, "a link") == [Report(X, "failed", "a link", ""), CleanUp(X)]
    assert machine.slot is Slot.FREE


@pytest.mark.parametrize("slot", [Slot.PREPARING, Slot.STARTING, Slot.RUNNING, Slot.COLLECTING])
def test_one_attempt_at_a_time(slot: Slot) -> None:
    """A second start is refused as busy; when the slot is free, the LUS is told."""
    machine = at(slot)
    assert machine.start(brief(), Y) == [BUSY]
    ends = {
        Slot.PREPARING: lambda: machine.not_prepared(X, "c", "s"),
        Slot.STARTING: lambda: machine.not_spawned(X, "s"),
        Slot.RUNNING: lambda: machine.process_ended(X, "why", ""),
        Slot.COLLECTING: lambda: machine.collected(X),
    }
    assert ends[slot]()[-1] == Describe()


@pytest.mark.parametrize("slot", [Slot.PREPARING, Slot.STARTING, Slot.RUNNING, Slot.COLLECTING])
@pytest.mark.parametrize("said", ["session", "trust"])
def test_whoever_heard_that_we_are_busy_hears_when_we_are_free(slot: Slot, said: str) -> None:
    """Busy was said in a description; so must free be, though nobody was refused."""
    machine = at(slot)
    assert Describe() in (machine.session_opened() if said == "session" else machine.changed())
    machine.stop(X, "unwanted") if slot is Slot.RUNNING else None
    last = (
        machine.not_prepared(X, "c", "s") if slot is Slot.PREPARING
        else machine.not_spawned(X, "s") if slot is Slot.STARTING
        else machine.process_ended(X, "", "") if slot is Slot.RUNNING
        else machine.not_collected(X, "s")
    )  # fmt: skip
    assert last[-1] == Describe()


class TestStop:
    def test_while_preparing(self) -> None:
        """It is not started any more."""
        machine = at(Slot.PREPARING)
        assert machine.stop(X, "cancelled") == []
        assert machine.prepared(X, True) == [ReplyRefused(X, "stopped", "cancelled"), CleanUp(X)]

    def test_while_starting(self) -> None:
        """It is killed as soon as it runs."""
        machine = at(Slot.STARTING)
        assert machine.stop(X, "cancelled") == []
        assert machine.spawned(X) == [ReplyStarted(X), Kill(X)]
        assert machine.process_ended(X, "signal 9", "") == [CleanUp(X)]

    def test_while_running(self) -> None:
        """It is killed, and nobody asks for its end."""
        machine = at(Slot.RUNNING)
        assert machine.stop(X, "cancelled") == [Kill(X)]
        assert machine.process_ended(X, "", "") == [CleanUp(X)]
        assert machine.untold == ()

    def test_while_collecting(self) -> None:
        """The answer is as good as there: the WS decides."""
        machine = at(Slot.COLLECTING)
        assert machine.stop(X, "cancelled") == []
        assert machine.collected(X) == [Offer(X), CleanUp(X)]

    def test_of_another_attempt(self) -> None:
        """A late word for an older attempt stops nothing."""
        assert at(Slot.RUNNING).stop(Y, "cancelled") == []


class TestClosing:
    @pytest.mark.parametrize("slot", [Slot.PREPARING, Slot.STARTING])
    def test_the_task_goes_back(self, slot: Slot) -> None:
        """It is reported as returned, which counts for nothing."""
        assert at(slot).closing() == [Report(X, "returned", "the compute server shuts down", "")]

    def test_a_running_task_leaves_first(self) -> None:
        """It may save what it reached; then it is returned."""
        machine = at(Slot.RUNNING)
        assert machine.closing() == [Vacate(X)]
        assert machine.process_ended(X, "", "") == [Save(X)]
        returned = Report(X, "returned", "the compute server shuts down", "")
        assert machine.saved(X, None) == [returned, CleanUp(X)]

    @pytest.mark.parametrize("slot", [Slot.FREE, Slot.SAVING, Slot.COLLECTING])
    def test_nothing_goes_back_that_does_not_run(self, slot: Slot) -> None:
        """A finished task is worth an answer."""
        assert at(slot).closing() == []

    def test_nothing_new_starts(self, machine: TaskMachine) -> None:
        """The LUS hears why."""
        machine.closing()
        assert machine.start(brief(), Y) == [ReplyRefused(Y, "busy", "this compute server is shutting down")]


class TestHolding:
    def test_answers_of_an_earlier_process_are_offered(self) -> None:
        """What the spool had at start waits for its verdict."""
        machine = TaskMachine([X, Y])
        assert machine.session_opened() == [Describe(), Offer(X), Offer(Y)]

    def test_a_full_spool_takes_no_task(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And says so when there is room again."""
        monkeypatch.setattr(limits, "HOLDING", 2)
        machine = TaskMachine([X, Y])
        z = attempt(3)
        assert machine.start(brief(), z) == [
            ReplyRefused(z, "busy", "2 answers wait here for their commit notice")
        ]  # fmt: skip
        assert machine.verdict(X, final=True) == [Forget(X), Describe()]
        assert machine.start(brief(), z) == [Prepare(z, brief())]

    def test_a_lost_answer_is_a_failed_attempt(self) -> None:
        """What cannot be read back is made again, elsewhere."""
        machine = TaskMachine([X])
        assert machine.answer_lost(X, "gone") == [Forget(X), Report(X, "failed", "gone", "")]
        assert machine.answer_lost(X, "gone") == []

    def test_a_damaged_answer_gives_its_task_back(self) -> None:
        """What was set aside at start is not offered: the LUS hears first of all that the task is anybody's."""
        machine = TaskMachine([X, Y])
        returned = Report(X, "returned", "damaged", "")
        assert machine.answer_damaged(X, "damaged") == [returned]
        assert machine.untold == (Y, X)
        assert machine.session_opened() == [Describe(), Offer(Y), returned]

    def test_reports_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The oldest goes: its lease comes back by itself."""
        monkeypatch.setattr(limits, "REPORTS", 1)
        machine = TaskMachine([X, Y])
        machine.answer_lost(X, "gone")
        machine.answer_lost(Y, "gone")
        assert list(machine.reports) == [Y]


EVENTS = {
    "prepared": (Slot.PREPARING, lambda machine: machine.prepared(X, True)),
    "not_prepared": (Slot.PREPARING, lambda machine: machine.not_prepared(X, "c", "s")),
    "spawned": (Slot.STARTING, lambda machine: machine.spawned(X)),
    "not_spawned": (Slot.STARTING, lambda machine: machine.not_spawned(X, "s")),
    "process_ended": (Slot.RUNNING, lambda machine: machine.process_ended(X, "", "")),
    "saved": (Slot.SAVING, lambda machine: machine.saved(X, None)),
    "collected": (Slot.COLLECTING, lambda machine: machine.collected(X)),
    "not_collected": (Slot.COLLECTING, lambda machine: machine.not_collected(X, "s")),
}


@pytest.mark.parametrize("slot", list(Slot))
@pytest.mark.parametrize("event", EVENTS)
def test_the_shell_cannot_lie_about_the_slot(slot: Slot, event: str) -> None:
    """An event of the shell that does not fit is our own fault, and says what the slot has."""
    fits, say = EVENTS[event]
    machine = at(slot)
    if slot is fits:
        say(machine)
        return
    with pytest.raises(
        IllegalTransitionError, match=f"in {fits.value} was expected, the slot has .* in {slot.value}"
    ):
        say(machine)


class Events(RuleBasedStateMachine):
    """A shell that does what it is told, at any time, and a LUS that says anything."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = TaskMachine([])
        self.sequence = 0
        self.cleaned: list[object] = []
        self.replies: set[object] = set()
        self.busy_said = False
        self.overdue: set[object] = set()
        self.checkpoints = 0

    def perform(self, instructions: list[Instruction]) -> None:
        for each in instructions:
            match each:
                case Prepare(prepared):
                    self.replies.add(prepared)
                case ReplyStarted(replied) | ReplyRefused(replied):
                    self.replies.discard(replied)
                    self.busy_said |= isinstance(each, ReplyRefused) and each.code == "busy"
                case CleanUp(cleaned):
                    assert cleaned not in self.cleaned, "cleaned up twice"
                    self.cleaned.append(cleaned)
                case Describe():
                    self.busy_said = self.machine.slot is not Slot.FREE
                case Kill(killed) | Vacate(killed):
                    assert (killed, self.machine.slot) == (self.machine.attempt, Slot.RUNNING)
                case Report(told):
                    assert told not in self.machine.checkpoints or told in self.overdue, (
                        "told before its checkpoint"
                    )
                case ForgetCheckpoint(forgotten):
                    assert forgotten not in self.machine.checkpoints, "forgotten, and offered again"

    @rule()
    def start(self) -> None:
        self.sequence += 1
        self.perform(self.machine.start(brief(), attempt(1, sequence=self.sequence)))

    @rule()
    def session_opened(self) -> None:
        self.perform(self.machine.session_opened())

    @rule()
    def trust_changed(self) -> None:
        self.perform(self.machine.changed())

    @rule(back=st.integers(0, 3))
    def stop(self, back: int) -> None:
        self.perform(self.machine.stop(attempt(1, sequence=self.sequence - back), "why"))

    @precondition(lambda self: self.machine.slot is not Slot.FREE)
    @rule(well=st.booleans())
    def step(self, well: bool) -> None:
        machine, mine = self.machine, self.machine.attempt
        assert mine is not None
        steps = {
            Slot.PREPARING: lambda: (
                machine.prepared(mine, True) if well else machine.not_prepared(mine, "c", "s")
            ),
            Slot.STARTING: lambda: machine.spawned(mine) if well else machine.not_spawned(mine, "s"),
            Slot.RUNNING: lambda: machine.process_ended(mine, "" if well else "why", ""),
            Slot.SAVING: lambda: machine.saved(mine, self.next_checkpoint() if well else None),
            Slot.COLLECTING: lambda: machine.collected(mine) if well else machine.not_collected(mine, "s"),
        }
        self.perform(steps[machine.slot]())

    def next_checkpoint(self) -> int:
        self.checkpoints += 1
        return self.checkpoints

    @rule(at_once=st.booleans())
    def taken_back(self, at_once: bool) -> None:
        self.perform(self.machine.taken_back("why", at_once=at_once))

    @precondition(lambda self: self.machine.slot is Slot.RUNNING)
    @rule()
    def checkpointed(self) -> None:
        assert self.machine.attempt is not None
        self.perform(self.machine.checkpointed(self.machine.attempt, self.next_checkpoint()))

    @precondition(lambda self: self.machine.checkpoints)
    @rule(data=st.data(), what=st.sampled_from(["final", "retry", "overdue"]))
    def settled(self, data: st.DataObject, what: str) -> None:
        offered = data.draw(st.sampled_from(list(self.machine.checkpoints)))
        if what == "overdue":
            self.overdue.add(offered)
            self.perform(self.machine.checkpoint_overdue(offered))
        else:
            sequence = self.machine.checkpoints[offered]
            self.perform(self.machine.checkpoint_settled(offered, sequence, final=what == "final"))

    @precondition(lambda self: self.machine.holding)
    @rule(data=st.data(), what=st.sampled_from(["final", "retry", "lost"]))
    def verdict(self, data: st.DataObject, what: str) -> None:
        held = data.draw(st.sampled_from(list(self.machine.holding)))
        lost = what == "lost"
        self.perform(
            self.machine.answer_lost(held, "why") if lost else self.machine.verdict(held, what == "final")
        )

    @precondition(lambda self: self.machine.reports)
    @rule(data=st.data())
    def reported(self, data: st.DataObject) -> None:
        self.perform(self.machine.reported(data.draw(st.sampled_from(list(self.machine.reports)))))

    @invariant()
    def sound(self) -> None:
        check_machine(self.machine)
        waiting = self.machine.slot in (Slot.PREPARING, Slot.STARTING)
        assert self.replies == ({self.machine.attempt} if waiting else set()), "a start without its reply"
        assert not (self.busy_said and self.machine.slot is Slot.FREE), "nobody hears that the slot is free"
        assert self.machine.attempt not in self.cleaned


TestEvents = Events.TestCase
TestEvents.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


@pytest.mark.parametrize("slot", [Slot.STARTING, Slot.RUNNING])
def test_trust_taken_back_stops_and_returns_the_task(slot: Slot) -> None:
    """An owner who withdraws trust gets the machine back; the task goes elsewhere, uncounted, and is told of once."""
    machine = at(slot)
    report = Report(X, "returned", "revoked: no more", "")
    kill: list[Instruction] = [Kill(X)] if slot is Slot.RUNNING else []
    assert machine.taken_back("revoked: no more", at_once=True) == [*kill, report]
    assert machine.taken_back("again") == []
    if slot is Slot.STARTING:
        assert machine.spawned(X) == [ReplyStarted(X), Kill(X)]
    assert machine.process_ended(X, "ended by signal 9", "") == [CleanUp(X)]


@pytest.mark.parametrize("slot", [Slot.FREE, Slot.PREPARING, Slot.SAVING, Slot.COLLECTING])
def test_trust_taken_back_where_nothing_runs(slot: Slot) -> None:
    """What is being prepared is asked again before its start; what has ended well is answered."""
    assert at(slot).taken_back("not-trusted: no more") == []
