"""The compute server's task machine: events in, instructions out. No clock, socket, file or process.

One slot: free → preparing → starting → running → collecting → free. Preparing fetches, verifies, asks the
owner's trust, writes the ledger and unpacks; what refuses there was never run. Answers outlive the slot: they
are offered on every session until the verdict is final. See DESIGN section 3.
"""

from __future__ import annotations

import enum

import attrs

from cs import limits
from rjs.attempts import AttemptId
from rjs.errors import IllegalTransitionError
from rjs.wire.messages import JobBrief


class Slot(enum.Enum):
    """What the slot is doing."""

    FREE = "free"
    PREPARING = "preparing"
    STARTING = "starting"
    RUNNING = "running"
    COLLECTING = "collecting"


@attrs.frozen
class Prepare:
    """Fetch, verify, ask trust, write the ledger, unpack. Answer with ``prepared`` or ``not_prepared``."""

    attempt: AttemptId
    job: JobBrief


@attrs.frozen
class Spawn:
    """Start the process through the spawner. Answer with ``spawned``, then ``process_ended``."""

    attempt: AttemptId


@attrs.frozen
class Kill:
    """End every process of the attempt. ``process_ended`` follows."""

    attempt: AttemptId


@attrs.frozen
class Collect:
    """Sign outputs and receipt into the spool. Answer with ``collected`` or ``not_collected``."""

    attempt: AttemptId


@attrs.frozen
class CleanUp:
    """Remove every file of the attempt but its spooled answer."""

    attempt: AttemptId


@attrs.frozen
class ReplyStarted:
    """The LUS's start is done."""

    attempt: AttemptId


@attrs.frozen
class ReplyRefused:
    """The LUS's start is refused; nothing of the job ran."""

    attempt: AttemptId
    code: str
    sentence: str


@attrs.frozen
class Offer:
    """Offer the spooled answer to the LUS; ``verdict`` follows."""

    attempt: AttemptId


@attrs.frozen
class OfferLater:
    """Offer the spooled answer again after ``limits.OFFER_AGAIN``: nobody could say yet what becomes of it."""

    attempt: AttemptId


@attrs.frozen
class Forget:
    """The verdict on the spooled answer is final: remove it."""

    attempt: AttemptId


@attrs.frozen
class Report:
    """Tell the LUS, until it has replied, that the attempt ended without an answer."""

    attempt: AttemptId
    kind: str
    detail: str
    tail: str


@attrs.frozen
class Describe:
    """Tell the LUS our state: something changed that it cannot infer."""


Instruction = (
    Prepare
    | Spawn
    | Kill
    | Collect
    | CleanUp
    | ReplyStarted
    | ReplyRefused
    | Offer
    | OfferLater
    | Forget
    | Report
    | Describe
)


class TaskMachine:
    """The slot, the answers that are held, and the reports that nobody has taken yet."""

    def __init__(self, holding: list[AttemptId]) -> None:
        self.slot = Slot.FREE
        self.attempt: AttemptId | None = None
        self.holding: dict[AttemptId, None] = dict.fromkeys(holding)
        self.reports: dict[AttemptId, Report] = {}
        self._unwanted = ""
        self._said_busy = False
        self._closing = False

    @property
    def untold(self) -> tuple[AttemptId, ...]:
        """The attempts of whose end the LUS has not taken note: their answers are held, or their reports."""
        return (*self.holding, *self.reports)

    # --- the LUS ------------------------------------------------------------------------------------

    def session_opened(self) -> list[Instruction]:
        """A LUS registered us: it hears our state, then all that waits for an end."""
        self._said_busy = self.slot is not Slot.FREE
        return [Describe(), *(Offer(each) for each in self.holding), *self.reports.values()]

    def start(self, job: JobBrief, attempt: AttemptId) -> list[Instruction]:
        """The LUS leases us a task."""
        if self.slot is not Slot.FREE or self._closing:
            self._said_busy = True
            what = "is shutting down" if self._closing else "runs another task"
            return [ReplyRefused(attempt, "busy", f"this compute server {what}")]
        if len(self.holding) >= limits.HOLDING:
            self._said_busy = True
            return [
                ReplyRefused(attempt, "busy", f"{limits.HOLDING} answers wait here for their commit notice")
            ]
        self.slot, self.attempt, self._unwanted = Slot.PREPARING, attempt, ""
        return [Prepare(attempt, job)]

    def stop(self, attempt: AttemptId, sentence: str) -> list[Instruction]:
        """The attempt is not wanted any more."""
        if attempt != self.attempt:
            return []
        self._unwanted = sentence or "stopped"
        return [Kill(attempt)] if self.slot is Slot.RUNNING else []

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

    def taken_back(self, sentence: str) -> list[Instruction]:
        """The owner takes the machine back from the running attempt: it is stopped and returned, uncounted."""
        attempt = self.attempt
        if attempt is None or self.slot not in (Slot.STARTING, Slot.RUNNING) or self._unwanted:
            return []
        self._unwanted = sentence
        kill: list[Instruction] = [Kill(attempt)] if self.slot is Slot.RUNNING else []
        return [*kill, *self._report(attempt, "returned", sentence, "")]

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
        if failure:
            return [*self._report(attempt, "failed", failure, tail), CleanUp(attempt), *self._free()]
        self.slot = Slot.COLLECTING
        return [Collect(attempt)]

    def collected(self, attempt: AttemptId) -> list[Instruction]:
        """The signed answer is durable in the spool."""
        self._expect(attempt, Slot.COLLECTING)
        self.holding[attempt] = None
        return [Offer(attempt), CleanUp(attempt), *self._free()]

    def not_collected(self, attempt: AttemptId, sentence: str, *, ours: bool = False) -> list[Instruction]:
        """The outputs cannot become an answer. ``ours``: it is this machine's fault, so another one gets the task."""
        self._expect(attempt, Slot.COLLECTING)
        kind = "returned" if ours else "failed"
        return [*self._report(attempt, kind, sentence, ""), CleanUp(attempt), *self._free()]

    def closing(self) -> list[Instruction]:
        """The CS shuts down: the running task goes back."""
        self._closing = True
        attempt = self.attempt
        if attempt is None or self.slot is Slot.COLLECTING:
            return []
        self._unwanted = "the compute server shuts down"
        kill: list[Instruction] = [Kill(attempt)] if self.slot is Slot.RUNNING else []
        return [*kill, *self._report(attempt, "returned", self._unwanted, "")]

    # --- inner --------------------------------------------------------------------------------------

    def _expect(self, attempt: AttemptId, slot: Slot) -> None:
        if (self.attempt, self.slot) != (attempt, slot):
            raise IllegalTransitionError(
                f"attempt {attempt} in {slot.value} was expected, the slot has {self.attempt} in {self.slot.value}"
            )

    def _report(self, attempt: AttemptId, kind: str, detail: str, tail: str) -> list[Instruction]:
        while len(self.reports) >= limits.REPORTS:
            self.reports.pop(next(iter(self.reports)))
        self.reports[attempt] = Report(attempt, kind, detail, tail)
        return [self.reports[attempt]]

    def _free(self) -> list[Instruction]:
        self.slot, self.attempt, self._unwanted = Slot.FREE, None, ""
        return self._freed()

    def _freed(self) -> list[Instruction]:
        if not self._said_busy or self._closing:
            return []
        self._said_busy = False
        return [Describe()]
