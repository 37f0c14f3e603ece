"""The task leases that a LUS holds, and the steps of one: it waits, starts, runs, and is dropped. Pure.

Sequences rise with every start, and an adopted lease starts nothing: so no fence is used twice, and each that is used
is above all that were used for its task before.
"""

from __future__ import annotations

from collections.abc import Iterable

from lus.held import Held, Stage
from lus.instructions import Instruction, ReportEnded, Start
from lus.registry import Registry, Server
from lus.turns import Turns
from rjs.attempts import AttemptId, Fence
from rjs.wire.messages import JobBrief


class Leases(dict[int, Held]):
    """By number. ``turns`` has those that wait; a CS with an attempt of ours is kept from others by the registry.
    ``sequence`` is that of the last start."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.sequence = 0
        self.turns = Turns(registry, self)

    def numbered(self, numbers: Iterable[int]) -> list[Held]:
        """Those of these that there are."""
        return [self[number] for number in numbers if number in self]

    def of(self, cs: str, attempt: AttemptId) -> Held | None:
        """The lease under which this CS was given this attempt, if nobody has taken it back."""
        held = self.get(attempt.fence.lease)
        return held if held is not None and held.attempt == attempt and held.cs == cs else None

    def at(self, cs: str) -> list[Held]:
        """Those whose attempts are at this CS."""
        return [held for held in self.values() if held.cs == cs]

    def come(self, held: Held) -> None:
        """A new lease, which waits."""
        self[held.lease] = held
        self.turns.wait(held)

    def start(self, held: Held, cs: str, now: float) -> Start:
        """It was this CS's turn."""
        self.sequence += 1
        fence = Fence(held.generation, held.lease, self.sequence)
        held.attempt = AttemptId(held.job.job, held.task, fence)
        held.stage, held.cs = Stage.STARTING, cs
        held.began = now if held.checkpoint is None else None
        server = self._registry.get(cs)
        assert server is not None
        server.attempt = held.attempt
        return Start(cs, server.state.name, held.job, held.attempt, held.checkpoint)

    def wait(self, held: Held) -> list[Instruction]:
        """The attempt did not begin, or ended without a word: another is due, under this lease if it may be."""
        if held.spent and held.attempt is not None:
            self.drop(held)
            sentence = "the compute server runs it no more, and has nothing to tell of it"
            return [ReportEnded(held.attempt, held.cs, "returned", sentence)]
        self._free(held)
        held.stage, held.attempt, held.cs = Stage.WAITING, None, ""
        self.turns.wait(held)
        return []

    def take_on(self, server: Server, attempt: AttemptId, job: JobBrief, now: float) -> None:
        """The lease came with its attempt, which is at this CS."""
        held = self.get(attempt.fence.lease)
        if held is None:
            held = Held(attempt.fence.lease, attempt.fence.generation, job, attempt.task, frozenset(), now)
            held.stage, held.attempt, held.cs = Stage.RUNNING, attempt, server.cs
            self[held.lease] = held
            server.strays.discard(attempt)
            if attempt in server.state.running and server.attempt is None:
                server.attempt = attempt
        held.spent = True

    def let_run(self, server: Server, attempt: AttemptId) -> None:
        """What this CS runs has no lease of ours, or none any more."""
        runs = attempt == server.attempt or attempt in server.state.running
        held = self.of(server.cs, attempt)
        if held is not None:
            self.drop(held)
        if runs:
            server.strays.add(attempt)

    def drop(self, held: Held) -> None:
        """The lease is over here."""
        self._free(held)
        self.pop(held.lease, None)
        self.turns.leave(held.lease)

    def _free(self, held: Held) -> None:
        server = self._registry.get(held.cs)
        if server is not None and server.attempt == held.attempt:
            server.attempt = None
