"""The compute server's task machine: events in, instructions out. No clock, socket, file or process.

One slot: free → preparing → starting → running → collecting → free. Preparing fetches, verifies, asks the
owner's trust, writes the ledger and unpacks; what refuses there was never run. A task that has to leave the machine
goes from running to saving: what it reached is taken as a checkpoint. Answers and checkpoints outlive the slot: they
are offered on every session until the verdict is final, and how an attempt ended is told after its checkpoint, or
the next attempt would begin without it. See DESIGN section 3.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from cs import limits
from cs.instructions import (
    AwaitCheckpoint,
    CleanUp,
    Collect,
    Describe,
    Forget,
    ForgetCheckpoint,
    Instruction,
    Kill,
    Offer,
    OfferCheckpoint,
    OfferLater,
    Prepare,
    ReplyRefused,
    ReplyStarted,
    Report,
    Save,
    Spawn,
    Vacate,
)
from rjs.attempts import AttemptId
from rjs.errors import IllegalTransitionError
from rjs.wire.messages import CheckpointRef, JobBrief


class Slot(enum.Enum):
    """What the slot is doing."""

    FREE = "free"
    PREPARING = "preparing"
    STARTING = "starting"
    RUNNING = "running"
    SAVING = "saving"
    COLLECTING = "collecting"


class TaskMachine:
    """The slot, the answers and checkpoints that are held, and the reports that nobody has taken yet."""

    def __init__(self, holding: list[AttemptId]) -> None:
        self.slot = Slot.FREE
        self.attempt: AttemptId | None = None
        self.holding: dict[AttemptId, None] = dict.fromkeys(holding)
        self.reports: dict[AttemptId, Report] = {}
        self.checkpoints: dict[AttemptId, int] = {}
        """Of each attempt that has one to be offered, the newest."""
        self._held_back: dict[AttemptId, Report] = {}
        self._unwanted = ""
        self._leaving = ""
        self._said_busy = False
        self._closing = False

    @property
    def untold(self) -> tuple[AttemptId, ...]:
        """The attempts of whose end the LUS has not taken note: their answers are held, or their reports."""
        return (*self.holding, *self.reports, *self._held_back)

    @property
    def awaited(self) -> bool:
        """Whether the end of some attempt is not told yet because its checkpoint is on its way."""
        return bool(self._held_back)

    # --- the LUS ------------------------------------------------------------------------------------

    def session_opened(self) -> list[Instruction]:
        """A LUS registered us: it hears our state, then all that waits for an end."""
        self._said_busy = self.slot is not Slot.FREE
        offers = [Offer(each) for each in self.holding]
        checkpoints = [OfferCheckpoint(*each) for each in self.checkpoints.items()]
        waits = [AwaitCheckpoint(each) for each in self._held_back]
        return [Describe(), *offers, *checkpoints, *waits, *self.reports.values()]

    def start(
        self, job: JobBrief, attempt: AttemptId, checkpoint: CheckpointRef | None = None
    ) -> list[Instruction]:
        """The LUS leases us a task, of which there may be a ``checkpoint``."""
        if self.slot is not Slot.FREE or self._closing:
            self._said_busy = True
            what = "is shutting down" if self._closing else "runs another task"
            return [ReplyRefused(attempt, "busy", f"this compute server {what}")]
        if len(self.holding) >= limits.HOLDING:
            self._said_busy = True
            return [
                ReplyRefused(attempt, "busy", f"{limits.HOLDING} answers wait here for their commit notice")
            ]
        self.slot, self.attempt = Slot.PREPARING, attempt
        return [Prepare(attempt, job, checkpoint)]

    def stop(self, attempt: AttemptId, sentence: str) -> list[Instruction]:
        """The attempt is not wanted any more, nor what it reached."""
        self._held_back.pop(attempt, None)
        dropped = self._drop_checkpoint(attempt)
        if attempt != self.attempt:
            return dropped
        self._unwanted = sentence or "stopped"
        return [*dropped, *([Kill(attempt)] if self.slot is Slot.RUNNING else [])]

    def verdict(self, attempt: AttemptId, final: bool) -> list[Instruction]:
        """The WS's word on an answer that we hold."""
        if attempt not in self.holding:
            return []
        if not final:
            return [OfferLater(attempt)]
        full = len(self.holding) >= limits.HOLDING
        del self.holding[attempt]
        return [Forget(attempt), *(self._freed() if full else [])]

    def answer_lost(self, attempt: AttemptId, sentence: str) -> list[Instruction]:
        """The spooled answer cannot be read: another attempt has to be made."""
        if attempt not in self.holding:
            return []
        full = len(self.holding) >= limits.HOLDING
        del self.holding[attempt]
        told = self._report(attempt, "failed", sentence, "")
        return [Forget(attempt), *told, *(self._freed() if full else [])]

    def answer_damaged(self, attempt: AttemptId, sentence: str) -> list[Instruction]:
        """At start: the spooled answer was set aside. It is this machine's fault: the task goes to any, uncounted."""
        self.holding.pop(attempt, None)
        return self._report(attempt, "returned", sentence, "")

    def reported(self, attempt: AttemptId) -> list[Instruction]:
        """The WS took note of a report."""
        self.reports.pop(attempt, None)
        return []

    def changed(self) -> list[Instruction]:
        """The owner's trust or our offer is another: the LUS hears our state, and again when the slot is free."""
        self._said_busy = self._said_busy or self.slot is not Slot.FREE
        return [Describe()]

    def taken_back(self, sentence: str, *, at_once: bool = False) -> list[Instruction]:
        """The owner takes the machine back from the running attempt: it leaves, and is returned, uncounted.
        ``at_once``: it is killed, and what it reached is not wanted."""
        attempt = self.attempt
        if attempt is None or self.slot not in (Slot.STARTING, Slot.RUNNING) or self._unwanted:
            return []
        if self.slot is Slot.RUNNING and not at_once:
            return self._leave(attempt, sentence)
        self._unwanted = sentence
        dropped = self._drop_checkpoint(attempt)
        kill: list[Instruction] = [Kill(attempt)] if self.slot is Slot.RUNNING else []
        return [*kill, *dropped, *self._report(attempt, "returned", sentence, "")]

    # --- checkpoints --------------------------------------------------------------------------------

    def recovered(self, checkpoints: Mapping[AttemptId, int]) -> list[Instruction]:
        """At start: a process before this one left these, with their sequences. Their attempts ended with it; those
        whose answers are here need none."""
        instructions: list[Instruction] = []
        for attempt, sequence in checkpoints.items():
            if attempt in self.holding:
                instructions.append(ForgetCheckpoint(attempt, sequence))
            else:
                self.checkpoints[attempt] = sequence
                instructions += self._report(attempt, "vanished", "the compute server was restarted", "")
        return instructions

    def checkpointed(self, attempt: AttemptId, sequence: int) -> list[Instruction]:
        """The running attempt asked for a checkpoint, which is signed and durable here."""
        if attempt != self.attempt or self._unwanted:
            return [ForgetCheckpoint(attempt, sequence)]
        self.checkpoints[attempt] = sequence
        return [OfferCheckpoint(attempt, sequence)]

    def saved(self, attempt: AttemptId, sequence: int | None) -> list[Instruction]:
        """What the attempt that had to leave reached is signed and durable. None: there is nothing to be offered."""
        self._expect(attempt, Slot.SAVING)
        if self._unwanted:
            forget = [] if sequence is None else [ForgetCheckpoint(attempt, sequence)]
            return [*forget, CleanUp(attempt), *self._free()]
        offer = [] if sequence is None else self.checkpointed(attempt, sequence)
        report = self._report(attempt, "returned", self._leaving, "")
        return [*offer, *report, CleanUp(attempt), *self._free()]

    def checkpoint_settled(self, attempt: AttemptId, sequence: int, *, final: bool) -> list[Instruction]:
        """The WS's word on a checkpoint, if there is no newer one; now it may be told how the attempt ended."""
        if self.checkpoints.get(attempt) != sequence:
            return []
        if not final:
            return [OfferCheckpoint(attempt, sequence, later=True)]
        return [*self._drop_checkpoint(attempt), *self.checkpoint_overdue(attempt)]

    def checkpoint_overdue(self, attempt: AttemptId) -> list[Instruction]:
        """Enough was waited for the WS's word: that the attempt ended is told."""
        report = self._held_back.pop(attempt, None)
        return [] if report is None else self._tell(report)

    # --- the shell ----------------------------------------------------------------------------------

    def prepared(self, attempt: AttemptId, may_start: bool) -> list[Instruction]:
        """Verified, trusted, recorded and unpacked. ``may_start``: our lease from the LUS still lives."""
        self._expect(attempt, Slot.PREPARING)
        if self._unwanted or not may_start:
            why = self._unwanted or "the lease lapsed while the bundle was prepared"
            return [ReplyRefused(attempt, "stopped", why), CleanUp(attempt), *self._free()]
        self.slot = Slot.STARTING
        return [Spawn(attempt)]

    def not_prepared(self, attempt: AttemptId, code: str, sentence: str) -> list[Instruction]:
        """A check refused the bundle, or the owner's trust did: nothing of it ran."""
        self._expect(attempt, Slot.PREPARING)
        return [ReplyRefused(attempt, code, sentence), CleanUp(attempt), *self._free()]

    def spawned(self, attempt: AttemptId) -> list[Instruction]:
        """The process runs."""
        self._expect(attempt, Slot.STARTING)
        self.slot = Slot.RUNNING
        return [ReplyStarted(attempt), *([Kill(attempt)] if self._unwanted else [])]

    def not_spawned(self, attempt: AttemptId, sentence: str) -> list[Instruction]:
        """The process could not be started: this machine's fault, so another one gets the task."""
        self._expect(attempt, Slot.STARTING)
        return [ReplyRefused(attempt, "cannot-start", sentence), CleanUp(attempt), *self._free()]

    def process_ended(self, attempt: AttemptId, failure: str, tail: str) -> list[Instruction]:
        """Every process of the attempt is gone. ``failure``: what went wrong, or empty."""
        self._expect(attempt, Slot.RUNNING)
        if self._unwanted:
            return [CleanUp(attempt), *self._free()]
        if self._leaving:
            self.slot = Slot.SAVING
            return [Save(attempt)]
        if failure:
            return [*self._report(attempt, "failed", failure, tail), CleanUp(attempt), *self._free()]
        self.slot = Slot.COLLECTING
        return [Collect(attempt)]

    def collected(self, attempt: AttemptId) -> list[Instruction]:
        """The signed answer is durable in the spool."""
        self._expect(attempt, Slot.COLLECTING)
        self.holding[attempt] = None
        return [Offer(attempt), *self._drop_checkpoint(attempt), CleanUp(attempt), *self._free()]

    def not_collected(self, attempt: AttemptId, sentence: str, *, ours: bool = False) -> list[Instruction]:
        """The outputs cannot become an answer. ``ours``: it is this machine's fault, so another one gets the task."""
        self._expect(attempt, Slot.COLLECTING)
        kind = "returned" if ours else "failed"
        return [*self._report(attempt, kind, sentence, ""), CleanUp(attempt), *self._free()]

    def closing(self) -> list[Instruction]:
        """The CS shuts down: the running task leaves and goes back."""
        self._closing = True
        attempt, why = self.attempt, "the compute server shuts down"
        if attempt is None or self._unwanted or self.slot in (Slot.SAVING, Slot.COLLECTING):
            return []
        if self.slot is Slot.RUNNING:
            return self._leave(attempt, why)
        self._unwanted = why
        return self._report(attempt, "returned", why, "")

    # --- inner --------------------------------------------------------------------------------------

    def _expect(self, attempt: AttemptId, slot: Slot) -> None:
        if (self.attempt, self.slot) != (attempt, slot):
            raise IllegalTransitionError(
                f"attempt {attempt} in {slot.value} was expected, the slot has {self.attempt} in {self.slot.value}"
            )

    def _leave(self, attempt: AttemptId, why: str) -> list[Instruction]:
        if self._leaving:
            return []
        self._leaving = why
        return [Vacate(attempt)]

    def _drop_checkpoint(self, attempt: AttemptId) -> list[Instruction]:
        sequence = self.checkpoints.pop(attempt, None)
        return [] if sequence is None else [ForgetCheckpoint(attempt, sequence)]

    def _report(self, attempt: AttemptId, kind: str, detail: str, tail: str) -> list[Instruction]:
        report = Report(attempt, kind, detail, tail)
        if attempt not in self.checkpoints:
            return self._tell(report)
        self._held_back[attempt] = report
        return [AwaitCheckpoint(attempt)]

    def _tell(self, report: Report) -> list[Instruction]:
        while len(self.reports) >= limits.REPORTS:
            self.reports.pop(next(iter(self.reports)))
        self.reports[report.attempt] = report
        return [report]

    def _free(self) -> list[Instruction]:
        self.slot, self.attempt, self._unwanted, self._leaving = Slot.FREE, None, "", ""
        return self._freed()

    def _freed(self) -> list[Instruction]:
        if not self._said_busy or self._closing:
            return []
        self._said_busy = False
        return [Describe()]
